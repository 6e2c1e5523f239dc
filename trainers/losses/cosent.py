"""CoSENT: pairs with a higher label shall have a higher cosine."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped

from textzoo.trainers.losses.rows import NOTHING, mean_where, pair_cosines, real_rows, whole_batch
from textzoo.trainers.ratio import Ratio


def cosent(
    first: Float[Array, "B E"], second: Float[Array, "B E"], labels: Shaped[Array, "B"], *,
    temperature: float = 0.05, row_mask: Shaped[Array, "B"] | None = None,
) -> Ratio:  # fmt: skip
    """Cosines of pairs shall be in the order of their labels.

    ``L = log(1 + sum_{k, l: y_k < y_l} exp((cos_k - cos_l) / temperature))``

    (Su 2022, a note without a paper; the code in AnglE and in sentence-transformers, whose scale
    of 20 is this temperature.) Only the order of labels counts, so any scale of them will do; use
    it for graded pairs, where cosine regression needs labels that are cosines. A batch whose labels
    are all equal has loss zero: let labels mix.

    Args:
        first: vectors of one text of each pair.
        second: vectors of the other.
        labels: larger is nearer.
        temperature: what cosines are divided by.
        row_mask: False for rows that only fill the batch up.
    """
    return ordered_scores(pair_cosines(first, second) / temperature, labels, row_mask)


def ordered_scores(
    scores: Float[Array, "B"], labels: Shaped[Array, "B"], row_mask: Shaped[Array, "B"] | None
) -> Ratio:
    """``log(1 + sum_{k, l: y_k < y_l} exp(s_k - s_l))`` of a whole batch; holds ``[B, B]``."""
    differences = scores[:, None] - scores[None, :]
    kept = jnp.where(_to_order(labels, row_mask), differences, NOTHING)
    return whole_batch(jax.nn.softplus(jax.nn.logsumexp(kept, axis=(0, 1))))


def share_in_order(
    scores: Float[Array, "B"], labels: Shaped[Array, "B"], row_mask: Shaped[Array, "B"] | None
) -> Ratio:
    """Of the pairs whose labels differ, the share whose scores are in the order of labels."""
    right = (scores[:, None] < scores[None, :]).astype(jnp.float32)
    return mean_where(right, _to_order(labels, row_mask))


def _to_order(
    labels: Shaped[Array, "B"], row_mask: Shaped[Array, "B"] | None
) -> Bool[Array, "B B"]:
    real = real_rows(row_mask, labels.shape[0])
    return (labels[:, None] < labels[None, :]) & real[:, None] & real[None, :]
