"""Token vectors from waves over the vocabulary instead of a table."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from textzoo.modules.embeddings.rows import ComputedRows, check_sizes
from textzoo.modules.feed_forward import FeedForward
from textzoo.modules.fixed_point import (
    MAX_NUMBER,
    as_fixed_point,
    as_fraction,
    float_rates,
    turns,
)
from textzoo.modules.parameters import DtypeName, as_dtype, linear, logical_axes

_BASES = ("fourier", "chebyshev", "legendre", "laguerre", "hermite")
_REFINEMENTS = ("linear", "geglu", "none")

# Squares of larger numbers have no float32 sum.
_LARGEST_VALUE = 1e17


class FourierEmbedding(ComputedRows):
    """Waves of the id, refined by a map that all ids share (PETE: Ndubuaku and Talamadupula 2025).

    With ``x = 2 p / P - 1`` for id p, feature 2j is ``sin(k_j pi x)`` and feature 2j + 1 is
    ``cos(k_j pi x)``; then ``E = RMSNorm(f(T) + T)``. Nothing is stored for an id, so the number of
    parameters does not depend on V.

    Args:
        vocab_size: V, ids are below this.
        width: D.
        basis: ``"fourier"``; or one of the kernels of the released code, whose features are the
            polynomials of degree 0 to D - 1 at x: ``"chebyshev"``, ``"legendre"``, ``"laguerre"``,
            ``"hermite"`` (physicists'; only up to a width of 27, beyond which its values explode).
        period: P, ids from one end of x to the other. ``None``: V, and no two ids meet. V - 1 is
            the paper's formula, in which the first and the last id are the same; 127 is what the
            released code does for texts of at most 128 tokens.
        frequencies: ``"linear"``, the paper's ``k_j = j + 1``; or ``"geometric"``, from 1 to
            ``max_frequency`` with equal ratios, which tells neighboring ids apart.
        max_frequency: the highest geometric frequency; ``None``: V / 4, at which the next id is a
            quarter turn away.
        learn_frequencies: whether frequencies are trained; they begin as ``frequencies`` says.
        refinement: f. ``"linear"``, a linear map with bias (the released code, and the published
            numbers of parameters); ``"geglu"``, a gated feed-forward block (the paper's text);
            ``"none"``, and then there is no residual either: ``E = RMSNorm(T)``.
        hidden_dim: inner width of the feed-forward block; four times D when absent.
        use_norm: whether there is an RMS norm.
        norm_eps: of the norm.
        dtype, param_dtype: computation and storage types. Waves are float32 until they are
            refined.
        rngs: source of initial values.

    Notes:
        Neighboring ids are nearly the same with linear frequencies: of 30,522 ids and at D=256,
        their cosine is 0.9999. Ids mean something only in so far as their order does; that of
        WordPiece is roughly by frequency.

        Phases are exact to 1e-6 of a turn: ``k p / P`` is computed modulo 1 in integers. A float32
        product, as in the released kernels, is off by 1e-4 of a turn at the highest frequencies
        of D=512, and by more than a tenth at geometric ones.

        Learned frequencies are stored as what is added to the first ones, so that they keep this.

    Example:
        >>> from flax import nnx
        >>> embedding = FourierEmbedding(30_522, 256, rngs=nnx.Rngs(0))
        >>> sum(p.size for p in jax.tree.leaves(nnx.state(embedding)))
        66048
    """

    def __init__(
        self, vocab_size: int, width: int, *, basis: str = "fourier", period: int | None = None,
        frequencies: str = "linear", max_frequency: float | None = None,
        learn_frequencies: bool = False, refinement: str = "linear",
        hidden_dim: int | None = None, use_norm: bool = True, norm_eps: float = 1e-6,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        check_sizes(vocab_size=vocab_size, width=width, period=period or vocab_size)
        for name, value, known in (
            ("basis", basis, _BASES),
            ("refinement", refinement, _REFINEMENTS),
            ("frequencies", frequencies, ("linear", "geometric")),
        ):
            if value not in known:
                raise ValueError(f"{name}={value!r} is unknown; use one of {', '.join(known)}")
        self.vocab_size = vocab_size
        self.width = width
        self.period = period or vocab_size
        self.dtype = as_dtype(dtype)
        self.basis = basis
        self.frequencies = frequencies
        self.max_frequency = max_frequency
        if basis == "fourier":
            self._rates()
        else:
            if learn_frequencies or frequencies != "linear" or max_frequency is not None:
                raise ValueError(
                    f"basis={basis!r} has no frequencies; leave frequencies, max_frequency and "
                    "learn_frequencies out, or use basis='fourier'"
                )
            _coefficients(basis, width, vocab_size, self.period)
        storage = as_dtype(param_dtype)
        self.frequency_shift = (
            nnx.Param(jnp.zeros((width + 1) // 2, storage), **logical_axes(None))
            if learn_frequencies
            else None
        )
        self.refinement = _refinement(refinement, width, hidden_dim, dtype, param_dtype, rngs)
        self.norm = (
            nnx.RMSNorm(
                width, epsilon=norm_eps, dtype=self.dtype, param_dtype=storage, rngs=rngs,
                scale_metadata=logical_axes(None),
            )
            if use_norm
            else None
        )  # fmt: skip

    def rows(self, ids: Int[Array, "*B"]) -> Float[Array, "*B D"]:
        """Refined features of ids."""
        features = self.features(ids)
        features = features.astype(self.dtype or features.dtype)
        if self.refinement is not None:
            refined = self.refinement(features.reshape(1, -1, self.width))
            features = refined.reshape(features.shape) + features
        return features if self.norm is None else self.norm(features)

    def features(self, ids: Int[Array, "*B"]) -> Float[Array, "*B D"]:
        """T, float32: what ids are before the refinement."""
        x = ids.astype(jnp.float32) * jnp.float32(2 / self.period) - 1
        if self.basis != "fourier":
            table = _coefficients(self.basis, self.width, self.vocab_size, self.period)
            return _polynomials(x, table)
        high, low, offset = self._rates()
        angles = 2 * math.pi * as_fraction(turns(ids, high, low) + jnp.asarray(offset))
        if self.frequency_shift is not None:
            shift = self.frequency_shift[...].astype(jnp.float32)
            angles = angles + math.pi * x[..., None] * shift
        waves = jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1)
        return waves.reshape(*ids.shape, -1)[..., : self.width]

    def _rates(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return _fixed_rates(
            self.vocab_size, self.width, self.period, self.frequencies, self.max_frequency
        )


@functools.cache
def _fixed_rates(
    vocab_size: int, width: int, period: int, frequencies: str, max_frequency: float | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Turns from one id to the next, and at id 0, of every frequency, in fixed point."""
    count = (width + 1) // 2
    if vocab_size - 1 > MAX_NUMBER:
        raise ValueError(f"vocab_size={vocab_size}; use {MAX_NUMBER + 1} or less")
    if frequencies == "linear":
        if max_frequency is not None:
            raise ValueError(
                f"max_frequency={max_frequency} needs frequencies='geometric'; linear ones end at "
                f"{count}"
            )
        whole = range(1, count + 1)
        high, low = as_fixed_point(whole, period)
        offset = as_fixed_point([-k for k in whole], 2)[0]
    else:
        highest = max(1.0, vocab_size / 4) if max_frequency is None else float(max_frequency)
        if highest < 1:
            raise ValueError(f"max_frequency={max_frequency}; use 1 or more")
        k = highest ** (np.arange(count) / max(1, count - 1))
        high, low = float_rates(k / period)
        offset = float_rates(-k / 2)[0]
    return high, low, offset.view(np.int32)


@functools.cache
def _coefficients(basis: str, width: int, vocab_size: int, period: int) -> np.ndarray:
    """a, b, c of ``P_{n+1} = (a_n + b_n x) P_n - c_n P_{n-1}``, ``[D - 1, 3]``."""
    n = np.arange(width - 1, dtype=np.float64)
    one, zero = np.ones_like(n), np.zeros_like(n)
    table = {
        "chebyshev": (zero, np.where(n == 0, 1, 2), one),
        "legendre": (zero, (2 * n + 1) / (n + 1), n / (n + 1)),
        "laguerre": ((2 * n + 1) / (n + 1), -1 / (n + 1), n / (n + 1)),
        "hermite": (zero, 2 * one, 2 * n),
    }
    coefficients = np.stack(table[basis], axis=-1)
    x = np.linspace(-1, 2 * (vocab_size - 1) / period - 1, 257)
    last, current, largest = np.zeros_like(x), np.ones_like(x), 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        for degree, (a, b, c) in enumerate(coefficients, start=1):
            last, current = current, (a + b * x) * current - c * last
            largest = np.abs(current).max()
            if not largest < _LARGEST_VALUE:
                hint = "" if period >= vocab_size - 1 else f", or period={vocab_size}"
                raise ValueError(
                    f"basis={basis!r} with period={period}: its polynomial of degree {degree} "
                    f"reaches {largest:.0e} among {vocab_size} ids; use width={degree} or "
                    f"less{hint}"
                )
    return coefficients.astype(np.float32)


def _polynomials(x: Float[Array, "*B"], coefficients: np.ndarray) -> Float[Array, "*B D"]:
    """Values of the polynomials of degree 0 to D - 1, float32."""

    def step(
        carry: tuple[Array, Array], row: Float[Array, "3"]
    ) -> tuple[tuple[Array, Array], Array]:
        last, current = carry
        following = (row[0] + row[1] * x) * current - row[2] * last
        return (current, following), following

    first = jnp.ones_like(x)
    _, rest = jax.lax.scan(step, (jnp.zeros_like(x), first), jnp.asarray(coefficients))
    return jnp.concatenate([first[..., None], jnp.moveaxis(rest, 0, -1)], axis=-1)


def _refinement(
    kind: str, width: int, hidden_dim: int | None, dtype: DtypeName, param_dtype: str,
    rngs: nnx.Rngs,
) -> Any:  # fmt: skip
    if hidden_dim is not None and kind != "geglu":
        raise ValueError(f"hidden_dim={hidden_dim} needs refinement='geglu', not {kind!r}")
    if kind == "none":
        return None
    if kind == "linear":
        return linear(
            width, width, axes=("embed", None), use_bias=True, dtype=dtype,
            param_dtype=param_dtype, rngs=rngs,
        )  # fmt: skip
    return FeedForward(
        width, hidden_dim or 4 * width, gated=True, dtype=dtype, param_dtype=param_dtype, rngs=rngs
    )
