"""Tokens as waves: complex vectors whose magnitude is that of the text, in Cartesian form.

A token ``u_j`` becomes ``Z_j = G exp(i alpha_j)`` with, for every feature by itself, the magnitude
``G = sqrt(sum_t u_t^2)`` and the phase ``alpha_j = arccos(u_j / G)`` in ``[0, pi]`` (Zhang and
Sheng 2024, "Wave Network", arXiv 2411.02674, section 3). So

    Re Z_j = u_j                 the token,
    Im Z_j = sqrt(G^2 - u_j^2)   everything else in the text,

and neither an angle nor a complex number is needed. All is computed in float32 at least.

Deviations: padding is left out of G, which the paper does not discuss. ``G^2 - u_j^2`` loses its
digits where one token outweighs the others, and its root has no finite slope where a token is
alone; here the squares of the *other* tokens are summed instead, which is the same number, exact,
with a slope that is at most one.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from textzoo.modules.types import register_pytree

LEVELS = ("token", "sentence", "text")
LENGTH_NORMALIZATIONS = ("none", "magnitude", "mean")


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class Wave:
    """One complex number for every feature of every token.

    Attributes:
        real: of the token itself, ``[B, L, D]``.
        imaginary: of what surrounds it, ``[B, L, D]``.
    """

    real: Float[Array, "B L D"]
    imaginary: Float[Array, "B L D"]


def to_wave(
    x: Float[Array, "B L D"], mask: Bool[Array, "B L"], starts: Bool[Array, "B L"] | None = None,
    *, level: str = "text", is_causal: bool = False, length_normalization: str = "none",
) -> Wave:  # fmt: skip
    """Turns tokens into waves.

    Args:
        x: real token vectors.
        mask: True where a token is real.
        starts: where a text (or sentence) begins, see :func:`run_starts`; ``None``: a row is one.
        level: what a token is measured against, one of :data:`LEVELS`. ``"text"`` and
            ``"sentence"`` differ in their ``starts`` only: per feature, all tokens of the run.
            ``"token"``: the other features of the same token, so ``G_j = |u_j|``; that is our
            reading of the paper's word.
        is_causal: measure a token against those before it: ``G_j^2 = sum over t <= j``.
        length_normalization: G grows like the root of the number n of what it sums. ``"none"``:
            as in the paper. ``"magnitude"``: Z is divided by ``sqrt(n)``; phases stay.
            ``"mean"``: the imaginary part is the root mean square of the others instead of the
            root of their sum; then a token weighs the same in short and long texts.
    """
    x = _at_least_single(x)
    if level == "token":
        squares = jnp.swapaxes(jnp.square(x), 1, 2)
        others = jnp.swapaxes(sum_of_others(squares), 1, 2)
        count_of_others: Array = jnp.asarray(x.shape[-1] - 1, x.dtype)
        count = count_of_others + 1
    else:
        others = sum_of_others(
            jnp.where(mask[..., None], jnp.square(x), 0), starts, is_causal=is_causal
        )
        real = mask[..., None].astype(x.dtype)
        count_of_others = sum_of_others(real, starts, is_causal=is_causal)
        count = count_of_others + real
    if length_normalization == "mean":
        return Wave(real=x, imaginary=root(others / jnp.maximum(count_of_others, 1)))
    wave = Wave(real=x, imaginary=root(others))
    if length_normalization == "magnitude":
        scale = jax.lax.rsqrt(jnp.maximum(count, 1))
        wave = Wave(real=wave.real * scale, imaginary=wave.imaginary * scale)
    return wave


def interfere(first: Wave, second: Wave) -> Wave:
    """``Z + Z'``; its squared modulus is ``G^2 + G'^2 + 2 G G' cos(alpha - alpha')``."""
    return Wave(real=first.real + second.real, imaginary=first.imaginary + second.imaginary)


def modulate(first: Wave, second: Wave) -> Wave:
    """``Z Z' = G G' exp(i (alpha + alpha'))``."""
    return Wave(
        real=first.real * second.real - first.imaginary * second.imaginary,
        imaginary=first.imaginary * second.real + first.real * second.imaginary,
    )


OPERATIONS = {"interference": interfere, "modulation": modulate}


def modulus(wave: Wave) -> Float[Array, "B L D"]:
    """``|Z|``, with a slope of zero where Z is zero."""
    return root(jnp.square(wave.real) + jnp.square(wave.imaginary))


def sum_of_others(
    x: Float[Array, "B L D"], starts: Bool[Array, "B L"] | None = None, *, is_causal: bool = False
) -> Float[Array, "B L D"]:
    """Sums along L that leave out the place itself, without subtracting it from the total.

    Args:
        x: not negative.
        starts: where a run begins; sums stay within runs.
        is_causal: sum only what comes before.
    """
    if starts is not None:
        before = _sum_before_in_runs(x, starts)
        return before if is_causal else before + _sum_after_in_runs(x, starts)
    if is_causal:
        return _shift(jnp.cumsum(x, axis=1))
    # Only the largest can be more than half of the total, so it alone would suffer from being
    # subtracted; its own sum is taken directly.
    steps = jnp.arange(x.shape[1])[:, None]
    top = jax.lax.stop_gradient(x).max(axis=1, keepdims=True)
    first = jnp.where(x == top, steps, x.shape[1]).min(axis=1, keepdims=True)
    is_largest = steps == first
    largest = jnp.where(is_largest, x, 0).sum(axis=1, keepdims=True)
    rest = jnp.where(is_largest, 0, x).sum(axis=1, keepdims=True)
    return jnp.where(is_largest, rest, rest + (largest - x))


def run_starts(*ids: Int[Array, "B L"] | None) -> Bool[Array, "B L"] | None:
    """Where a number differs from the one before it, in any of the arrays; ``None`` without any.

    Tokens that belong together stand side by side, as they do in packed rows.
    """
    changes = [jnp.asarray(array)[:, 1:] != jnp.asarray(array)[:, :-1]
               for array in ids if array is not None]  # fmt: skip
    if not changes:
        return None
    inner = changes[0]
    for change in changes[1:]:
        inner = inner | change
    return jnp.concatenate([jnp.ones((inner.shape[0], 1), bool), inner], axis=1)


def root(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Square root with a slope of zero at zero.

    Of a sum of squares, that is the middle of the slopes there are at zero; the plain root's
    infinite one would turn into NaN.
    """
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), 0)


def _shift(x: Array) -> Array:
    """What stood one place before, and zero in the first place."""
    return jnp.pad(x[:, :-1], ((0, 0), (1, 0), (0, 0)))


@jax.custom_vjp
def _sum_before_in_runs(x: Array, starts: Array) -> Array:
    """Sum of what comes before each place in its run."""
    total, _ = jax.lax.associative_scan(_join, (x, starts[..., None]), axis=1)
    return jnp.where(starts[..., None], 0, _shift(total))


def _sum_after_in_runs(x: Array, starts: Array) -> Array:
    """Sum of what comes after each place in its run."""
    ends = jnp.roll(starts, -1, axis=1).at[:, -1].set(True)
    return _sum_before_in_runs(x[:, ::-1], ends[:, ::-1])[:, ::-1]


# Derived step by step, the slope of a scan takes ten times as long as the scan. It is a scan, too:
# a place counts in the sums of those after it.
_sum_before_in_runs.defvjp(
    lambda x, starts: (_sum_before_in_runs(x, starts), starts),
    lambda starts, slope: (_sum_after_in_runs(slope, starts), None),
)


def _join(left: tuple[Array, Array], right: tuple[Array, Array]) -> tuple[Array, Array]:
    """Adds two neighboring stretches, unless a run begins in the second."""
    total = jnp.where(right[1], right[0], left[0] + right[0])
    return total, left[1] | right[1]


def _at_least_single(x: Array) -> Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
