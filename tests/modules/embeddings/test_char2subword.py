"""Pieces by a transformer over their characters."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.special import erf
from tiny_families import make_random

from textzoo.modules import Char2SubwordEmbedding, TextBatch, WordTokenizer

SIZES = {"unit_vocab_size": 263, "unit_dim": 8, "num_heads": 2, "num_layers": 1, "hidden_dim": 12}
TOKENIZER = WordTokenizer(max_length=6, max_units=16)
ODD = ["", "😀 👩\u200d👩", "e\u0301" * 500, "x" * 10_000, "שלום नमस्ते", "a b hello"]


@functools.cache
def embedding_of(**options):
    options = {**SIZES, **options}
    return make_random(lambda: Char2SubwordEmbedding(6, **options, rngs=nnx.Rngs(0)))


@jax.jit
def states(embedding, batch):
    return embedding(batch).states


def batch_of(texts, length=6, size=None):
    return TOKENIZER(texts).batch(np.arange(len(texts)), length, size or len(texts))


def norm(x, layer):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
    return x * np.asarray(layer.scale[...]) + np.asarray(layer.bias[...])


def linear(x, layer):
    return x @ np.asarray(layer.kernel[...]) + np.asarray(layer.bias[...])


def piece_vector(embedding, units, pooling):
    """The formulas of the class for one piece, head by head."""
    width = 8
    i = np.arange(0, width, 2) / width
    angles = np.arange(len(units))[:, None] * 10_000.0**-i
    sinusoid = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(len(units), width)
    x = norm(np.asarray(embedding.table[...])[units] + sinusoid, embedding.input_norm)
    layer = embedding.layers[0]
    a = layer.attention
    maps = np.einsum("cd,dnhk->nchk", x, np.asarray(a.qkv.kernel[...]))
    q, k, v = maps + np.asarray(a.qkv.bias[...])[:, None]
    heads = []
    for h in range(2):
        weights = np.exp(q[:, h] @ k[:, h].T / 2)
        heads.append(weights / weights.sum(-1, keepdims=True) @ v[:, h])
    kernel = np.asarray(a.out.kernel[...])
    mixed = sum(head @ kernel[h] for h, head in enumerate(heads)) + np.asarray(a.out.bias[...])
    x = norm(x + mixed, layer.attention_norm)
    up = linear(x, layer.feed_forward.up)
    x = norm(x + linear(up * (1 + erf(up / np.sqrt(2))) / 2, layer.feed_forward.down),
             layer.feed_forward_norm)  # fmt: skip
    pooled = {"max": x.max(0), "first": x[0], "mean": x.mean(0)}[pooling]
    return linear(pooled, embedding.output)


@pytest.mark.parametrize("pooling", ["max", "first", "mean"])
def test_vectors_follow_the_formulas(pooling):
    embedding = embedding_of(pooling=pooling)
    tokenized = TOKENIZER(["a hello naïve"])
    expected = [piece_vector(embedding, tokenized.units_of(t), pooling) for t in range(5)]
    found = states(embedding, tokenized.batch(np.array([0]), 6))[0]
    np.testing.assert_allclose(found[:5], expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(found[5], 0)


def test_padding_of_units_and_the_rest_of_the_batch_change_nothing():
    narrow = batch_of(["a b hello", "ab"], length=5)
    reference = np.asarray(states(embedding_of(), narrow))
    more = ((0, 0), (0, 0), (0, 16 - narrow.units.shape[-1]))
    wide = narrow.replace(
        units=np.pad(narrow.units, more, constant_values=77),
        unit_mask=np.pad(narrow.unit_mask, more),
    )
    np.testing.assert_allclose(states(embedding_of(), wide), reference, rtol=0, atol=1e-5)
    longer = batch_of(["ab", "x" * 100, "a b hello"], length=6, size=4)
    found = np.asarray(states(embedding_of(), longer))
    np.testing.assert_allclose(found[2][:5], reference[0], rtol=0, atol=1e-5)


def test_kept_tokens_have_rows_of_their_own_and_the_others_theirs_by_letters():
    embedding = embedding_of(kept_ids=(7, 2))
    batch = batch_of(["a b"], length=5)
    plain = np.asarray(states(embedding, batch.replace(ids=np.full((1, 5), 9, np.int32))))
    found = np.asarray(states(embedding, batch.replace(ids=np.array([[7, 9, 2, 0, 7]], np.int32))))
    kept = np.asarray(embedding.kept[...])
    np.testing.assert_array_equal(found[0, [0, 2, 4]], kept[[0, 1, 0]])
    np.testing.assert_array_equal(found[0, [1, 3]], plain[0, [1, 3]])
    fresh = Char2SubwordEmbedding(6, **SIZES, kept_ids=(7, 2), rngs=nnx.Rngs(0))
    rows = np.random.default_rng(0).normal(size=(9, 6)).astype(np.float32)
    fresh.keep_rows(rows)
    np.testing.assert_array_equal(fresh.kept[...], rows[[7, 2]])


@pytest.mark.parametrize("pooling", ["max", "mean"])
def test_any_text_has_finite_vectors_and_slopes_and_a_piece_without_units_is_zero(pooling):
    batch = batch_of(ODD)
    mask = np.array(batch.unit_mask)
    mask[5, 2] = False
    batch = batch.replace(unit_mask=mask)

    @jax.jit
    def run(embedding):
        loss = lambda e: (e(batch).states ** 3).sum()  # noqa: E731
        return embedding(batch).states, jax.grad(loss)(embedding)

    found, slopes = run(embedding_of(pooling=pooling))
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


def test_what_does_not_fit_is_explained():
    ids = np.zeros((1, 1), np.int32)
    units = np.zeros((1, 1, 17), np.int32)
    with pytest.raises(ValueError, match="no units, and Char2SubwordEmbedding reads them"):
        embedding_of()(TextBatch(ids=ids, mask=ids == 0))
    with pytest.raises(ValueError, match="17 units a token, Char2SubwordEmbedding reads 16"):
        embedding_of()(TextBatch(ids=ids, mask=ids == 0, units=units, unit_mask=units == 0))
    for options, message in (
        ({"unit_dim": 9}, "use a multiple, e.g. unit_dim=10"),
        ({"num_layers": 0}, "num_layers=0"),
        ({"pooling": "last"}, "use 'max', 'first' or 'mean'"),
        ({"kept_ids": (1, 1)}, "give different ids"),
    ):
        with pytest.raises(ValueError, match=message):
            Char2SubwordEmbedding(6, **{**SIZES, **options}, rngs=nnx.Rngs(0))
