"""Cutting a batch into parts so that every device keeps its rows."""

import jax.numpy as jnp
from jaxtyping import Array, Shaped


def split(rows: Shaped[Array, "B *N"], parts: int) -> Shaped[Array, "P C *N"]:
    """Part k of P holds rows ``k, P + k, 2P + k, ...``; rows of zeros are added to fill up.

    Cutting the leading axis into consecutive parts would move the split over devices onto the axis
    of the parts: a loop over them gathers the rows, and every device computes every part.
    """
    missing = -rows.shape[0] % parts
    if missing:
        padding = [(0, missing)] + [(0, 0)] * (rows.ndim - 1)
        rows = jnp.pad(rows, padding)
    return jnp.swapaxes(rows.reshape(rows.shape[0] // parts, parts, *rows.shape[1:]), 0, 1)


def join(parts: Shaped[Array, "P C *N"], size: int) -> Shaped[Array, "B *N"]:
    """Undoes :func:`split`; the rows that filled up are dropped."""
    return jnp.swapaxes(parts, 0, 1).reshape(-1, *parts.shape[2:])[:size]
