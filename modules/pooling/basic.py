"""Poolings that reduce the tokens of a text, or of spans in it, to one vector."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from textzoo.modules.functional import masked_mean, masked_sum
from textzoo.modules.types import AnyArray, Hidden

Mask = Bool[Array, "B *S L"]
Spans = Bool[AnyArray, "B S L"]
Vectors = Float[Array, "B *S D"]


class MeanPooling(nnx.Module):
    """``sum_t m_t h_t / sum_t m_t``; zeros where the mask is empty."""

    def __call__(self, hidden: Hidden, spans: Spans | None = None) -> Vectors:
        """Pools each text ``[B, D]``, or each of its spans ``[B, S, D]``; float32."""
        return masked_mean(hidden.states, pooling_mask(hidden, spans))


class MeanSqrtLengthPooling(nnx.Module):
    """``sum_t m_t h_t / sqrt(sum_t m_t)``; zeros where the mask is empty."""

    def __call__(self, hidden: Hidden, spans: Spans | None = None) -> Vectors:
        """Pools each text ``[B, D]``, or each of its spans ``[B, S, D]``; float32."""
        mask = pooling_mask(hidden, spans)
        count = mask.astype(jnp.float32).sum(axis=-1, keepdims=True)
        return masked_sum(hidden.states, mask) / jnp.sqrt(jnp.maximum(count, 1))


class WeightedMeanPooling(nnx.Module):
    """``sum_t w_t m_t h_t / sum_t w_t m_t`` with ``w_t = 1, 2, 3, ...`` (SGPT, Muennighoff 2022).

    Positions count the real tokens of the text, also when only a span of it is pooled; a batch
    that brings positions has them counted for it.
    """

    def __call__(self, hidden: Hidden, spans: Spans | None = None) -> Vectors:
        """Pools each text ``[B, D]``, or each of its spans ``[B, S, D]``; float32."""
        mask = pooling_mask(hidden, spans)
        if hidden.positions is None:
            weights = jnp.cumsum(hidden.mask, axis=-1)
        else:
            weights = jnp.asarray(hidden.positions) + 1
        weights = weights.reshape(mask.shape[0], *(1,) * (mask.ndim - 2), mask.shape[-1])
        return masked_mean(hidden.states, mask * weights.astype(jnp.float32))


class MaxPooling(nnx.Module):
    """The largest value of each feature over the tokens; zeros where the mask is empty.

    Args:
        include_zero: whether a zero takes part, as if padding stood behind every text; then
            nothing is negative. InferSent's first version pools like this, its second does not.

    Notes:
        In InferSent's code (version 1), the zeros are those of the batch's padding, so that its
        longest text goes without. A vector that depends on its batch is of no use; with
        ``include_zero=True``, every text has its zero.
    """

    def __init__(self, *, include_zero: bool = False) -> None:
        self.include_zero = include_zero

    def __call__(self, hidden: Hidden, spans: Spans | None = None) -> Vectors:
        """Pools each text ``[B, D]``, or each of its spans ``[B, S, D]``; float32."""
        mask = pooling_mask(hidden, spans)
        states = hidden.states.astype(jnp.float32)
        spread = states[:, None] if mask.ndim == 3 else states
        # Looked up by place: the slope of a maximum compares with its result, which may have been
        # computed again and be another number in its last digit; then nothing is the maximum.
        place = jnp.where(mask[..., None], jax.lax.stop_gradient(spread), -jnp.inf).argmax(axis=-2)
        rows = place if mask.ndim == 3 else place[:, None]
        top = jnp.take_along_axis(states, rows, axis=1).reshape(place.shape)
        if self.include_zero:
            top = jnp.maximum(top, 0)
        return jnp.where(mask.any(axis=-1, keepdims=True), top, 0)


class ClsPooling(nnx.Module):
    """The first real token of the text or span; zeros where the mask is empty."""

    def __call__(self, hidden: Hidden, spans: Spans | None = None) -> Vectors:
        """Pools each text ``[B, D]``, or each of its spans ``[B, S, D]``; float32."""
        mask = pooling_mask(hidden, spans)
        return masked_sum(hidden.states, mask & (jnp.cumsum(mask, axis=-1) == 1))


class LastPooling(nnx.Module):
    """The last real token of the text or span; zeros where the mask is empty."""

    def __call__(self, hidden: Hidden, spans: Spans | None = None) -> Vectors:
        """Pools each text ``[B, D]``, or each of its spans ``[B, S, D]``; float32."""
        mask = pooling_mask(hidden, spans)
        after = jnp.cumsum(mask[..., ::-1], axis=-1)[..., ::-1]
        return masked_sum(hidden.states, mask & (after == 1))


class LayerMeanPooling(nnx.Module):
    """Masked mean over tokens of the average of chosen layers.

    Args:
        layers: indices into ``Hidden.layers``: 0 is the embedding output, 1 the first layer,
            -1 the last. ``(0, -1)`` is the usual reading of "first-last average", ``(1, -1)``
            the one in SimCSE's present code and in WhiteningBERT; published figures differ by
            five points between the two, so say which you use.
    """

    needs_layers = True

    def __init__(self, layers: tuple[int, ...] = (1, -1)) -> None:
        if not layers:
            raise ValueError("layers is empty; name at least one, e.g. layers=(1, -1)")
        self.layer_indices = tuple(layers)

    def __call__(self, hidden: Hidden, spans: Spans | None = None) -> Vectors:
        """Pools each text ``[B, D]``, or each of its spans ``[B, S, D]``; float32."""
        if hidden.layers is None:
            raise ValueError("LayerMeanPooling needs Hidden.layers; call the encoder with "
                             "return_layers=True")  # fmt: skip
        count = len(hidden.layers)
        for index in self.layer_indices:
            if not -count <= index < count:
                raise ValueError(
                    f"layers={self.layer_indices} names layer {index}, but there are {count}; "
                    f"use {-count} to {count - 1}, where 0 is the embedding output"
                )
        chosen = [hidden.layers[index].astype(jnp.float32) for index in self.layer_indices]
        return masked_mean(jnp.stack(chosen).mean(axis=0), pooling_mask(hidden, spans))


def pooling_mask(hidden: Hidden, spans: Spans | None) -> Mask:
    """The mask to pool with: the text's own, or those of its spans without their padding.

    Raises:
        ValueError: spans are of tokens, and the encoder returned another number of states.
    """
    if spans is None:
        return hidden.mask
    if spans.shape[-1] != hidden.mask.shape[-1]:
        raise ValueError(
            f"spans are of {spans.shape[-1]} tokens, and there are {hidden.mask.shape[-1]} states; "
            "vectors of spans need an encoder that returns a state for each token"
        )
    return jnp.asarray(spans) & hidden.mask[:, None]
