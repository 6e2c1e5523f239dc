"""Absolute positions that are added to states."""

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from textzoo.modules.parameters import as_dtype, logical_axes, truncated_normal
from textzoo.modules.partitioning import take_rows
from textzoo.modules.types import Hidden

POSITIONS = ("none", "sinusoidal", "learned")


def sinusoidal_positions(positions: Int[Array, "B L"], width: int) -> Float[Array, "B L D"]:
    """Sines and cosines of falling frequency, in turns (Vaswani et al. 2017, section 3.5).

    ``p[2i] = sin(t / 10000^(2i/D))``, ``p[2i + 1] = cos(t / 10000^(2i/D))``; float32.
    """
    # On the host: devices round powers differently, which shows at late positions.
    exponents = np.arange(0, width, 2, dtype=np.float32) / np.float32(width)
    frequencies = np.float32(10_000) ** -exponents
    angles = positions.astype(jnp.float32)[..., None] * frequencies
    turns = jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1)
    return turns.reshape(*positions.shape, -1)[..., :width]


class AbsolutePositions(nnx.Module):
    """``x_t + p_t``, where positions count from zero or come with the batch.

    Args:
        width: D.
        kind: one of :data:`POSITIONS`; with ``"none"``, states pass.
        max_length: rows of the table of learned positions; the others have no end.
        param_dtype: storage type.
        rngs: source of initial values.
    """

    def __init__(
        self, width: int, *, kind: str = "learned", max_length: int | None = None,
        param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        if kind not in POSITIONS:
            raise ValueError(f"positions={kind!r} is unknown; use one of {', '.join(POSITIONS)}")
        if kind == "learned" and (max_length is None or max_length < 1):
            raise ValueError(
                f"positions='learned' with max_length={max_length}; give the longest text in "
                "tokens, e.g. max_length=512, or use positions='sinusoidal'"
            )
        self.width = width
        self.kind = kind
        self.max_length = max_length if kind == "learned" else None
        self.table = (
            nnx.Param(
                truncated_normal(0.02)(rngs.params(), (max_length, width), as_dtype(param_dtype)),
                **logical_axes(None, "embed"),
            )
            if kind == "learned"
            else None
        )

    def __call__(self, hidden: Hidden) -> Float[Array, "B L D"]:
        """Returns the states with positions.

        Raises:
            ValueError: the batch is longer than the table.
        """
        x = hidden.states
        if self.kind == "none":
            return x
        length = x.shape[1]
        if self.max_length is not None and length > self.max_length:
            raise ValueError(
                f"the batch is {length} tokens long, there are positions for {self.max_length}; "
                f"truncate, or build the encoder with max_length={length}"
            )
        positions = hidden.positions
        if positions is None:
            positions = jnp.arange(length, dtype=jnp.int32)[None]
        if self.table is None:
            return x + sinusoidal_positions(positions, self.width).astype(x.dtype)
        rows = take_rows(self.table[...], positions)
        return x + rows.astype(x.dtype)
