import json
import math

import numpy as np
import pytest
from fake_encoders import TableEncoder

from textzoo.evaluation import StsPairs, score_sts, sts

# Angles to "north", in degrees: the larger the angle, the less similar.
_ANGLES = {"north": 0, "a": 10, "b": 40, "c": 80, "d": 170}
TABLE = {
    name: [math.cos(math.radians(angle)), math.sin(math.radians(angle))]
    for name, angle in _ANGLES.items()
}


def pairs(scores):
    return StsPairs(
        first=["north"] * len(scores), second=list("abcd")[: len(scores)], scores=np.array(scores)
    )


def test_sts_is_one_when_similarities_are_in_the_order_of_the_scores():
    result = sts(TableEncoder(TABLE), pairs([5.0, 3.0, 2.5, 0.0]))
    assert result.spearman == pytest.approx(1)
    assert 0.9 < result.pearson < 1
    assert result.pairs == 4


def test_sts_by_hand():
    # Our ranks 4 3 2 1, people's 4 2 3 1: differences 0 1 -1 0, so 1 - 6 * 2 / 60.
    assert sts(TableEncoder(TABLE), pairs([5.0, 2.0, 3.0, 0.0])).spearman == pytest.approx(0.8)


def test_sts_correlates_all_pairs_together():
    # Each half alone is in perfect order; together they are not.
    scores = np.array([1.0, 2.0, 1.0, 2.0])
    first = np.ones((4, 1), np.float32)
    second = np.array([[1], [2], [3], [4]], np.float32)
    assert score_sts(first, second, scores, similarity="dot").spearman < 0.9


def test_sts_interval_holds_the_value_and_repeats():
    generator = np.random.default_rng(0)
    first = generator.normal(size=(200, 8)).astype(np.float32)
    second = first + generator.normal(size=(200, 8)).astype(np.float32)
    gold = (first * second).sum(1).astype(np.float64) + generator.normal(size=200)
    result = score_sts(first, second, gold, similarity="dot")
    low, high = result.spearman_interval
    assert low < result.spearman < high
    assert result == score_sts(first, second, gold, similarity="dot")


def test_prompt_reaches_the_encoder_only_when_given():
    encoder = TableEncoder(TABLE)
    sts(encoder, pairs([1.0, 2.0]))
    sts(encoder, pairs([1.0, 2.0]), prompt="query")
    assert [options for _, _, options in encoder.calls] == [{}, {"prompt": "query"}]


def test_result_of_a_constant_encoder_is_undefined_and_still_json():
    result = sts(TableEncoder(dict.fromkeys(TABLE, [1, 0])), pairs([1.0, 2.0, 3.0]))
    assert math.isnan(result.spearman)
    assert json.loads(json.dumps(result.to_dict()))["spearman"] is None


def test_pairs_of_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="2 first, 1 second, 2 scores"):
        StsPairs(first=["a", "b"], second=["c"], scores=np.array([1.0, 2.0]))
