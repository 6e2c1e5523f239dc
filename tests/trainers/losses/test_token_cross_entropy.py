import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from textzoo.trainers.losses.token_cross_entropy import (
    blocked_token_cross_entropy,
    split_slots,
    token_cross_entropy,
)

B, M, D, V = 3, 7, 4, 11
RNG = np.random.default_rng(0)
STATES = jnp.asarray(RNG.normal(size=(B, M, D)), jnp.float32)
TABLE = jnp.asarray(RNG.normal(size=(D, V)), jnp.float32)
TARGETS = jnp.asarray(RNG.integers(0, V, (B, M)))
WEIGHTS = jnp.asarray(RNG.integers(0, 2, (B, M)), jnp.float32)


@functools.partial(jax.jit, static_argnames="block")
@functools.partial(jax.value_and_grad, argnums=(0, 1), has_aux=True)
def run(states, table, weights, block=None):
    loss, accuracy = blocked_token_cross_entropy(
        lambda part: part @ table, states, TARGETS, weights, block=block
    )
    return loss.value(), (loss, accuracy)


def test_the_loss_by_hand():
    logits = jnp.log(jnp.asarray([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8], [0.2, 0.2, 0.6]]]))
    targets = jnp.asarray([[1, 2, 0]])
    loss, accuracy = token_cross_entropy(logits, targets, jnp.asarray([[1.0, 1.0, 0.0]]))
    # -log 0.25 - log 0.8; the second is the most probable, the third does not count.
    np.testing.assert_allclose(loss.numerator, 1.386294 + 0.223144, rtol=1e-5)
    assert (loss.denominator, accuracy.numerator, accuracy.denominator) == (2, 1, 2)


def test_weights_weigh():
    logits = jnp.log(jnp.asarray([[[0.5, 0.5], [0.25, 0.75]]]))
    loss, _ = token_cross_entropy(logits, jnp.asarray([[0, 0]]), jnp.asarray([[3.0, 0.5]]))
    np.testing.assert_allclose(loss.numerator, 3 * 0.693147 + 0.5 * 1.386294, rtol=1e-5)
    assert loss.denominator == 3.5


def test_scores_may_be_narrow_and_shifted():
    logits = STATES @ TABLE
    plain, _ = token_cross_entropy(logits, TARGETS, WEIGHTS)
    shifted, _ = token_cross_entropy(logits + 1000, TARGETS, WEIGHTS)
    np.testing.assert_allclose(shifted.numerator, plain.numerator, rtol=1e-3)
    narrow, _ = token_cross_entropy(logits.astype(jnp.bfloat16), TARGETS, WEIGHTS)
    assert narrow.numerator.dtype == jnp.float32
    np.testing.assert_allclose(narrow.numerator, plain.numerator, rtol=1e-2)


def test_positions_without_weight_count_for_nothing_even_if_they_are_not_finite():
    logits = STATES @ TABLE
    weights = WEIGHTS.at[0, 0].set(0.0)

    @jax.value_and_grad
    def loss(logits):
        return token_cross_entropy(logits, TARGETS, weights)[0].value()

    plain, gradient = loss(logits)
    unused = np.asarray(weights) == 0
    np.testing.assert_array_equal(np.asarray(gradient)[unused], 0)
    assert (np.abs(np.asarray(gradient)[~unused]).max(axis=-1) > 0).all()
    assert loss(logits.at[0, 0].set(jnp.inf))[0] == plain


@pytest.mark.parametrize("block", [1, 3, 7, 20])
def test_blocks_give_the_loss_and_gradients_of_the_whole(block):
    (plain, plain_terms), plain_gradients = run(STATES, TABLE, WEIGHTS)
    (loss, terms), gradients = run(STATES, TABLE, WEIGHTS, block=block)
    np.testing.assert_allclose(loss, plain, rtol=1e-6)
    assert terms[1] == plain_terms[1]
    for ours, theirs in zip(gradients, plain_gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("block", [None, 3])
def test_nothing_to_predict_is_no_loss(block):
    (loss, _), gradients = run(STATES, TABLE, jnp.zeros((B, M)), block=block)
    assert loss == 0
    assert all((np.asarray(gradient) == 0).all() for gradient in gradients)


def test_blocks_never_hold_all_scores():
    def holds(shape, block):
        return f"tensor<{shape}xf32>" in run.lower(STATES, TABLE, WEIGHTS, block=block).as_text()

    assert holds(f"{B}x{M}x{V}", None)
    assert not holds(f"{B}x{M}x{V}", 3)
    # Nor one block after the other, for the gradient.
    assert holds(f"3x{B}x3x{D}", 3)
    assert not holds(f"3x{B}x3x{V}", 3)


def test_blocks_divide_slots_and_not_rows():
    values = jnp.arange(10).reshape(2, 5)
    found = split_slots(values, 2)
    wanted = [[[0, 1], [5, 6]], [[2, 3], [7, 8]], [[4, 0], [9, 0]]]
    np.testing.assert_array_equal(found, wanted)


def test_a_block_has_positions():
    with pytest.raises(ValueError, match="block=0; use 1 or more positions"):
        blocked_token_cross_entropy(lambda part: part, STATES, TARGETS, WEIGHTS, block=0)
