"""Bags of n-grams, with and without rows of tokens."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny_families import make_random

from textzoo.modules import NGramEmbedding, TextBatch

IDS = np.array([[3, 1, 0, 2]], np.int32)
UNITS = np.array([[[1, 2, 4], [5, 5, 0], [0, 0, 0], [2, 9, 9]]], np.int32)
COUNTS = (3, 2, 0, 1)
MASK = np.arange(3) < np.array(COUNTS)[None, :, None]
BATCH = TextBatch(ids=IDS, mask=np.array([[True, True, True, False]]), units=UNITS, unit_mask=MASK)


def embedding_of(**options):
    return make_random(lambda: NGramEmbedding(4, unit_vocab_size=6, **options, rngs=nnx.Rngs(0)))


@jax.jit
def states(embedding, batch):
    return embedding(batch).states


@pytest.mark.parametrize("pooling", ["mean", "root", "sum"])
@pytest.mark.parametrize("vocab_size", [None, 5])
def test_vectors_follow_the_formulas(pooling, vocab_size):
    embedding = embedding_of(pooling=pooling, vocab_size=vocab_size)
    grams = np.asarray(embedding.grams[...])
    found = states(embedding, BATCH)[0]
    for token, count in enumerate(COUNTS):
        expected = sum((grams[g] for g in UNITS[0, token, :count]), np.zeros(4))
        if pooling == "root" and count:
            expected = expected / np.sqrt(count)
        if vocab_size:
            expected, count = expected + np.asarray(embedding.table[...])[IDS[0, token]], count + 1
        if pooling == "mean" and count:
            expected = expected / count
        np.testing.assert_allclose(found[token], expected, rtol=0, atol=1e-6)


def test_more_room_for_units_changes_nothing():
    embedding = embedding_of()
    wide = BATCH.replace(
        units=np.pad(UNITS, ((0, 0), (0, 0), (0, 5)), constant_values=77),
        unit_mask=np.pad(MASK, ((0, 0), (0, 0), (0, 5))),
    )
    np.testing.assert_allclose(states(embedding, wide), states(embedding, BATCH), atol=1e-6)


def test_slopes_are_finite_where_a_token_has_no_units_and_reach_both_tables():
    embedding = embedding_of(pooling="root", vocab_size=5)
    slopes = jax.jit(jax.grad(lambda e: (e(BATCH).states ** 2).sum()))(embedding)
    assert np.isfinite(slopes.grams[...]).all() and np.isfinite(slopes.table[...]).all()
    assert np.abs(np.asarray(slopes.grams[...])).sum(axis=1).astype(bool).tolist() == [
        False, True, True, False, True, True]  # fmt: skip
    assert not np.asarray(slopes.table[...])[4].any() and np.asarray(slopes.table[...])[0].any()


def test_tokens_and_units_without_rows_are_seen():
    embedding = embedding_of(vocab_size=3)
    found = np.asarray(states(embedding, BATCH))[0]
    assert np.isnan(found[0]).all() and np.isfinite(found[1:]).all()
    outside = BATCH.replace(units=UNITS + 4)
    assert np.isnan(np.asarray(states(embedding_of(), outside))[0, :2]).all()


def test_half_precision_is_close():
    found = states(embedding_of(dtype="bfloat16"), BATCH)
    assert found.dtype == jnp.bfloat16
    reference = np.asarray(states(embedding_of(), BATCH))
    np.testing.assert_allclose(np.asarray(found, np.float32), reference, atol=0.02)


def test_what_does_not_fit_is_explained():
    with pytest.raises(ValueError, match="no units, and NGramEmbedding reads them"):
        embedding_of()(TextBatch(ids=IDS, mask=IDS >= 0))
    for options, message in (
        ({"pooling": "max"}, "use 'mean', 'root' or 'sum'"),
        ({"vocab_size": 0}, "vocab_size=0"),
        ({"unit_vocab_size": 0}, "unit_vocab_size=0"),
    ):
        with pytest.raises(ValueError, match=message):
            NGramEmbedding(4, **{"unit_vocab_size": 6, **options}, rngs=nnx.Rngs(0))
