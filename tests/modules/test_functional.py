import math

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

from textzoo.modules.functional import (
    ACTIVATIONS,
    activation,
    masked_mean,
    masked_sum,
    relative_buckets,
    rotate,
)

GRID = np.linspace(-8, 8, 1001, dtype=np.float32)


def test_gelu_is_x_times_the_normal_distribution_function():
    exact = [x * 0.5 * math.erfc(-x / math.sqrt(2)) for x in GRID.astype(np.float64)]
    np.testing.assert_allclose(activation("gelu")(jnp.asarray(GRID)), exact, atol=1e-6)


def test_gelu_tanh_is_close_to_gelu_but_not_the_same():
    x = jnp.asarray(GRID)
    difference = np.abs(activation("gelu_tanh")(x) - activation("gelu")(x)).max()
    assert 1e-4 < difference < 1e-3


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations_keep_the_type_and_have_finite_gradients(name):
    f = activation(name)
    assert f(jnp.ones(3, jnp.bfloat16)).dtype == jnp.bfloat16
    assert np.isfinite(jax.grad(lambda x: f(x).sum())(jnp.asarray(GRID))).all()


def test_an_unknown_activation_lists_the_known_ones():
    with pytest.raises(ValueError, match="activation='swish' is unknown; use one of .*silu"):
        activation("swish")


STATES = jnp.asarray([[[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]]])


def test_masked_sum_and_mean_by_hand():
    mask = jnp.asarray([[True, False, True]])
    np.testing.assert_array_equal(masked_sum(STATES, mask), [[5, 50]])
    np.testing.assert_array_equal(masked_mean(STATES, mask), [[2.5, 25]])
    weights = jnp.asarray([[1.0, 0.0, 3.0]])  # (1 * 1 + 3 * 4) / 4
    np.testing.assert_array_equal(masked_mean(STATES, weights), [[3.25, 32.5]])


def test_masks_of_spans_equal_one_mask_at_a_time():
    masks = jnp.asarray([[[1, 1, 0], [0, 0, 0], [0, 1, 1]]], bool)
    together = masked_mean(STATES, masks)
    assert together.shape == (1, 3, 2)
    for span in range(3):
        np.testing.assert_allclose(together[:, span], masked_mean(STATES, masks[:, span]))


def test_an_empty_mask_gives_zeros_and_a_finite_gradient():
    mask = jnp.zeros((1, 3), bool)
    np.testing.assert_array_equal(masked_mean(STATES, mask), 0)
    gradient = jax.grad(lambda x: masked_mean(x, mask).sum())(STATES)
    np.testing.assert_array_equal(gradient, 0)


def test_masked_states_have_zero_gradient():
    mask = jnp.asarray([[True, False, True]])
    gradient = jax.grad(lambda x: masked_mean(x, mask).sum())(STATES)
    np.testing.assert_array_equal(gradient, [[[0.5, 0.5], [0, 0], [0.5, 0.5]]])


@pytest.mark.parametrize("spans", [False, True])
def test_sums_of_half_precision_states_are_float32(spans):
    # In bfloat16, 256 + 1 is 256: the ones would be lost.
    states = jnp.ones((1, 300, 1), jnp.bfloat16)
    mask = jnp.ones((1, 1, 300) if spans else (1, 300), bool)
    total = masked_sum(states, mask)
    assert total.dtype == jnp.float32
    np.testing.assert_array_equal(total, np.full(total.shape, 300))


def test_rotation_by_hand():
    # One head of width 4: pairs (x0, x2) and (x1, x3), turned by position and position / 10.
    x = jnp.asarray([1.0, 1.0, 0.0, 0.0]).reshape(1, 1, 1, 4)
    turned = rotate(x, jnp.asarray([[2]]), theta=100.0).ravel()
    np.testing.assert_allclose(
        turned, [math.cos(2), math.cos(0.2), math.sin(2), math.sin(0.2)], rtol=1e-6
    )


def test_position_zero_does_not_rotate():
    x = jax.random.normal(jax.random.key(0), (2, 3, 2, 8))
    np.testing.assert_array_equal(rotate(x, jnp.zeros((1, 3), jnp.int32), 1e4), x)


def test_rotation_keeps_lengths_and_types():
    x = jax.random.normal(jax.random.key(0), (2, 3, 2, 8))
    turned = rotate(x, jnp.asarray([[0, 7, 500]]), 1e4)
    np.testing.assert_allclose(
        jnp.linalg.norm(turned, axis=-1), jnp.linalg.norm(x, axis=-1), rtol=1e-5
    )
    assert rotate(x.astype(jnp.bfloat16), jnp.asarray([[0, 1, 2]]), 1e4).dtype == jnp.bfloat16


@given(first=st.integers(0, 500), second=st.integers(0, 500), shift=st.integers(1, 500))
def test_products_of_rotated_vectors_depend_on_their_distance_alone(first, second, shift):
    q, k = jax.random.normal(jax.random.key(0), (2, 1, 1, 1, 8))

    def product(q_position: int, k_position: int) -> jax.Array:
        turned_q = rotate(q, jnp.asarray([[q_position]]), 1e4)
        turned_k = rotate(k, jnp.asarray([[k_position]]), 1e4)
        return (turned_q * turned_k).sum()

    np.testing.assert_allclose(
        product(first, second), product(first + shift, second + shift), atol=1e-3
    )


def test_relative_buckets_by_hand():
    # 8 buckets: 0 to 3 for keys at or before the query, 4 to 7 for keys after it. Distances 0 and
    # 1 have their own; then one bucket up to sqrt(2 * 16) = 5.7 and one for everything beyond.
    distances = jnp.asarray([0, -1, -2, -5, -6, -16, -1000, 1, 2, 5, 6, 16, 1000])
    np.testing.assert_array_equal(
        relative_buckets(distances, 8, 16), [0, 1, 2, 2, 3, 3, 3, 5, 6, 6, 7, 7, 7]
    )


def test_relative_buckets_grow_with_the_distance_and_stay_in_range():
    steps = np.arange(0, 600)
    for sign, first in ((1, 16), (-1, 0)):
        buckets = np.asarray(relative_buckets(jnp.asarray(sign * steps), 32, 128))[1:]
        assert (np.diff(buckets) >= 0).all()
        assert buckets[0] == first + 1
        assert buckets[-1] == first + 15
        assert (buckets[127:] == first + 15).all()
