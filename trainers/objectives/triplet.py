"""Training on triplets without the rest of the batch."""

import jax
import jax.numpy as jnp

from textzoo.errors import ConfigError, closest
from textzoo.model import TextModel
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.losses.rows import pair_cosines, row_mean, unit
from textzoo.trainers.losses.triplet import DISTANCES, distances, triplet
from textzoo.trainers.objectives.vectors import VectorObjective, Vectors, check_columns
from textzoo.trainers.ratio import LossTerms, Term


class TripletObjective(VectorObjective):
    """Every anchor shall be nearer to its positive than to its own negatives, by a margin.

    Columns of texts: anchor, positive, one negative or more. The loss is
    :func:`textzoo.trainers.losses.triplet.triplet`.

    Metrics: ``accuracy`` (positive nearer than every negative), ``positive_similarity`` and
    ``hardest_negative_similarity`` (cosines).

    Args:
        model: trained in place.
        margin: from which on a triplet is right enough.
        distance: ``"cosine"`` or ``"euclidean"``.
        chunk_size: rows of a column that are encoded at a time.
    """

    def __init__(
        self, model: TextModel, *, margin: float = 0.2, distance: str = "cosine",
        chunk_size: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(model, chunk_size=chunk_size)
        if distance not in DISTANCES:
            raise ConfigError(f"distance={distance!r}; {closest(distance, DISTANCES)}")
        if not margin > 0:
            raise ConfigError(f"margin={margin}; use a number above 0, e.g. 0.2")
        self.margin = margin
        self.distance = distance

    def vector_loss(self, vectors: Vectors, batch: TrainBatch) -> LossTerms:
        """The triplet loss of each negative."""
        check_columns(vectors, least=3, most=None, meaning="anchor, positive, negatives")
        anchors, positives, negatives = vectors[0], vectors[1], jnp.stack(vectors[2:], axis=1)
        loss = triplet(
            anchors, positives, negatives, margin=self.margin, distance=self.distance,
            row_mask=batch.row_mask,
        )  # fmt: skip
        anchors, positives, negatives = jax.lax.stop_gradient((anchors, positives, negatives))
        near = distances(anchors, positives[:, None], self.distance)
        right = (near < distances(anchors, negatives, self.distance)).all(axis=1)
        hardest = (unit(anchors)[:, None] * unit(negatives)).sum(axis=-1).max(axis=1)
        metrics = {
            "accuracy": right.astype(jnp.float32),
            "positive_similarity": pair_cosines(anchors, positives),
            "hardest_negative_similarity": hardest,
        }
        return LossTerms(
            {"triplet": Term(loss)},
            {name: row_mean(values, batch.row_mask) for name, values in metrics.items()},
        )
