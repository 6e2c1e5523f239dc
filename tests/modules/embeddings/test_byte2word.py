"""Words from attention over their bytes, and subwords from states of words."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.special import erf
from tiny_families import make_random

from textzoo.modules import Byte2WordEmbedding, TextBatch, WordTokenizer
from textzoo.modules.heads import WordPiecesHead

ODD = ["", "😀 👩\u200d👩", "e\u0301" * 500, "x" * 10_000, "שלום नमस्ते", "a b hello"]
SIZES = {"unit_dim": 8, "num_queries": 2, "num_heads": 2, "hidden_dim": 12, "max_units": 24}
TOKENIZER = WordTokenizer(max_length=6, max_units=16)


@functools.cache
def embedding_of(**options):
    options = {**SIZES, **options}
    return make_random(lambda: Byte2WordEmbedding(6, **options, rngs=nnx.Rngs(0)))


@jax.jit
def states(embedding, batch):
    return embedding(batch).states


def batch_of(texts, length=6, size=None):
    return TOKENIZER(texts).batch(np.arange(len(texts)), length, size or len(texts))


def norm(x, layer):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
    return x * np.asarray(layer.scale[...]) + np.asarray(layer.bias[...])


def word_vector(embedding, units):
    """The formulas of the class for one word, in loops over queries and heads."""
    e = embedding
    x = np.asarray(e.table[...])[units] + np.asarray(e.positions[...])[: len(units)]
    found = []
    for q in np.asarray(e.queries[...]):
        heads = []
        for h in range(2):
            query, key, value = (
                z @ np.asarray(layer.kernel[...])[:, h] + np.asarray(layer.bias[...])[h]
                for z, layer in ((q, e.query), (x, e.key), (x, e.value))
            )
            weights = np.exp(key @ query / np.sqrt(4))
            heads.append(weights @ value / weights.sum())
        kernel, bias = np.asarray(e.attended.kernel[...]), np.asarray(e.attended.bias[...])
        attended = sum(head @ kernel[h] for h, head in enumerate(heads)) + bias
        a = norm(q + attended, e.attention_norm)
        up = a @ np.asarray(e.up.kernel[...]) + np.asarray(e.up.bias[...])
        gelu = up * (1 + erf(up / np.sqrt(2))) / 2
        down = gelu @ np.asarray(e.down.kernel[...]) + np.asarray(e.down.bias[...])
        found.append(norm(a + down, e.norm))
    kernel, bias = np.asarray(e.output.kernel[...]), np.asarray(e.output.bias[...])
    return sum(z @ kernel[k] for k, z in enumerate(found)) + bias


def test_vectors_follow_the_formulas():
    tokenized = TOKENIZER(["a hello naïve"])
    expected = [word_vector(embedding_of(), tokenized.units_of(token)) for token in range(5)]
    found = states(embedding_of(), tokenized.batch(np.array([0]), 6))[0]
    np.testing.assert_allclose(found[:5], expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(found[5], 0)


def test_padding_of_units_and_words_and_the_rest_of_the_batch_change_nothing():
    narrow = batch_of(["a b hello", "ab"], length=5)
    reference = np.asarray(states(embedding_of(), narrow))
    more = ((0, 0), (0, 0), (0, 24 - narrow.units.shape[-1]))
    wide = narrow.replace(
        units=np.pad(narrow.units, more, constant_values=77),
        unit_mask=np.pad(narrow.unit_mask, more),
    )
    np.testing.assert_allclose(states(embedding_of(), wide), reference, rtol=0, atol=1e-5)
    longer = batch_of(["ab", "x" * 100, "a b hello"], length=6, size=4)
    found = np.asarray(states(embedding_of(), longer))
    np.testing.assert_allclose(found[2][:5], reference[0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(found[0][:3], reference[1][:3], rtol=0, atol=1e-5)


def test_any_text_has_finite_vectors_and_slopes_and_a_word_without_bytes_is_zero():
    batch = batch_of(ODD)
    mask = np.array(batch.unit_mask)
    mask[5, 2] = False
    batch = batch.replace(unit_mask=mask)

    @jax.jit
    def run(embedding):
        loss = lambda e: (e(batch).states ** 3).sum()  # noqa: E731
        return embedding(batch).states, jax.grad(loss)(embedding)

    found, slopes = run(embedding_of())
    assert np.isfinite(found).all() and np.abs(found[5, 1]).min() > 0
    np.testing.assert_array_equal(found[5, 2], 0)
    for path, value in jax.tree_util.tree_leaves_with_path(slopes):
        assert np.isfinite(value).all() and np.any(np.asarray(value)), path


def test_half_precision_is_close():
    batch = batch_of(["hello b"], length=4)
    found = states(embedding_of(dtype="bfloat16"), batch)
    assert found.dtype == jnp.bfloat16
    reference = np.asarray(states(embedding_of(), batch))
    np.testing.assert_allclose(np.asarray(found, np.float32), reference, atol=0.1, rtol=0.05)


def test_pieces_are_scored_in_slots():
    head = make_random(lambda: WordPiecesHead(4, 9, num_pieces=3, rngs=nnx.Rngs(0)))
    x = np.random.default_rng(0).normal(size=(2, 5, 4)).astype(np.float32)
    scores = jax.jit(lambda head, x: head(x))(head, x)
    inner = x[:, :, None] + np.asarray(head.slots[...])
    inner = inner @ np.asarray(head.dense.kernel[...]) + np.asarray(head.dense.bias[...])
    inner = norm(inner * (1 + erf(inner / np.sqrt(2))) / 2, head.norm)
    expected = inner @ np.asarray(head.output.kernel[...]) + np.asarray(head.output.bias[...])
    assert scores.shape == (2, 5, 3, 9) and scores.dtype == jnp.float32
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5)


def test_what_does_not_fit_is_explained():
    ids = np.zeros((1, 1), np.int32)
    units = np.zeros((1, 1, 25), np.int32)
    with pytest.raises(ValueError, match="no units, and Byte2WordEmbedding reads them"):
        embedding_of()(TextBatch(ids=ids, mask=ids == 0))
    with pytest.raises(ValueError, match="25 units a token, Byte2WordEmbedding reads 24"):
        embedding_of()(TextBatch(ids=ids, mask=ids == 0, units=units, unit_mask=units == 0))
    for options, message in (
        ({"unit_dim": 9}, "use a multiple, e.g. unit_dim=10"),
        ({"num_queries": 0}, "num_queries=0"),
        ({"max_units": 0}, "max_units=0"),
    ):
        with pytest.raises(ValueError, match=message):
            Byte2WordEmbedding(6, **{**SIZES, **options}, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="num_pieces=0"):
        WordPiecesHead(4, 9, num_pieces=0, rngs=nnx.Rngs(0))
