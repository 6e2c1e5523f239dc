"""Squared errors of numbers, and of cosines."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from textzoo.trainers.losses.rows import pair_cosines, row_mean
from textzoo.trainers.ratio import Ratio


def regression(
    predictions: Float[Array, "B"], labels: Shaped[Array, "B"], *,
    row_mask: Shaped[Array, "B"] | None = None,
) -> Ratio:  # fmt: skip
    """``mean (prediction - label)^2`` over rows; labels keep their scale."""
    errors = predictions.astype(jnp.float32) - labels.astype(jnp.float32)
    return row_mean(jnp.square(errors), row_mask)


def cosine_regression(
    first: Float[Array, "B E"], second: Float[Array, "B E"], labels: Shaped[Array, "B"], *,
    row_mask: Shaped[Array, "B"] | None = None,
) -> Ratio:  # fmt: skip
    """``mean (cos(u, v) - y)^2`` (Sentence-BERT, Reimers and Gurevych 2019, section 3).

    Use it when labels are cosines to be met; when only their order counts, CoSENT trains better.

    Args:
        first: vectors of one text of each pair.
        second: vectors of the other.
        labels: wanted cosines, such as STS scores divided by 5.
        row_mask: False for rows that only fill the batch up.
    """
    return regression(pair_cosines(first, second), labels, row_mask=row_mask)
