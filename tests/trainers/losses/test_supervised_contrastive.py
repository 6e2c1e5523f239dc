"""Contrast with classes, against pytorch-metric-learning and against the formula."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from textzoo.trainers.losses.info_nce import info_nce
from textzoo.trainers.losses.supervised_contrastive import class_contrast, supervised_contrastive

GOLDEN = np.load(Path(__file__).parents[2] / "golden" / "supervised_contrastive.npz")
VECTORS, LABELS = GOLDEN["vectors"], GOLDEN["labels"]


def value_and_gradient(vectors, labels, **options):
    def loss(x):
        return supervised_contrastive(x, jnp.asarray(labels), **options).value()

    return jax.jit(jax.value_and_grad(loss))(jnp.asarray(vectors))


@pytest.mark.parametrize(
    ("name", "labels", "temperature"),
    [
        ("sub_sentence_0.1", LABELS, 0.1),
        ("sub_sentence_0.01", LABELS, 0.01),
        ("pearl", GOLDEN["pairs"], 0.07),
    ],
)
def test_losses_are_those_that_the_papers_code_trains_with(name, labels, temperature):
    value, gradient = value_and_gradient(VECTORS, labels, temperature=temperature)
    np.testing.assert_allclose(value, GOLDEN[f"{name}/loss"], rtol=1e-5)
    np.testing.assert_allclose(gradient, GOLDEN[f"{name}/gradient"], rtol=1e-4, atol=1e-5)


def test_the_formula_written_out():
    x = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    logits = x @ x.T / 0.3
    losses = []
    for i, label in enumerate(LABELS):
        others = [a for a in range(len(x)) if a != i]
        positives = [p for p in others if LABELS[p] == label]
        if positives:
            total = np.log(np.exp(logits[i, others]).sum())
            losses.append(np.mean([total - logits[i, p] for p in positives]))
    found = supervised_contrastive(jnp.asarray(VECTORS), jnp.asarray(LABELS), temperature=0.3)
    assert found.denominator == len(losses)
    np.testing.assert_allclose(found.value(), np.mean(losses), rtol=1e-5)


def test_items_that_are_not_there_change_nothing():
    padded = np.concatenate([VECTORS[:5], np.full((3, 6), np.nan), VECTORS[5:]]).astype(np.float32)
    padded[5:8] = 1e3
    labels = np.concatenate([LABELS[:5], [3, 3, -1], LABELS[5:]])
    mask = np.ones(17, bool)
    mask[5:8] = False
    value, gradient = value_and_gradient(padded, labels, mask=jnp.asarray(mask))
    plain, plain_gradient = value_and_gradient(VECTORS, LABELS)
    np.testing.assert_allclose(value, plain, rtol=1e-6)
    np.testing.assert_allclose(gradient[mask], plain_gradient, rtol=1e-5, atol=1e-7)
    assert not gradient[5:8].any()


@pytest.mark.parametrize("labels", [np.arange(14), np.zeros(14, int)])
def test_nothing_is_infinite_without_positives_or_without_negatives(labels):
    zeros = VECTORS.copy()
    zeros[3] = 0
    value, gradient = value_and_gradient(zeros, labels, temperature=0.01)
    assert np.isfinite(value) and np.isfinite(gradient).all()
    if labels[1]:
        assert value == 0 and not gradient.any()


def test_one_item_alone_has_no_loss():
    value, gradient = value_and_gradient(VECTORS[:1], LABELS[:1])
    assert value == 0 and not gradient.any()


def test_pairs_in_every_direction_are_info_nce():
    queries, documents = jnp.asarray(VECTORS[:7]), jnp.asarray(VECTORS[7:])
    found = supervised_contrastive(
        jnp.concatenate([queries, documents]), jnp.asarray(GOLDEN["pairs"]), temperature=0.5
    )
    # Both sides of a softmax over the other thirteen, which InfoNCE has with a mirrored batch.
    mirrored = jnp.concatenate([queries, documents]), jnp.concatenate([documents, queries])
    keys = jnp.stack([jnp.arange(14), (jnp.arange(14) + 7) % 14], axis=1).astype(jnp.uint32)
    other = info_nce(mirrored[0], mirrored[1][:, None], temperature=0.5, keys=keys)
    assert found.denominator == other.denominator == 14
    # Masking by keys leaves out the item itself, as document of its partner's row.
    np.testing.assert_allclose(found.value(), other.value(), rtol=1e-5)


def test_what_is_measured():
    vectors = jnp.asarray([[1.0, 0], [1, 0.1], [0, 1], [0.1, 1], [-1, 0.2]])
    labels, groups = jnp.asarray([0, 0, 1, 1, 0]), jnp.asarray([5, 6, 5, 6, 6])
    found = class_contrast(vectors, labels, groups=groups)
    x = vectors / jnp.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = np.asarray(x @ x.T)
    assert found.accuracy.denominator == 5
    np.testing.assert_allclose(found.accuracy.value(), 4 / 5)  # the last one is nearest to 2
    pairs = [(0, 1), (0, 4), (1, 4), (2, 3)]
    np.testing.assert_allclose(
        found.positive_similarity.value(), np.mean([cosines[pair] for pair in pairs]), rtol=1e-5
    )
    siblings = [(0, 2), (1, 3), (3, 4)]  # 1 and 4 stand together too, and say the same
    np.testing.assert_allclose(
        found.group_similarity.value(), np.mean([cosines[pair] for pair in siblings]), rtol=1e-5
    )


def test_siblings_can_be_left_out_of_the_negatives():
    groups = jnp.asarray([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6])
    inputs = jnp.asarray(VECTORS), jnp.asarray(LABELS)
    with_them = class_contrast(*inputs, groups=groups).loss.value()
    without = class_contrast(*inputs, groups=groups, group_negatives=False).loss.value()
    assert without < with_them
    alone = class_contrast(*inputs, group_negatives=False).loss.value()
    np.testing.assert_allclose(alone, with_them, rtol=1e-6)
