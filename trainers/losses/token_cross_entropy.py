"""Cross-entropy over a vocabulary, also in blocks of positions; and over yes and no."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from textzoo.trainers.ratio import Ratio

Score = Callable[[Float[Array, "B M D"]], Float[Array, "B M V"]]
"""Scores of all tokens, from states."""


def token_cross_entropy(
    logits: Float[Array, "B M V"], targets: Int[Array, "B M"], weights: Float[Array, "B M"]
) -> tuple[Ratio, Ratio]:
    """``sum w (logsumexp_v z_v - z_target) / sum w``, and the share of right guesses.

    A guess is right when no token scores higher than the target.

    Args:
        logits: z, of every token; computed with in float32.
        targets: the tokens that are right.
        weights: of the positions; zero for positions that do not exist.
    """
    logits = logits.astype(jnp.float32)
    # A comparison rather than a look-up: where the vocabulary is divided over devices, each device
    # finds the target's score, or zero, in its own part.
    is_target = jnp.arange(logits.shape[-1]) == targets[..., None]
    right = jnp.where(is_target, logits, 0).sum(axis=-1)
    losses = jax.nn.logsumexp(logits, axis=-1) - right
    hits = right >= jax.lax.stop_gradient(logits).max(axis=-1)
    count = weights.sum()
    # Selected, not multiplied: zero times a loss that is not finite would be NaN.
    losses = jnp.where(weights > 0, losses, 0)
    return Ratio((weights * losses).sum(), count), Ratio((weights * hits).sum(), count)


def blocked_token_cross_entropy(
    score: Score,
    states: Float[Array, "B M D"],
    targets: Int[Array, "B M"],
    weights: Float[Array, "B M"],
    *,
    block: int | None = None,
) -> tuple[Ratio, Ratio]:
    """:func:`token_cross_entropy` of scores that are never there all at once.

    Blocks run one after the other and are computed again for the gradient, so that ``B x block x
    V`` scores exist at a time instead of ``B x M x V``, for a product with the table more.

    Args:
        score: states to scores.
        states: at the positions that are predicted.
        targets: the tokens that are right.
        weights: of the positions.
        block: positions of each row in a block; ``None`` for all in one, which are kept.
    """
    if block is None:
        return token_cross_entropy(score(states), targets, weights)
    if block < 1:
        raise ValueError(f"block={block}; use 1 or more positions, or None for all at once")

    def step(
        sums: tuple[Ratio, Ratio], part: tuple[Array, Array, Array]
    ) -> tuple[tuple[Ratio, Ratio], None]:
        values = token_cross_entropy(score(part[0]), part[1], part[2])
        return jax.tree.map(jnp.add, sums, values), None

    zero = Ratio(jnp.zeros(()), jnp.zeros(()))
    parts = tuple(split_slots(x, block) for x in (states, targets, weights))
    return jax.lax.scan(jax.checkpoint(step), (zero, zero), parts)[0]


def split_slots(values: Array, block: int) -> Array:
    """``[B, M, ...]`` as blocks along M, ``[N, B, block, ...]``; the last is filled with zeros.

    Rows are not divided: they may be on different devices.
    """
    batch, count = values.shape[:2]
    blocks = -(-count // block)
    padding = [(0, 0)] * values.ndim
    padding[1] = (0, blocks * block - count)
    padded = jnp.pad(values, padding)
    return jnp.moveaxis(padded.reshape(batch, blocks, block, *values.shape[2:]), 1, 0)


def binary_cross_entropy(
    logits: Float[Array, "B L"], labels: Bool[Array, "B L"], mask: Bool[Array, "B L"]
) -> Ratio:
    """``-log sigmoid(z)`` where the label is true and ``-log sigmoid(-z)`` elsewhere.

    Args:
        logits: z, log-odds; computed with in float32.
        labels: true or false.
        mask: the tokens that count.
    """
    logits = logits.astype(jnp.float32)
    losses = jax.nn.softplus(jnp.where(labels, -logits, logits))
    return Ratio(jnp.where(mask, losses, 0).sum(), mask.sum().astype(jnp.float32))
