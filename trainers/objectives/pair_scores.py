"""Training on pairs of texts with scores, such as semantic similarity."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Shaped

from textzoo.errors import ConfigError, closest
from textzoo.model import TextModel
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.losses.angle import angle
from textzoo.trainers.losses.cosent import cosent, share_in_order
from textzoo.trainers.losses.regression import cosine_regression
from textzoo.trainers.losses.rows import pair_cosines, row_mean
from textzoo.trainers.objectives.vectors import VectorObjective, Vectors, check_columns
from textzoo.trainers.ratio import LossTerms, Term

LOSSES = ("angle", "cosent", "cosine_regression")


class PairScoreObjective(VectorObjective):
    """The nearer a pair is by its label, the nearer its vectors shall be.

    Two columns of texts and ``labels``. Losses: ``"cosent"`` and ``"angle"`` look at the order of
    labels only, ``"cosine_regression"`` wants cosines equal to them.

    Metrics: ``pair_cosine`` (mean), ``in_order`` (of pairs with different labels, the share whose
    cosines are in order).

    Args:
        model: trained in place.
        losses: weight of each loss; AnglE adds up several.
        temperature: of CoSENT and AnglE.
        chunk_size: rows of a column that are encoded at a time.

    Example:
        >>> from flax import nnx
        >>> from textzoo import ModelConfig, Part, build
        >>> config = ModelConfig(
        ...     embedding=Part("SubwordEmbedding", vocab_size=9, width=4),
        ...     pooling=Part("MeanPooling"),
        ... )
        >>> objective = PairScoreObjective(
        ...     build(config, rngs=nnx.Rngs(0)), losses={"cosent": 1.0, "angle": 1.0}
        ... )
    """

    def __init__(
        self, model: TextModel, *, losses: Mapping[str, float] | None = None,
        temperature: float = 0.05, chunk_size: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(model, chunk_size=chunk_size)
        losses = {"cosent": 1.0} if losses is None else dict(losses)
        for name in losses:
            if name not in LOSSES:
                raise ConfigError(f"losses has {name!r}; {closest(name, LOSSES)}")
        if not any(losses.values()):
            raise ConfigError("losses gives nothing a weight; write e.g. losses={'cosent': 1.0}")
        if not temperature > 0:
            raise ConfigError(f"temperature={temperature}; use a number above 0, e.g. 0.05")
        # A tuple, for what is no parameter must not change.
        self.losses = tuple((name, float(weight)) for name, weight in losses.items() if weight)
        self.temperature = temperature

    def vector_loss(self, vectors: Vectors, batch: TrainBatch) -> LossTerms:
        """The losses asked for."""
        check_columns(vectors, least=2, most=2, meaning="the two texts of a pair")
        first, second = vectors
        labels = needed_labels(batch, "the scores of its pairs")
        mask = batch.row_mask
        temperature = self.temperature
        ratios = {
            "cosent": lambda: cosent(first, second, labels, temperature=temperature, row_mask=mask),
            "angle": lambda: angle(first, second, labels, temperature=temperature, row_mask=mask),
            "cosine_regression": lambda: cosine_regression(first, second, labels, row_mask=mask),
        }
        cosines = jax.lax.stop_gradient(pair_cosines(first, second))
        return LossTerms(
            {name: Term(ratios[name](), weight) for name, weight in self.losses},
            {
                "pair_cosine": row_mean(cosines, mask),
                "in_order": share_in_order(cosines, labels, mask),
            },
        )


def needed_labels(batch: TrainBatch, meaning: str) -> Shaped[Array, "B"]:
    """The labels of a batch; :class:`ConfigError` when it has none."""
    if batch.labels is None:
        raise ConfigError(f"the batch has no labels, {meaning}; name the column that holds them")
    return jnp.asarray(batch.labels)
