"""One layer of a wave network."""

import functools
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from textzoo.modules.dropout import Dropout
from textzoo.modules.feed_forward import FeedForward
from textzoo.modules.parameters import DtypeName, as_dtype, layer_norm, linear
from textzoo.modules.wave import OPERATIONS, Wave, modulus, to_wave

READOUTS = ("real", "linear", "modulus", "imaginary")
NORMS = ("post", "pre", "none")


class WaveLayer(nnx.Module):
    """``y = LN(FF(g(Z op Z')))`` with ``Z, Z'`` the waves of ``x W_1 + b_1`` and ``x W_2 + b_2``.

    Zhang and Sheng 2024, arXiv 2411.02674, section 3 and figure 6a; in a stack (equation 8) the
    next states are ``x + Dropout(y)``.

    Args:
        width: D.
        operation, readout, first_level, second_level, use_projections, hidden_dim, activation,
            norm, norm_eps, use_residual, length_normalization, is_causal: see
            :class:`textzoo.modules.WaveEncoder`.
        dropout: rate on y.
        dtype, param_dtype: computation and storage types.
        rngs: source of initial values.
    """

    def __init__(
        self, width: int, *, operation: str, readout: str, first_level: str, second_level: str,
        use_projections: bool, hidden_dim: int | None, activation: str, norm: str,
        norm_eps: float, use_residual: bool, length_normalization: str, is_causal: bool,
        dropout: float, dtype: DtypeName, param_dtype: str, rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        self.operation = operation
        self.readout = readout
        self.levels = (first_level, second_level)
        self.use_residual = use_residual
        self.is_norm_first = norm == "pre"
        self.length_normalization = length_normalization
        self.is_causal = is_causal
        self.dtype = as_dtype(dtype)
        make = functools.partial(
            linear, use_bias=True, stddev=width**-0.5, dtype=dtype, param_dtype=param_dtype,
            rngs=rngs,
        )  # fmt: skip
        self.first = make(width, width, axes=("embed", "mlp")) if use_projections else None
        self.second = make(width, width, axes=("embed", "mlp")) if use_projections else None
        self.join = make((2, width), width, axes=(None, "mlp", "embed"), stddev=(2 * width) ** -0.5
                         ) if readout == "linear" else None  # fmt: skip
        self.feed_forward = (
            None if hidden_dim is None
            else FeedForward(
                width, hidden_dim, activation=activation, dtype=dtype, param_dtype=param_dtype,
                rngs=rngs,
            )
        )  # fmt: skip
        self.norm = (
            None if norm == "none"
            else layer_norm(
                width, epsilon=norm_eps, use_bias=True, dtype=dtype, param_dtype=param_dtype,
                rngs=rngs,
            )
        )  # fmt: skip
        self.dropout = Dropout(dropout, deterministic=True)

    def __call__(
        self,
        x: Float[Array, "B L D"],
        mask: Bool[Array, "B L"],
        *,
        text_starts: Bool[Array, "B L"] | None = None,
        sentence_starts: Bool[Array, "B L"] | None = None,
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "B L D"]:
        """Returns the new states.

        Args:
            x: states.
            mask: True where a token is real.
            text_starts: where texts begin; ``None``: each row is one.
            sentence_starts: where sentences begin.
            rngs: for dropout.
        """
        y = self.norm(x) if self.norm is not None and self.is_norm_first else x
        y = self._read(self._combine(y, mask, text_starts, sentence_starts), x.dtype)
        if self.feed_forward is not None:
            y = self.feed_forward(y)
        if self.norm is not None and not self.is_norm_first:
            y = self.norm(y)
        y = self.dropout(y, rngs=rngs)
        return x + y if self.use_residual else y

    def _combine(
        self, x: Array, mask: Array, text_starts: Array | None, sentence_starts: Array | None
    ) -> Wave:
        """The two waves of each token as one."""
        waves = []
        for variant, level in zip((self.first, self.second), self.levels, strict=True):
            waves.append(
                to_wave(
                    x if variant is None else variant(x), mask,
                    sentence_starts if level == "sentence" else text_starts, level=level,
                    is_causal=self.is_causal, length_normalization=self.length_normalization,
                )
            )  # fmt: skip
        return OPERATIONS[self.operation](*waves)

    def _read(self, wave: Wave, dtype: Any) -> Array:
        """From complex to real: the map g, which the paper leaves open."""
        dtype = self.dtype or dtype
        if self.join is not None:
            return self.join(jnp.stack([wave.real, wave.imaginary], axis=-2).astype(dtype))
        if self.readout == "modulus":
            return modulus(wave).astype(dtype)
        return (wave.real if self.readout == "real" else wave.imaginary).astype(dtype)
