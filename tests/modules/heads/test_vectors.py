import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from textzoo.modules import Dense, Normalize


def make_dense(**options) -> Dense:
    dense = Dense(2, 3, rngs=nnx.Rngs(0), **options)
    dense.linear.kernel.set_value(jnp.asarray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    return dense


def test_dense_by_hand():
    dense = make_dense()
    dense.linear.bias.set_value(jnp.asarray([0.5, 0.0, -0.5]))
    # [1, 10] W + b
    np.testing.assert_array_equal(dense(jnp.asarray([[1.0, 10.0]])), [[41.5, 52, 62.5]])


def test_dense_applies_its_activation():
    x = jnp.asarray([[0.1, -0.2]])
    np.testing.assert_allclose(
        make_dense(activation="tanh")(x), np.tanh(make_dense()(x)), rtol=1e-6
    )


def test_dense_maps_spans_like_texts():
    x = jax.random.normal(jax.random.key(0), (4, 5, 2))
    dense = make_dense()
    np.testing.assert_allclose(dense(x)[:, 3], dense(x[:, 3]), rtol=1e-6)


def test_dense_without_bias_has_one_parameter():
    dense = make_dense(use_bias=False)
    assert len(jax.tree.leaves(nnx.state(dense))) == 1
    np.testing.assert_array_equal(dense(jnp.zeros((1, 2))), 0)


def test_dense_computes_and_stores_in_the_types_it_is_given():
    dense = make_dense(dtype="bfloat16")
    assert dense.linear.kernel.dtype == jnp.float32
    assert dense(jnp.ones((1, 2))).dtype == jnp.bfloat16
    stored = Dense(2, 3, param_dtype="bfloat16", rngs=nnx.Rngs(0))
    assert stored.linear.kernel.dtype == jnp.bfloat16


def test_dense_refuses_an_unknown_activation_when_it_is_built():
    with pytest.raises(ValueError, match="activation='swish' is unknown"):
        Dense(2, 3, activation="swish", rngs=nnx.Rngs(0))


def test_dense_names_its_axes_for_sharding():
    assert make_dense().linear.kernel.out_sharding == ("embed", None)


def test_normalize_by_hand():
    np.testing.assert_allclose(
        Normalize()(jnp.asarray([[3.0, 4.0], [-5.0, 0.0]])), [[0.6, 0.8], [-1, 0]], rtol=1e-6
    )


def test_normalize_does_not_depend_on_the_length():
    x = jax.random.normal(jax.random.key(0), (3, 4, 8))
    for scale in (1e-10, 1.0, 1e10):
        np.testing.assert_allclose(Normalize()(scale * x), Normalize()(x), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(jnp.linalg.norm(Normalize()(scale * x), axis=-1), 1, rtol=1e-6)


def test_lengths_below_the_floor_of_the_equation_are_not_blown_up():
    # Length 5e-14, divided by 1e-12.
    np.testing.assert_allclose(
        Normalize()(jnp.asarray([[3e-14, 4e-14]])), [[0.03, 0.04]], rtol=1e-5
    )


def test_a_zero_vector_stays_zero_and_sends_no_gradient():
    x = jnp.asarray([[0.0, 0.0], [3.0, 4.0]])
    np.testing.assert_array_equal(Normalize()(x)[0], 0)
    gradient = jax.grad(lambda x: (Normalize()(x) * jnp.asarray([1.0, 2.0])).sum())(x)
    np.testing.assert_array_equal(gradient[0], 0)
    assert np.abs(gradient[1]).sum() > 0


def test_normalize_computes_in_float32():
    x = jnp.asarray([[3.0, 4.0]], jnp.bfloat16)
    result = Normalize()(x)
    assert result.dtype == jnp.float32
    np.testing.assert_allclose(result, [[0.6, 0.8]], rtol=1e-6)


def test_dense_keeps_the_names_of_its_features():
    assert Dense(2, 3, labels=["a", "b", "c"], rngs=nnx.Rngs(0)).labels == ("a", "b", "c")
    for labels in (("a", "b"), "abc"):
        with pytest.raises(ValueError, match="a name for each feature"):
            Dense(2, 3, labels=labels, rngs=nnx.Rngs(0))
