"""Vectors that were hidden, and what was guessed in their place."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from textzoo.errors import ConfigError, closest
from textzoo.trainers.losses.rows import mean_where, pair_cosines, real_rows
from textzoo.trainers.ratio import Ratio

DISTANCES = ("smooth_l1", "l1", "l2", "cosine")


def masked_vectors(
    predictions: Float[Array, "B M D"], targets: Float[Array, "B M D"],
    weights: Float[Array, "B M"], *, distance: str = "smooth_l1",
    row_mask: Shaped[Array, "B"] | None = None,
) -> Ratio:  # fmt: skip
    """``mean_b (sum_m w_bm d(p_bm, t_bm) / sum_m w_bm)``: first the mean of a row, then of rows.

    So a document counts once, however many of its chunks were hidden (NextLevelBERT, Czinczoll et
    al. 2024, arXiv 2402.17682). Rows without a hidden vector do not count; in the reference they
    give NaN.

    Args:
        predictions: guesses.
        targets: what was hidden; no gradient reaches it.
        weights: zero for slots that are not in use.
        distance: mean over features of ``"smooth_l1"`` (``x^2 / 2`` up to one, ``|x| - 1/2``
            beyond), ``"l1"`` or ``"l2"`` (squared); or ``"cosine"``, ``1 - cos``.
        row_mask: False for rows that only fill the batch up.
    """
    if distance not in DISTANCES:
        raise ConfigError(f"distance={distance!r}; {closest(distance, DISTANCES)}")
    targets = jax.lax.stop_gradient(targets.astype(jnp.float32))
    predictions = predictions.astype(jnp.float32)
    if distance == "cosine":
        width = targets.shape[-1]
        flat = pair_cosines(predictions.reshape(-1, width), targets.reshape(-1, width))
        losses = 1 - flat.reshape(weights.shape)
    else:
        error = jnp.abs(predictions - targets)
        if distance == "smooth_l1":
            error = jnp.where(error < 1, jnp.square(error) / 2, error - 0.5)
        elif distance == "l2":
            error = jnp.square(error)
        losses = error.mean(axis=-1)
    # Selected, not multiplied: zero times a loss that is not finite would be NaN.
    total = jnp.where(weights > 0, weights * losses, 0).sum(axis=1)
    count = weights.sum(axis=1)
    counted = real_rows(row_mask, len(count)) & (count > 0)
    return mean_where(total / jnp.where(count == 0, 1, count), counted)
