"""Triplets: the positive shall be nearer than the negative by a margin."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from textzoo.errors import ConfigError, closest
from textzoo.trainers.losses.rows import row_mean, unit
from textzoo.trainers.ratio import Ratio

DISTANCES = ("cosine", "euclidean")


def triplet(
    anchors: Float[Array, "B E"], positives: Float[Array, "B E"], negatives: Float[Array, "B N E"],
    *, margin: float = 0.2, distance: str = "cosine", row_mask: Shaped[Array, "B"] | None = None,
) -> Ratio:  # fmt: skip
    """``mean max(0, d(a, p) - d(a, n) + margin)`` over rows and their negatives.

    (Sentence-BERT, Reimers and Gurevych 2019, section 3; FaceNet, 2015.) It needs no labels and no
    batch; with a batch, InfoNCE makes more of the same texts.

    Args:
        anchors: vectors.
        positives: vectors of what is near.
        negatives: vectors of what is not, N for each anchor.
        margin: from which on a triplet is right enough. 0.1 to 0.5 for cosine distances;
            Sentence-BERT has 1 for Euclidean ones, sentence-transformers 5.
        distance: ``"cosine"`` (one minus it) or ``"euclidean"``.
        row_mask: False for rows that only fill the batch up.

    Notes:
        The Euclidean distance of equal vectors has gradient zero.
    """
    near = distances(anchors, positives[:, None], distance)
    return row_mean(jax.nn.relu(near - distances(anchors, negatives, distance) + margin), row_mask)


def distances(
    anchors: Float[Array, "B E"], others: Float[Array, "B N E"], distance: str
) -> Float[Array, "B N"]:
    """How far each row's others are from its anchor."""
    if distance == "cosine":
        return 1 - (unit(anchors)[:, None] * unit(others)).sum(axis=-1)
    if distance != "euclidean":
        raise ConfigError(f"distance={distance!r}; {closest(distance, DISTANCES)}")
    difference = anchors.astype(jnp.float32)[:, None] - others.astype(jnp.float32)
    squared = jnp.square(difference).sum(axis=-1)
    return jnp.where(squared == 0, 0, jnp.sqrt(jnp.where(squared == 0, 1, squared)))
