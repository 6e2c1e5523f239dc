"""Turns in integers against Python's fractions."""

from fractions import Fraction

import jax.numpy as jnp
import numpy as np

from textzoo.modules.fixed_point import as_fixed_point, as_fraction, float_rates, turns

NUMBERS = [0, 1, 2, 12_345, 1_114_111, (1 << 21) - 1]
NUMERATORS, DENOMINATOR = [1, -1, 7_654_321, 999_999_999, 10**15 + 1], 10**9 + 7


def signed(fraction: Fraction) -> Fraction:
    """The same turn between -1/2 and 1/2."""
    return (fraction + Fraction(1, 2)) % 1 - Fraction(1, 2)


def test_turns_are_exact_to_the_units_that_are_promised():
    found = np.asarray(turns(jnp.array(NUMBERS), *as_fixed_point(NUMERATORS, DENOMINATOR)))
    for row, number in zip(found, NUMBERS, strict=True):
        for word, numerator in zip(row, NUMERATORS, strict=True):
            off = signed(Fraction(int(word), 2**32) - Fraction(number * numerator, DENOMINATOR))
            assert abs(off) * 2**32 <= 1 + Fraction(number, 2**11)


def test_float_rates_are_those_of_their_fractions():
    for one, other in zip(
        float_rates(np.array([0.375, -3.25])), as_fixed_point([3, -26], 8), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    words = turns(jnp.array([1, 2, 3]), *float_rates(np.array([0.375])))
    # 3/8, 6/8 = -1/4, 9/8 = 1/8.
    np.testing.assert_array_equal(as_fraction(words)[:, 0], [0.375, -0.25, 0.125])
