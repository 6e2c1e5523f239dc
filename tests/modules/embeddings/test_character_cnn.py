"""Words from convolutions over their bytes, compared with torch."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny_families import make_random

from textzoo.modules import CharacterCNNEmbedding, TextBatch, WordTokenizer
from textzoo.modules.embeddings.character_cnn import HighwayLayer

FILTERS = ((1, 3), (2, 4), (7, 5))
ODD = ["", "😀 👩\u200d👩", "e\u0301" * 500, "x" * 10_000, "שלום नमस्ते", "a b hello"]
SMALL = {"unit_dim": 4, "filters": FILTERS}
KINDS = {
    "visible_padding": {"max_units": 50, "padding_unit": 260},
    "no_padding": {},
}
every_kind = pytest.mark.parametrize("kind", KINDS)


@functools.cache
def golden():
    with np.load(Path(__file__).parents[2] / "golden" / "character_cnn.npz") as data:
        return dict(data)


@functools.cache
def embedding_of(kind, **options):
    options = {**SMALL, **KINDS[kind], **options}
    return make_random(lambda: CharacterCNNEmbedding(6, **options, rngs=nnx.Rngs(0)))


@functools.cache
def torchs():
    """The embedding with torch's weights."""
    weights = golden()
    embedding = embedding_of("visible_padding", num_highways=2)
    # Ids of the reference count from one, and what ours has in its last row they have not.
    embedding.table.set_value(jnp.asarray(np.roll(weights["table"], -1, axis=0)))
    for index in range(len(FILTERS)):
        kernel = weights[f"convolutions.{index}.weight"]  # [F, D, W]
        kernel = kernel.transpose(2, 1, 0).reshape(-1, len(kernel))
        embedding.kernels[index].set_value(jnp.asarray(kernel))
        embedding.biases[index].set_value(jnp.asarray(weights[f"convolutions.{index}.bias"]))
    layers = [(embedding.projection, "projection")]
    layers += [(embedding.highways[index].dense, f"highways.{index}") for index in range(2)]
    for layer, name in layers:
        layer.kernel.set_value(jnp.asarray(weights[f"{name}.weight"].T))
        layer.bias.set_value(jnp.asarray(weights[f"{name}.bias"]))
    return embedding


@jax.jit
def states(embedding, batch):
    return embedding(batch).states


def widened(batch, size):
    """The batch with units padded to ``size`` by numbers that stand for nothing."""
    more = ((0, 0), (0, 0), (0, size - batch.units.shape[-1]))
    units = np.pad(batch.units, more, constant_values=77)
    return batch.replace(units=units, unit_mask=np.pad(batch.unit_mask, more))


def batch_of(texts, length=6, size=None, **options):
    tokenized = WordTokenizer(max_length=length, **options)(texts)
    return tokenized.batch(np.arange(len(texts)), length, size or len(texts))


def test_vectors_are_those_of_torch():
    tokenizer = WordTokenizer(split="spaces")
    text = " ".join(golden()["words"][1:-1].tolist())
    expected = golden()["vectors"]
    batch = tokenizer([text]).batch(np.array([0]), len(expected))
    np.testing.assert_allclose(states(torchs(), batch)[0], expected, rtol=0, atol=1e-5)


def test_vectors_of_short_words_are_those_of_torch_however_narrow_the_batch():
    words, vectors = golden()["words"].tolist(), golden()["vectors"]
    batch = WordTokenizer(split="spaces")([" ".join(words[1:5])]).batch(np.array([0]), 6)
    assert batch.units.shape[-1] == 8
    expected = vectors[[0, 1, 2, 3, 4, -1]]
    np.testing.assert_allclose(states(torchs(), batch)[0], expected, rtol=0, atol=1e-5)


@every_kind
def test_padding_of_units_and_words_and_the_rest_of_the_batch_change_nothing(kind):
    embedding = embedding_of(kind)
    narrow = batch_of(["a b hello", "ab"], length=5)
    assert narrow.units.shape[-1] == 8
    reference = np.asarray(states(embedding, narrow))
    for size in (9, 50):
        found = states(embedding, widened(narrow, size))
        np.testing.assert_allclose(found, reference, rtol=0, atol=1e-5)
    longer = batch_of(["ab", "x" * 100, "a b hello"], length=6, size=4)
    found = np.asarray(states(embedding, longer))
    np.testing.assert_allclose(found[2][:5], reference[0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(found[0][:3], reference[1][:3], rtol=0, atol=1e-5)


@every_kind
def test_any_text_has_finite_vectors_and_slopes(kind):
    embedding = embedding_of(kind)
    batch = batch_of(ODD)
    empty = np.array(batch.unit_mask)
    empty[5, 2] = False  # A word without units.
    batch = batch.replace(unit_mask=empty)

    @jax.jit
    def run(embedding):
        states = embedding(batch).states
        return states, jax.grad(lambda e: (e(batch).states ** 2).sum())(embedding)

    found, slopes = run(embedding)
    assert np.isfinite(found).all()
    for path, value in jax.tree_util.tree_leaves_with_path(slopes):
        assert np.isfinite(value).all() and np.any(np.asarray(value)), path
    unused = np.setdiff1d(np.arange(263), [*np.unique(batch.units[batch.unit_mask]), 260])
    np.testing.assert_array_equal(np.asarray(slopes.table[...])[unused], 0)


def test_fresh_highways_let_their_input_pass():
    options = {"activation": "relu", "dtype": None, "param_dtype": "float32"}
    layer = HighwayLayer(3, **options, rngs=nnx.Rngs(0))
    # sigmoid(1) is 0.731.
    np.testing.assert_array_equal(layer.dense.bias[...], [0, 0, 0, 1, 1, 1])


def test_half_precision_is_close():
    batch = batch_of(["hello b"], length=4)
    found = states(embedding_of("no_padding", dtype="bfloat16"), batch)
    assert found.dtype == jnp.bfloat16
    reference = np.asarray(states(embedding_of("no_padding"), batch))
    np.testing.assert_allclose(np.asarray(found, np.float32), reference, atol=0.1, rtol=0.05)


def test_what_does_not_fit_is_explained():
    embedding = embedding_of("visible_padding")
    ids = np.zeros((1, 1), np.int32)
    with pytest.raises(ValueError, match="no units, and CharacterCNNEmbedding reads them"):
        embedding(TextBatch(ids=ids, mask=ids == 0))
    units = np.zeros((1, 1, 51), np.int32)
    with pytest.raises(ValueError, match="51 units a token, CharacterCNNEmbedding reads 50"):
        embedding(TextBatch(ids=ids, mask=ids == 0, units=units, unit_mask=units == 0))
    for options, message in (
        ({"filters": []}, "give pairs"),
        ({"filters": [[1, 0]]}, "give pairs"),
        ({"max_units": 6}, "less than a filter of width 7"),
        ({"padding_unit": 260}, "padding_unit=260 with max_units=None"),
        ({"padding_unit": 263, "max_units": 50}, "one of the 263 units"),
        ({"unit_dim": 0}, "unit_dim=0"),
    ):
        with pytest.raises(ValueError, match=message):
            CharacterCNNEmbedding(6, **{**SMALL, **options}, rngs=nnx.Rngs(0))


def test_a_unit_without_a_row_is_seen():
    batch = batch_of(["a"], units="characters", num_characters=500)
    found = np.asarray(states(embedding_of("no_padding"), batch))
    assert np.isnan(found[0, 0]).all()
