"""What holds for every embedding whose rows are computed from ids."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from textzoo.config import ModelConfig, Part
from textzoo.modules import TextBatch
from textzoo.parts import build, build_part

V, D = 40, 8
PARTS = {
    "code_points": Part("CodePointHashEmbedding", num_rows=7, num_hashes=4),
    "fourier": Part("FourierEmbedding"),
    "fourier_learned": Part(
        "FourierEmbedding", refinement="geglu", frequencies="geometric", learn_frequencies=True
    ),
    "hashed": Part("HashedEmbedding", num_rows=7, num_hashes=2, use_weights=True),
    "product_quantized": Part("ProductQuantizedEmbedding", num_parts=4, num_codes=5),
    "product_quantized_learned": Part(
        "ProductQuantizedEmbedding", num_parts=4, num_codes=5, learn_codes=True
    ),
    "quotient_remainder": Part("QuotientRemainderEmbedding"),
    "subspace": Part("SubspaceEmbedding", num_parts=3),
    "tensor_train": Part("TensorTrainEmbedding", rank=3),
}
IDS = np.array([[3, 0, 39], [1, 1, 2]], np.int32)
BATCH = TextBatch(ids=IDS, mask=np.array([[1, 1, 1], [1, 1, 0]], bool))
STATES = np.random.default_rng(0).normal(size=(2, D)).astype(np.float32)

every = pytest.mark.parametrize("name", PARTS)


def build_embedding(name, **options):
    part = PARTS[name].replace(vocab_size=V, width=D, **options)
    return build_part(part, where="embedding", rngs=nnx.Rngs(0))


@functools.cache
def compiled(name):
    """The embedding, and what it does compiled: states of a batch, all rows, scores of states."""
    embedding = build_embedding(name)

    @jax.jit
    def run(embedding, batch, states):
        every_id = jnp.arange(V, dtype=jnp.int32)
        return embedding(batch).states, embedding.rows(every_id), embedding.attend(states)

    return embedding, functools.partial(run, embedding)


@every
def test_a_state_is_the_row_of_its_id_whatever_is_padding(name):
    embedding, run = compiled(name)
    states, rows, _ = run(BATCH, STATES)
    np.testing.assert_allclose(states, rows[IDS], atol=1e-6)
    assert (embedding.vocab_size, embedding.width) == (V, D)
    other, _, _ = run(TextBatch(ids=IDS[::-1], mask=BATCH.mask), STATES)
    np.testing.assert_allclose(other, states[::-1], atol=1e-6)


@every
def test_compiled_equals_eager(name):
    embedding, run = compiled(name)
    np.testing.assert_allclose(embedding(BATCH).states, run(BATCH, STATES)[0], atol=1e-6)


@every
def test_attend_scores_every_row(name):
    _, rows, scores = compiled(name)[1](BATCH, STATES)
    np.testing.assert_allclose(scores, STATES @ np.asarray(rows).T, atol=1e-5)


@every
def test_an_id_outside_gives_nan_and_spoils_no_other(name):
    _, run = compiled(name)
    for bad in (-1, V, 1_000_000):
        ids = np.where(IDS == 39, bad, IDS).astype(np.int32)
        states = np.asarray(run(TextBatch(ids=ids, mask=BATCH.mask), STATES)[0])
        assert np.isnan(states[0, 2]).all()
        assert np.isfinite(states[0, :2]).all() and np.isfinite(states[1]).all()


@every
def test_half_precision_is_near_and_scores_are_float32(name):
    half = build_embedding(name, dtype="bfloat16")
    rows = half.rows(jnp.arange(V))
    states = half(BATCH).states
    assert states.dtype == jnp.bfloat16
    assert all(p.dtype == jnp.float32 for p in jax.tree.leaves(nnx.state(half, nnx.Param)))
    exact = np.asarray(compiled(name)[1](BATCH, STATES)[1])
    np.testing.assert_allclose(rows.astype(jnp.float32), exact, atol=2e-2 * np.abs(exact).max())
    assert half.attend(jnp.asarray(STATES, jnp.bfloat16)).dtype == jnp.float32


@every
def test_a_built_model_is_the_same_from_its_config(name):
    config = ModelConfig(embedding=PARTS[name].replace(vocab_size=V, width=D))
    again = ModelConfig.from_dict(config.to_dict())
    assert again == config
    states = build(again, rngs=nnx.Rngs(0)).embedding(BATCH).states
    np.testing.assert_allclose(states, compiled(name)[1](BATCH, STATES)[0], atol=1e-6)


@every
@pytest.mark.parametrize("sizes", [{"vocab_size": 0}, {"width": -1}, {"width": True}])
def test_sizes_are_positive_whole_numbers(name, sizes):
    part = PARTS[name].replace(**{"vocab_size": V, "width": D, **sizes})
    with pytest.raises(ValueError, match="use a whole number, 1 or more"):
        build_part(part, where="embedding", rngs=nnx.Rngs(0))
