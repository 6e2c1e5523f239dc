import jax
import jax.numpy as jnp
import numpy as np
import pytest

from textzoo.trainers.losses.orthogonality import orthogonal_regularization
from textzoo.trainers.losses.temperature import limited_scale


def test_a_scale_within_the_limit_is_an_exponential():
    value, slope = jax.value_and_grad(limited_scale)(jnp.log(20.0))
    np.testing.assert_allclose([value, slope], [20, 20], rtol=1e-6)


def test_a_scale_beyond_the_limit_is_cut_and_can_only_come_back():
    beyond = jnp.log(150.0)
    assert limited_scale(beyond) == 100
    assert jax.grad(lambda x: limited_scale(x))(beyond) == 100  # descent makes it smaller
    assert jax.grad(lambda x: -limited_scale(x))(beyond) == 0  # descent would make it larger


def test_descent_does_not_leave_the_limit_behind():
    scale = jnp.log(99.0)
    for _ in range(100):
        scale -= 0.01 * jnp.sign(jax.grad(lambda x: -limited_scale(x))(scale))
    assert scale <= jnp.log(100.0) + 0.01


def test_orthogonality_of_three_vectors_by_hand():
    # Cosines of pairs: 1, 0, 0, each twice: m1 = 1/3, m2 = 1/3; 1/3^2 + 2 (1/3 - 1/4).
    vectors = jnp.array([[2.0, 0, 0, 0], [1, 0, 0, 0], [0, 3, 0, 0]])
    loss = orthogonal_regularization(vectors, second_moment_weight=2.0)
    np.testing.assert_allclose(loss.value(), 1 / 9 + 2 / 12, rtol=1e-6)


def test_orthogonality_ignores_filler_and_single_texts():
    vectors = jnp.array([[2.0, 0, 0, 0], [1, 0, 0, 0], [0, 3, 0, 0], [1, 1, 1, 1]])
    filled = orthogonal_regularization(vectors, row_mask=jnp.array([True, True, True, False]))
    assert filled.value() == orthogonal_regularization(vectors[:3]).value()
    gradient = jax.grad(
        lambda v: orthogonal_regularization(v, row_mask=jnp.array([True, False])).value()
    )(jnp.array([[1.0, 2.0], [3.0, 4.0]]))
    assert not gradient.any()


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0)])
def test_orthogonality_is_its_definition_over_pairs(weights):
    vectors = np.random.default_rng(0).normal(size=(9, 5)) + 0.5
    x = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = (x @ x.T)[~np.eye(9, dtype=bool)]
    expected = weights[0] * cosines.mean() ** 2
    expected += weights[1] * max(0, np.square(cosines).mean() - 1 / 5)
    loss = orthogonal_regularization(
        jnp.array(vectors, jnp.float32), mean_weight=weights[0], second_moment_weight=weights[1]
    )
    np.testing.assert_allclose(loss.value(), expected, rtol=1e-5)
