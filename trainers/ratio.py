"""Means that are divided last, so that they add up over chunks, devices and micro-batches."""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float


class Ratio(NamedTuple):
    """A sum and what to divide it by: ``numerator / denominator``, both float32 scalars.

    The mean of a batch is the sum of the numerators of its parts over the sum of their
    denominators, however unevenly the parts are filled; a mean of means is not.
    """

    numerator: Float[Array, ""]
    denominator: Float[Array, ""]

    def value(self) -> Float[Array, ""]:
        """The mean; zero when there was nothing to average."""
        return self.numerator / jnp.where(self.denominator == 0, 1, self.denominator)


class Term(NamedTuple):
    """One addend of the quantity that is minimized: ``weight * ratio.value()``."""

    ratio: Ratio
    weight: Float[Array, ""] | float = 1.0


class LossTerms(NamedTuple):
    """What an objective makes of a batch.

    Attributes:
        terms: by name; their weighted values are added up and minimized. The denominators must
            not depend on parameters.
        metrics: by name; reported beside the terms, never minimized.
    """

    terms: Mapping[str, Term]
    metrics: Mapping[str, Ratio] = {}

    def total(self) -> Float[Array, ""]:
        """The quantity that is minimized."""
        return sum(
            (term.weight * term.ratio.value() for term in self.terms.values()), jnp.zeros(())
        )
