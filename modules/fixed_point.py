"""Turns of a circle by whole numbers, exact where float32 is not.

``n r mod 1`` with a large n has few digits left in float32. Here it is a 32-bit integer, which
wraps around by itself just as angles do.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Int32, UInt32

MAX_NUMBER = (1 << 21) - 1
"""Largest n: enough for code points and for tables of two million rows."""

_LOW_BITS = 11


def as_fixed_point(
    numerators: Sequence[int], denominator: int
) -> tuple[UInt32[np.ndarray, "D"], UInt32[np.ndarray, "D"]]:
    """The rates ``numerators / denominator`` mod 1, as the first 32 bits and the next 11.

    Args:
        numerators: whole numbers of any size and sign.
        denominator: 1 or more.
    """
    shift = 32 + _LOW_BITS
    words = [((int(n) % denominator) << shift) // denominator for n in numerators]
    high = np.array([word >> _LOW_BITS for word in words], np.uint32)
    low = np.array([word & ((1 << _LOW_BITS) - 1) for word in words], np.uint32)
    return high, low


def float_rates(
    rates: Float[np.ndarray, "D"],
) -> tuple[UInt32[np.ndarray, "D"], UInt32[np.ndarray, "D"]]:
    """The same of rates that are float64, each as it is stored."""
    ratios = [float(rate).as_integer_ratio() for rate in rates]
    pairs = [as_fixed_point([numerator], denominator) for numerator, denominator in ratios]
    return (
        np.concatenate([np.zeros(0, np.uint32), *(high for high, _ in pairs)]),
        np.concatenate([np.zeros(0, np.uint32), *(low for _, low in pairs)]),
    )


def turns(
    numbers: Int[Array, "*B"], high: UInt32[np.ndarray, "D"], low: UInt32[np.ndarray, "D"]
) -> Int32[Array, "*B D"]:
    """``numbers * rates`` mod 1 as whole turns times ``2 ** 32``, from half a turn below zero.

    Args:
        numbers: from 0 to :data:`MAX_NUMBER`.
        high: first 32 bits of the rates, from :func:`as_fixed_point`.
        low: the next 11.

    Returns:
        Integers whose sums wrap around as turns do. They are short of the product by at most
        ``1 + numbers / 2 ** 11`` units.
    """
    n = numbers.astype(jnp.uint32)[..., None]
    words = n * jnp.asarray(high) + ((n * jnp.asarray(low)) >> jnp.uint32(_LOW_BITS))
    return jax.lax.bitcast_convert_type(words, jnp.int32)


def as_fraction(words: Int32[Array, "*B"]) -> Float[Array, "*B"]:
    """Turns between -1/2 and 1/2, float32."""
    return words.astype(jnp.float32) * jnp.float32(2.0**-32)
