import numpy as np
import pytest
from fake_encoders import TableEncoder

from textzoo.errors import DataError
from textzoo.evaluation import (
    LabeledTexts,
    classification_probe,
    fit_probe,
    score_folds,
    score_probe,
)


def clouds(count, *, noise=0.3, seed=0):
    """Three classes around three corners."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    centers = np.array([[1, 0, 0, 5], [0, 1, 0, 5], [0, 0, 1, 5]], np.float32)
    vectors = centers[labels] + noise * generator.normal(size=(count, 4))
    return vectors.astype(np.float32), [f"class {label}" for label in labels]


def test_probe_reads_separable_labels_without_error():
    result = score_probe(*clouds(90, noise=0.05), *clouds(60, noise=0.05, seed=1))
    assert result.accuracy == 1
    assert result.classes == 3
    assert result.majority == pytest.approx(1 / 3)
    assert result.accuracy_interval[0] < 1 and result.accuracy_interval[1] == 1


def test_probe_is_at_chance_when_labels_are_not_in_the_vectors():
    # Wide enough that a probe which saw the test texts would know their labels by heart.
    vectors = np.random.default_rng(0).normal(size=(200, 100)).astype(np.float32)
    labels = [str(label) for label in np.random.default_rng(1).integers(0, 2, 200)]
    result = score_folds(vectors, labels, folds=5)
    assert 0.35 < result.accuracy < 0.65
    assert result.accuracy_interval[0] < result.accuracy < result.accuracy_interval[1]


def test_probe_is_at_the_minimum_of_its_loss():
    vectors, labels = clouds(60)
    numbers = np.array([int(label[-1]) for label in labels])
    probe = fit_probe(vectors, numbers, 3, strength=2.0)
    x = (vectors - probe.center) / probe.scale

    def loss(weights, bias):
        logits = x @ weights + bias
        total = np.log(np.exp(logits).sum(1))
        return 2.0 * (total - logits[np.arange(60), numbers]).sum() + (weights**2).sum() / 2

    best = loss(probe.weights, probe.bias)
    generator = np.random.default_rng(0)
    for _ in range(20):
        moved = probe.weights + 0.05 * generator.normal(size=probe.weights.shape)
        assert loss(moved, probe.bias) > best
        assert loss(probe.weights, probe.bias + 0.05 * generator.normal(size=3)) >= best - 1e-9


def test_probe_does_not_depend_on_scale_and_offset_of_the_vectors():
    (train, labels), (test, answers) = clouds(90), clouds(60, seed=1)
    plain = score_probe(train, labels, test, answers)
    moved = score_probe(100 * train + 7, labels, 100 * test + 7, answers)
    assert moved.accuracy == pytest.approx(plain.accuracy, abs=1 / 60)


def test_folds_predict_every_text_once_and_repeat():
    vectors, labels = clouds(60)
    result = score_folds(vectors, labels, folds=6)
    assert result.examples == 60
    assert len(result.strength) == result.folds == 6
    assert result.accuracy > 0.8
    assert result == score_folds(vectors, labels, folds=6)


def test_test_texts_do_not_change_the_probe():
    (train, labels), (test, answers) = clouds(90, noise=0.6), clouds(60, noise=0.6, seed=1)
    whole = score_probe(train, labels, test, answers)
    halves = [
        score_probe(train, labels, test[part], answers[part])
        for part in (slice(0, 30), slice(30, 60))
    ]
    assert whole.accuracy == pytest.approx((halves[0].accuracy + halves[1].accuracy) / 2)
    assert whole.strength == halves[0].strength


def test_a_label_never_seen_in_training_counts_as_wrong():
    vectors, labels = clouds(90, noise=0.05)
    result = score_probe(vectors, labels, vectors[:2], [labels[0], "new"])
    assert result.accuracy == 0.5


def test_probe_encodes_training_and_test_texts():
    table = {f"{label} {number}": [label, 1] for label in (0, 1) for number in range(10)}
    texts = list(table)
    labels = [text[0] for text in texts]
    encoder = TableEncoder(table)
    data = LabeledTexts(texts=texts, labels=labels)
    assert classification_probe(encoder, data, data).accuracy == 1
    assert classification_probe(encoder, data, folds=4).folds == 4


def test_a_probe_needs_two_labels():
    vectors = np.ones((4, 2), np.float32)
    with pytest.raises(DataError, match="two labels or more; all are 'x'"):
        score_folds(vectors, ["x"] * 4, folds=2)


@pytest.mark.parametrize("folds", [1, 7])
def test_impossible_numbers_of_folds_are_refused(folds):
    vectors = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    with pytest.raises(ValueError, match="use 2 to 6"):
        score_folds(vectors, list("aabbcc"), folds=folds)
