"""Attention: masks, blocks, positions, gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny_families import make_random

from textzoo.modules import attention
from textzoo.modules.attention import SelfAttention, attention_weights
from textzoo.modules.functional import relative_buckets, rotate


def use_blocks(monkeypatch, block_scores):
    """Makes blocks so small that tiny inputs need several."""
    in_blocks = attention._attend_in_blocks
    monkeypatch.setattr(attention, "_CPU_BLOCK_SCORES", block_scores)
    # A function of its own: JAX remembers what it traced by function and shapes.
    monkeypatch.setattr(attention, "_attend_in_blocks", lambda *args: in_blocks(*args))


def make_inputs(batch=4, length=6, heads=2, width=4, seed=0):
    rng = np.random.default_rng(seed)
    q, k, v = (
        jnp.asarray(rng.normal(size=(batch, length, heads, width)), jnp.float32) for _ in range(3)
    )
    allowed = rng.random((batch, 1, length, length)) < 0.7
    allowed[0, 0, 2] = False
    return q, k, v, jnp.asarray(allowed), jnp.asarray(rng.normal(size=(1, heads, length, length)))


def naive(q, k, v, allowed, bias):
    """Straight from the definition, one query at a time, in float64."""
    q, k, v, allowed = (np.asarray(x) for x in (q, k, v, allowed))
    bias = 0 if bias is None else np.asarray(bias)
    batch, length, heads, width = q.shape
    out = np.zeros(q.shape)
    for b, i, h in np.ndindex(batch, length, heads):
        scores = k[b, :, h].astype(float) @ q[b, i, h] / np.sqrt(width)
        if np.ndim(bias):
            scores = scores + bias[0, h, i]
        seen = np.broadcast_to(allowed, (batch, 1, length, length))[b, 0, i]
        if seen.any():
            weights = np.where(seen, np.exp(scores - scores[seen].max()), 0)
            out[b, i, h] = weights / weights.sum() @ v[b, :, h]
    return out


def test_attention_is_its_definition():
    inputs = make_inputs()
    np.testing.assert_allclose(attention._attend(*inputs), naive(*inputs), atol=1e-6)


# Scores of one text are 2 * 8 * 8 = 128: two texts a block; one text; two rows of one text.
@pytest.mark.parametrize("block_scores", [256, 32, 32 - 1, 16])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("mask", ["pairs", "keys", "shared keys"])
def test_blocks_equal_the_whole(block_scores, with_bias, mask, monkeypatch):
    q, k, v, allowed, bias = make_inputs(batch=4, length=8)
    allowed = {
        "pairs": allowed,
        "keys": allowed[:, :, 1:2],
        "shared keys": allowed[1:2, :, 1:2],
    }[mask]
    bias = bias if with_bias else None
    whole = attention._attend(q, k, v, allowed, bias)
    use_blocks(monkeypatch, block_scores)
    blocks = attention._attend_in_blocks(q, k, v, allowed, bias)
    np.testing.assert_allclose(blocks, whole, atol=1e-6)


def loops(*inputs):
    return jax.jit(attention._attend_in_blocks).lower(*inputs).as_text().count("stablehlo.while")


def test_both_kinds_of_blocks_are_used(monkeypatch):
    inputs = make_inputs(batch=4, length=8)
    counts = []
    for block_scores in (1 << 20, 256, 16):
        use_blocks(monkeypatch, block_scores)
        counts.append(loops(*inputs))
    assert counts == [0, 1, 2]


def test_weights_are_a_distribution_over_the_allowed_keys():
    q, k, _, allowed, bias = make_inputs()
    weights = np.asarray(attention_weights(q, k, allowed, bias))
    seen = np.broadcast_to(np.asarray(allowed), weights.shape)
    assert (weights[~seen] == 0).all()
    total = weights.sum(-1)
    np.testing.assert_allclose(total[seen.any(-1)], 1, rtol=1e-6)
    assert (total[~seen.any(-1)] == 0).all()


def test_large_scores_stay_finite():
    q, k, v, allowed, _ = make_inputs()
    assert np.isfinite(attention._attend(1e4 * q, 1e4 * k, v, allowed, None)).all()


def make_module(**options):
    options = {"num_heads": 2} | options
    return make_random(lambda: SelfAttention(8, **options, rngs=nnx.Rngs(0)))


def make_states(batch=4, length=8, seed=0):
    x = np.random.default_rng(seed).normal(size=(batch, length, 8))
    return jnp.asarray(x, jnp.float32), make_inputs(batch, length)[3]


@pytest.mark.parametrize("block_scores", [256, 16])
def test_gradients_through_blocks_equal_those_of_plain_attention(block_scores, monkeypatch):
    module = make_module()
    x, allowed = make_states()
    graphdef, state = nnx.split(module)

    def loss(state, x, return_diagonal):
        out, _ = nnx.merge(graphdef, state)(x, allowed, return_diagonal=return_diagonal)
        return (out**2).sum()

    # Asking for the diagonal takes the plain path.
    gradient = jax.jit(jax.grad(loss, argnums=(0, 1)), static_argnums=2)
    plain = gradient(state, x, True)
    use_blocks(monkeypatch, block_scores)
    blocked = gradient(state, x, False)
    for ours, wanted in zip(jax.tree.leaves(blocked), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("block_scores", [256, 16])
def test_attention_maps_over_an_outer_axis(block_scores, monkeypatch):
    use_blocks(monkeypatch, block_scores)
    q, k, v, allowed, _ = make_inputs(batch=4, length=8)

    def attend(q, k, v, allowed):
        return jax.lax.platform_dependent(
            q, k, v, allowed, None, cpu=attention._attend_in_blocks, default=attention._attend
        )

    outer = [x.reshape(2, 2, *x.shape[1:]) for x in (q, k, v, allowed)]
    mapped = jax.jit(jax.vmap(attend))(*outer)
    np.testing.assert_allclose(
        mapped.reshape(q.shape), attention._attend(q, k, v, allowed, None), atol=1e-6
    )


def test_the_diagonal_is_attention_of_a_token_to_itself():
    module = make_module()
    x, allowed = make_states()
    out, diagonal = module(x, allowed, return_diagonal=True)
    q, k, _ = jnp.moveaxis(module.qkv(x), 2, 0)
    weights = np.asarray(attention_weights(q, k, allowed))
    np.testing.assert_allclose(diagonal, np.einsum("bhll->bhl", weights), atol=1e-6)
    np.testing.assert_allclose(out, module(x, allowed)[0], atol=1e-6)
    assert module(x, allowed)[1] is None


def test_dropout_changes_weights_only_when_training():
    module = make_module(dropout=0.5)
    x, allowed = make_states()
    quiet, _ = module(x, allowed)
    training = nnx.view(module, deterministic=False)
    noisy, _ = training(x, allowed, rngs=nnx.Rngs(dropout=1))
    assert np.abs(quiet - noisy).max() > 1e-4


def test_rotary_attention_sees_only_distances():
    module = make_module(rotary_theta=100.0)
    x, allowed = make_states()
    steps = jnp.arange(8)[None]
    near, _ = module(x, allowed, positions=steps)
    far, _ = module(x, allowed, positions=steps + 50)
    np.testing.assert_allclose(near, far, atol=1e-5)
    other, _ = module(x, allowed, positions=2 * steps)
    assert np.abs(near - other).max() > 1e-4


def test_rotary_attention_needs_positions():
    x, allowed = make_states()
    with pytest.raises(ValueError, match="needs positions"):
        make_module(rotary_theta=100.0)(x, allowed)


def test_rotation_turns_pairs_by_position_times_frequency():
    # K = 4, theta = 16: frequencies 1 and 16 ** -0.5 = 1 / 4; position 2 turns by 2 and 1 / 2.
    x = jnp.asarray([[[[1.0, 1.0, 0.0, 0.0]]]])
    turned = rotate(x, jnp.asarray([[2]]), 16.0)
    wanted = [np.cos(2), np.cos(0.5), np.sin(2), np.sin(0.5)]
    np.testing.assert_allclose(np.asarray(turned).ravel(), wanted, rtol=1e-6)


def test_relative_buckets_are_those_of_the_definition():
    # 8 buckets, 4 a side: distances 0 and 1, then 2 to 6 and 7 on:
    # 2 + log(n / 2) / log(24 / 2) * 2 reaches 3 at n = 2 * sqrt(12) = 6.93.
    distance = jnp.asarray([0, -1, -2, -6, -7, -24, -99, 1, 2, 6, 7, 99])
    buckets = relative_buckets(distance, 8, 24)
    assert buckets.tolist() == [0, 1, 2, 2, 3, 3, 3, 5, 6, 6, 7, 7]


def test_relative_buckets_on_a_border_belong_to_the_farther_one():
    # MPNet: 16 buckets a side, 8 of them wide, from 8 on; each is 16 ** (1 / 8) = sqrt(2) wider.
    distance = -jnp.asarray([15, 16, 31, 32, 63, 64])
    assert relative_buckets(distance, 32, 128).tolist() == [9, 10, 11, 12, 13, 14]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_heads": 3}, "not divisible by num_heads=3"),
        ({"num_heads": 8, "rotary_theta": 1.0}, "multiple of 16"),
    ],
)
def test_heads_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_module(**options)
