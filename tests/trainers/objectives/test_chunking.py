import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from vector_batches import make_batch, make_model, rngs, training

from textzoo.errors import ConfigError
from textzoo.trainers.objectives.base import encode
from textzoo.trainers.objectives.chunking import encode_chunked
from textzoo.trainers.strides import join, split


def vectors_and_gradient(model, encode_texts, rows=7):
    """Vectors, and the gradient of a function of all of them together."""
    texts = make_batch(rows, 1).texts[0]
    graph, params, others = nnx.split(model, nnx.Param, ...)
    weights = jnp.array(np.random.default_rng(1).normal(size=(rows, rows)), jnp.float32)

    def total(params):
        vectors = encode_texts(nnx.merge(graph, params, others), texts)
        return (weights * jnp.tanh(vectors @ vectors.T)).sum(), vectors

    (_, vectors), gradient = jax.jit(jax.value_and_grad(total, has_aux=True))(params)
    return vectors, jax.tree.leaves(gradient)


def assert_equal_gradients(one, other):
    for mine, theirs in zip(one, other, strict=True):
        assert np.linalg.norm(mine - theirs) <= 1e-6 * max(np.linalg.norm(theirs), 1e-3)


@pytest.mark.parametrize("chunk_size", [1, 3, 7, 20])
def test_chunks_give_the_plain_vectors_and_gradient(chunk_size):
    model = make_model()
    plain, expected = vectors_and_gradient(model, lambda m, texts: encode(m, texts, rngs()))
    chunked, found = vectors_and_gradient(
        model, lambda m, texts: encode_chunked(m, texts, chunk_size, rngs())
    )
    np.testing.assert_allclose(chunked, plain, atol=1e-6)
    assert_equal_gradients(found, expected)
    assert max(np.linalg.norm(x) for x in expected) > 0.1


def test_the_second_encoding_of_a_chunk_drops_what_the_first_dropped():
    # The same chunks and keys in a plain Python loop, in which nothing is encoded twice.
    model = training(make_model(dropout=0.5))

    def by_loop(model, texts):
        keys = jax.random.split(rngs().dropout(), 3)
        parts = jax.tree.map(lambda rows: split(rows, 3), texts)
        found = [
            encode(model, jax.tree.map(lambda rows: rows[k], parts), nnx.Rngs(dropout=keys[k]))  # noqa: B023
            for k in range(3)
        ]
        return join(jnp.stack(found), 7)

    looped, expected = vectors_and_gradient(model, by_loop)
    chunked, found = vectors_and_gradient(
        model, lambda m, texts: encode_chunked(m, texts, 3, rngs())
    )
    np.testing.assert_allclose(chunked, looped, atol=1e-6)
    assert_equal_gradients(found, expected)


def test_equal_texts_in_different_chunks_are_dropped_differently():
    model = training(make_model(dropout=0.5))
    one = make_batch(1, 1).texts[0]
    texts = jax.tree.map(lambda rows: jnp.repeat(rows, 4, axis=0), one)
    vectors = jax.jit(lambda: encode_chunked(model, texts, 1, rngs()))()
    assert len(np.unique(np.round(vectors, 5), axis=0)) == 4


def test_the_same_key_gives_the_same_vectors():
    model = training(make_model(dropout=0.5))
    texts = make_batch(4, 1).texts[0]
    run = jax.jit(lambda seed: encode_chunked(model, texts, 2, nnx.Rngs(dropout=seed)))
    first, again, other = (run(jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_activations_of_one_chunk_are_held_at_most():
    model = make_model()
    graph, params = nnx.split(model)

    def memory(rows, chunk_size):
        texts = make_batch(rows, 1, length=16).texts[0]

        def total(params, texts):
            return encode_chunked(nnx.merge(graph, params), texts, chunk_size, rngs()).sum()

        compiled = jax.jit(jax.grad(total)).lower(params, texts).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    plain = memory(256, None)
    assert memory(256, 16) < plain / 4
    assert memory(512, 16) < plain / 4


@pytest.mark.parametrize(("rows", "parts"), [(6, 3), (7, 3), (2, 5)])
def test_splitting_deals_rows_out_in_turn_and_joining_undoes_it(rows, parts):
    numbers = 1 + jnp.arange(rows)
    cut = split(numbers, parts)
    for k in range(parts):
        assert [n for n in cut[k].tolist() if n] == list(range(1 + k, 1 + rows, parts))
    np.testing.assert_array_equal(join(cut, rows), numbers)


def test_chunks_without_rows_are_refused():
    with pytest.raises(ConfigError, match="chunk_size=0"):
        encode_chunked(make_model(), make_batch().texts[0], 0, rngs())
