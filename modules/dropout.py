"""Dropout whose random numbers cost less."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

_RESOLUTION = 1 << 16


class Dropout(nnx.Dropout):
    """``x m / q`` with ``m`` one with probability ``q``, the share that is kept, else zero.

    Each number is decided by 16 random bits, two of them from one draw of 32, because on a CPU
    drawing takes longer than the arithmetic it is for. Which numbers are kept follows from the key
    and their places alone, not from how the array is split over devices.

    Notes:
        ``q`` is ``1 - rate`` rounded to a multiple of 2^-16; it is what is divided by, so the mean
        is kept exactly.
    """

    def __call__(
        self, inputs: Float[Array, "..."], *, deterministic: bool | None = None,
        rngs: nnx.Rngs | nnx.RngStream | Array | None = None,
    ) -> Float[Array, "..."]:  # fmt: skip
        """Drops some numbers, unless it is deterministic.

        Args:
            inputs: of any shape.
            deterministic: overrules the module's own setting.
            rngs: stream ``dropout``, one stream, or a key.
        """
        is_off = self.deterministic if deterministic is None else deterministic
        if is_off or self.rate == 0.0:
            return inputs
        if rngs is None:
            raise ValueError("dropout draws random numbers; give it rngs, or deterministic=True")
        source: Any = rngs[self.rng_collection] if isinstance(rngs, nnx.Rngs) else rngs
        key: Array = source() if isinstance(source, nnx.RngStream) else source
        kept = round((1 - self.rate) * _RESOLUTION)
        if kept == 0:
            return jnp.zeros_like(inputs)
        if kept == _RESOLUTION:
            return inputs
        mask = _bits(key, inputs.shape) < jnp.uint16(kept)
        return jnp.where(mask, inputs * jnp.asarray(_RESOLUTION / kept, inputs.dtype), 0)


def _bits(key: Array, shape: tuple[int, ...]) -> Array:
    """16 random bits for each place."""
    if not shape or shape[-1] % 2:
        return jax.random.bits(key, shape, jnp.uint16)
    pairs = jax.random.bits(key, (*shape[:-1], shape[-1] // 2), jnp.uint32)
    return jax.lax.bitcast_convert_type(pairs, jnp.uint16).reshape(shape)
