"""What losses share: directions of vectors, cosines of pairs, means over the real rows."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from textzoo.trainers.ratio import Ratio

HIGHEST = jax.lax.Precision.HIGHEST
"""Similarities are float32 products: at a temperature of 0.01, bfloat16 is off by 0.4."""

NOTHING = -1e30
"""The logit of what is left out. Finite, so that a row that keeps nothing has no NaN gradient."""


def unit(vectors: Float[Array, "... E"]) -> Float[Array, "... E"]:
    """Directions in float32; a zero vector stays zero, with zero gradient."""
    x = vectors.astype(jnp.float32)
    squared = jnp.square(x).sum(axis=-1, keepdims=True)
    return x * jnp.where(squared == 0, 0, jax.lax.rsqrt(jnp.maximum(squared, 1e-24)))


def pair_cosines(first: Float[Array, "B E"], second: Float[Array, "B E"]) -> Float[Array, "B"]:
    """Cosine of each row of one with the same row of the other."""
    return (unit(first) * unit(second)).sum(axis=-1)


def real_rows(row_mask: Shaped[Array, "B"] | None, rows: int) -> Shaped[Array, "B"]:
    """Which rows count, as booleans; all of them without a mask."""
    return jnp.ones(rows, bool) if row_mask is None else row_mask.astype(bool)


def row_mean(values: Float[Array, "B *N"], row_mask: Shaped[Array, "B"] | None = None) -> Ratio:
    """Mean over real rows (and whatever each row has): NaN or infinity in a filler row is cut."""
    real = real_rows(row_mask, values.shape[0]).reshape(-1, *(1,) * (values.ndim - 1))
    return mean_where(values, jnp.broadcast_to(real, values.shape))


def mean_where(values: Float[Array, "*N"], counted: Shaped[Array, "*N"]) -> Ratio:
    """Mean of the values that count."""
    kept = jnp.where(counted, values.astype(jnp.float32), 0.0)
    return Ratio(kept.sum(), counted.astype(jnp.float32).sum())


def whole_batch(loss: Float[Array, ""]) -> Ratio:
    """A loss of the whole batch, which is no mean over rows; parts of a batch are averaged."""
    return Ratio(loss.astype(jnp.float32), jnp.ones((), jnp.float32))
