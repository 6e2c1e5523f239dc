"""Dropout whose random numbers cost less."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from textzoo.modules.types import TextBatch

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
        key = _key(rngs, self.rng_collection)
        kept = round((1 - self.rate) * _RESOLUTION)
        if kept == 0:
            return jnp.zeros_like(inputs)
        if kept == _RESOLUTION:
            return inputs
        mask = _bits(key, inputs.shape) < jnp.uint16(kept)
        return jnp.where(mask, inputs * jnp.asarray(_RESOLUTION / kept, inputs.dtype), 0)


class WordDropout(nnx.Dropout):
    """Takes tokens out of texts at random, as if they were padding, with probability ``rate``.

    Iyyer et al. 2015, "Deep Unordered Composition Rivals Syntactic Methods for Text
    Classification", section 3.1: a text loses each of its words with that probability, so that no
    single one can be relied on.

    Notes:
        Deviations: the paper draws for every type of word in a text, so that a word goes with all
        its repetitions; here each place is drawn alone. The first token of a row stays: no text
        becomes empty, and a ``[CLS]`` is still there to be read. Nothing is scaled; a sum of
        states is smaller in training, a mean is not.
    """

    def __call__(  # type: ignore[override]
        self, batch: TextBatch, *, deterministic: bool | None = None,
        rngs: nnx.Rngs | nnx.RngStream | Array | None = None,
    ) -> TextBatch:  # fmt: skip
        """Drops some tokens from the mask, unless it is deterministic.

        Args:
            batch: tokenized texts.
            deterministic: overrules the module's own setting.
            rngs: stream ``dropout``, one stream, or a key.
        """
        is_off = self.deterministic if deterministic is None else deterministic
        if is_off or self.rate == 0.0:
            return batch
        mask = jnp.asarray(batch.mask)
        key = _key(rngs, self.rng_collection)
        dropped = min(round(self.rate * _RESOLUTION), _RESOLUTION - 1)
        is_kept = jax.random.bits(key, mask.shape, jnp.uint16) >= jnp.uint16(dropped)
        return batch.replace(mask=mask & is_kept.at[:, 0].set(True))


def _key(rngs: nnx.Rngs | nnx.RngStream | Array | None, collection: str) -> Array:
    """A key from whatever there is to draw from."""
    if rngs is None:
        raise ValueError("dropout draws random numbers; give it rngs, or deterministic=True")
    source: Any = rngs[collection] if isinstance(rngs, nnx.Rngs) else rngs
    return source() if isinstance(source, nnx.RngStream) else source


def _bits(key: Array, shape: tuple[int, ...]) -> Array:
    """16 random bits for each place."""
    if not shape or shape[-1] % 2:
        return jax.random.bits(key, shape, jnp.uint16)
    pairs = jax.random.bits(key, (*shape[:-1], shape[-1] // 2), jnp.uint32)
    return jax.lax.bitcast_convert_type(pairs, jnp.uint16).reshape(shape)
