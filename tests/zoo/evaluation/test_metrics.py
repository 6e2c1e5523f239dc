import math

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from textzoo.evaluation.metrics import (
    average_ranks,
    bootstrap_interval,
    ndcg,
    pearson,
    recall,
    reciprocal_rank,
    spearman,
    wilson_interval,
)

numbers = st.lists(st.integers(-5, 5), min_size=3, max_size=30)


def floats(*values):
    return np.array(values, np.float64)


def test_equal_values_share_the_mean_of_their_ranks():
    # Sorted: 1 (rank 1), 3 3 3 (ranks 2, 3, 4: mean 3), 7 (rank 5).
    np.testing.assert_array_equal(average_ranks(floats(3, 7, 3, 1, 3)), [3, 5, 3, 1, 3])


def test_pearson_by_hand():
    # x - mean = -1 0 1, y - mean = -2 1 1: products 3, squares 2 and 6, so 3 / sqrt(12).
    assert pearson(floats(1, 2, 3), floats(0, 3, 3)) == pytest.approx(3 / math.sqrt(12))


def test_spearman_by_hand_without_ties():
    # Rank differences 0 1 -1 0: 1 - 6 * 2 / (4 * 15) = 0.8.
    assert spearman(floats(1, 2, 3, 4), floats(10, 30, 20, 99)) == pytest.approx(0.8)


def test_spearman_by_hand_with_ties():
    # Ranks 1 2 3 4 and 1.5 1.5 3 4: deviations multiply to 4.5, squares sum to 5 and 4.5.
    expected = 4.5 / math.sqrt(5 * 4.5)
    assert spearman(floats(1, 2, 3, 4), floats(0, 0, 5, 9)) == pytest.approx(expected)


@hypothesis.given(numbers, st.randoms(use_true_random=False))
def test_spearman_does_not_depend_on_the_order_of_the_pairs(values, random):
    x = np.array(values, np.float64)
    y = np.roll(x, 1) + x
    order = list(range(len(x)))
    random.shuffle(order)
    np.testing.assert_allclose(
        spearman(x[order], y[order]), spearman(x, y), atol=1e-12, equal_nan=True
    )


@hypothesis.given(numbers)
def test_spearman_sees_order_only(values):
    x = np.array(values, np.float64)
    hypothesis.assume(len(set(values)) > 1)
    assert spearman(x, np.exp(x)) == pytest.approx(1)
    assert spearman(x, -(x**3)) == pytest.approx(-1)


def test_correlation_of_a_constant_is_undefined():
    assert math.isnan(pearson(floats(1, 1, 1), floats(1, 2, 3)))
    assert math.isnan(spearman(floats(1, 2, 3), floats(2, 2, 2)))


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_pearson_survives_extreme_scales(scale):
    assert pearson(floats(1, 2, 4) * scale, floats(2, 4, 8)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (floats(1), floats(1), "at least 2"),
        (floats(1, math.nan), floats(1, 2), "finite"),
    ],
)
def test_correlation_refuses_what_has_none(x, y, message):
    with pytest.raises(ValueError, match=message):
        spearman(x, y)


def test_ndcg_by_hand():
    # Judgments 3 and 2; found at ranks 2 and 3 with gains 2 and 3.
    # DCG = 2 / log2(3) + 3 / log2(4); ideal = 3 / log2(2) + 2 / log2(3).
    expected = (2 / math.log2(3) + 3 / 2) / (3 + 2 / math.log2(3))
    assert ndcg([0, 2, 3], [3, 2], 10) == pytest.approx(expected)


def test_ndcg_ideal_is_cut_at_k():
    # 12 relevant documents and a perfect top 10: nothing better is possible.
    assert ndcg([1] * 10, [1] * 12, 10) == pytest.approx(1)


def test_ndcg_counts_relevant_documents_that_were_not_found():
    assert ndcg([1, 0], [1, 1], 10) == pytest.approx(1 / (1 + 1 / math.log2(3)))


@hypothesis.given(st.lists(st.integers(0, 3), min_size=1, max_size=20), st.integers(1, 20))
def test_perfect_ranking_scores_one_and_no_ranking_more(gains, k):
    hypothesis.assume(any(gains))
    best = sorted(gains, reverse=True)
    assert ndcg(best, gains, k) == pytest.approx(1)
    assert 0 <= ndcg(gains, gains, k) <= 1 + 1e-12
    assert reciprocal_rank(best, k) == 1
    assert recall(best, sum(g > 0 for g in gains), len(gains)) == 1


def test_reciprocal_rank_stops_at_k():
    assert reciprocal_rank([0, 0, 1], 10) == pytest.approx(1 / 3)
    assert reciprocal_rank([0, 0, 1], 2) == 0


def test_recall_is_the_share_of_all_relevant_documents():
    assert recall([1, 0, 2, 1], 4, 3) == 0.5


def test_wilson_interval_by_hand():
    # 8 of 10: center (0.8 + 0.19207) / 1.38415, spread 1.96 sqrt(0.016 + 0.0096) / 1.38415.
    low, high = wilson_interval(8, 10)
    assert (low, high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))


@pytest.mark.parametrize("right", [0, 20])
def test_wilson_interval_stays_inside_zero_and_one(right):
    low, high = wilson_interval(right, 20)
    assert 0 <= low < high <= 1
    assert high - low > 0.1


def test_bootstrap_interval_repeats_and_covers_the_mean():
    values = np.random.default_rng(1).normal(5, 2, 400)

    def mean(chosen):
        return float(values[chosen].mean())

    low, high = bootstrap_interval(mean, len(values))
    assert (low, high) == bootstrap_interval(mean, len(values))
    # The standard error is 2 / sqrt(400) = 0.1, so 95% is about 0.39 wide.
    assert low < values.mean() < high
    assert 0.3 < high - low < 0.5
