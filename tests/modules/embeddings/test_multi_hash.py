"""Hashed features of words, compared with spaCy's MultiHashEmbed."""

import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny_families import make_random

import textzoo
from textzoo.errors import ConfigError
from textzoo.modules import LexicalTokenizer, MultiHashEmbedding, TextBatch
from textzoo.modules.tokenizers.lexical import _hashes

GOLDEN = Path(__file__).parents[2] / "golden"
WORDS = list(json.loads((GOLDEN / "lexical.json").read_text("utf-8"))["words"])
FEATURES = LexicalTokenizer().features
ODD = ["", "😀 👩\u200d👩", "e\u0301" * 500, "x" * 10_000, "שלום नमस्ते", "a b c"]


@functools.cache
def spacys() -> MultiHashEmbedding:
    """The embedding with the weights of spaCy's."""
    with np.load(GOLDEN / "multi_hash.npz") as data:
        golden = dict(data)
    rows = [len(golden[f"table{index}"]) for index in range(4)]
    embedding = make_random(lambda: MultiHashEmbedding(6, num_rows=rows, rngs=nnx.Rngs(0)))
    for index, table in enumerate(embedding.tables):
        table.set_value(jnp.asarray(golden[f"table{index}"]))
    embedding.maxout.kernel.set_value(jnp.asarray(golden["maxout_W"].transpose(2, 1, 0)))
    embedding.maxout.bias.set_value(jnp.asarray(golden["maxout_b"].T))
    embedding.norm.scale.set_value(jnp.asarray(golden["layernorm_G"]))
    embedding.norm.bias.set_value(jnp.asarray(golden["layernorm_b"]))
    return embedding


@jax.jit
def states(embedding, batch):
    return embedding(batch).states


def batch_of(*texts, length=10, size=None):
    tokenized = LexicalTokenizer(max_length=length)(texts)
    return tokenized.batch(np.arange(len(texts)), length, size or len(texts))


def test_states_are_those_of_spacy():
    with np.load(GOLDEN / "multi_hash.npz") as data:
        expected = data["states"]
    units = np.array([_hashes(word, FEATURES) for word in WORDS], np.uint32).view(np.int32)
    ids = np.zeros((1, len(WORDS)), np.int32)
    batch = TextBatch(ids=ids, mask=ids == 0, units=units[None])
    np.testing.assert_allclose(spacys()(batch).states[0], expected, rtol=0, atol=1e-5)


def test_padding_and_the_rest_of_the_batch_change_nothing():
    narrow, wide = batch_of(*ODD, length=8), batch_of(*ODD[::-1], length=8, size=9)
    found, other = (np.asarray(states(spacys(), batch)) for batch in (narrow, wide))
    assert np.isfinite(found).all() and found.std() > 0.1
    for row in range(len(ODD)):
        real = narrow.mask[row]
        np.testing.assert_allclose(found[row][real], other[len(ODD) - 1 - row][real], atol=1e-6)


def test_gradients_reach_every_parameter():
    batch = batch_of("The quick brown fox", "Hello 1,234 😀")

    @jax.jit
    def slopes(embedding):
        return jax.grad(lambda e: (e(batch).states ** 3).sum())(embedding)

    for path, value in jax.tree_util.tree_leaves_with_path(slopes(spacys())):
        assert np.isfinite(value).all() and np.any(np.asarray(value)), path


def test_half_precision_is_close():
    narrow, full = (
        make_random(lambda d=d: MultiHashEmbedding(6, num_rows=(20, 9), dtype=d, rngs=nnx.Rngs(0)))
        for d in ("bfloat16", None)
    )
    tokenizer = LexicalTokenizer(features=("norm", "shape"))
    batch = tokenizer(["Hello 1,234"]).batch(np.array([0]), 4)
    found = states(narrow, batch)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(found.astype(jnp.float32), states(full, batch), atol=0.1)


def test_a_registered_model_reads_any_text_and_is_saved(tmp_path):
    model = textzoo.create_model("multi_hash_tiny", rngs=nnx.Rngs(0))
    encoder = textzoo.TextEncoder(model)
    vectors = encoder.encode(ODD)
    assert (
        vectors[1:].any(axis=1).all()
        and vectors.shape == (len(ODD), encoder.dimension)
        and np.isfinite(vectors).all()
    )
    np.testing.assert_array_equal(vectors[0], 0)
    encoder.save(tmp_path / "model")
    np.testing.assert_allclose(textzoo.load(tmp_path / "model").encode(ODD), vectors, atol=1e-6)


def test_what_does_not_fit_is_explained():
    plain = batch_of("a").replace(units=None)
    with pytest.raises(ValueError, match="no units, and MultiHashEmbedding reads 16"):
        spacys()(plain)
    few = LexicalTokenizer(features=["norm"])(["a"]).batch(np.array([0]), 1)
    with pytest.raises(ValueError, match="4 units a word.*4 for each of 4 features"):
        spacys()(few)
    for options in ({"num_rows": 5}, {"num_rows": []}, {"num_rows": [0]}, {"num_pieces": 0}):
        with pytest.raises(ValueError, match="num_rows=|num_pieces=0"):
            MultiHashEmbedding(4, **options, rngs=nnx.Rngs(0))
    config = textzoo.ModelConfig(
        tokenizer=textzoo.Part("LexicalTokenizer"),
        embedding=textzoo.Part("SubwordEmbedding", vocab_size=9, width=4),
    )
    with pytest.raises(ConfigError, match="does not fit the table"):
        textzoo.TextEncoder(textzoo.build(config, rngs=nnx.Rngs(0)))
