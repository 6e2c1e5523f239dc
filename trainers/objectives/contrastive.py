"""Contrastive training on pairs, with or without hard negatives."""

import functools
import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, UInt

from textzoo.errors import ConfigError
from textzoo.model import TextModel
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.losses.blocked_info_nce import blocked_contrast
from textzoo.trainers.losses.contrast import ContrastConfig
from textzoo.trainers.losses.info_nce import contrast
from textzoo.trainers.losses.orthogonality import orthogonal_regularization
from textzoo.trainers.losses.rows import whole_batch
from textzoo.trainers.losses.temperature import LARGEST_SCALE, limited_scale
from textzoo.trainers.objectives.vectors import VectorObjective, Vectors, check_columns
from textzoo.trainers.ratio import LossTerms, Term


class ContrastiveObjective(VectorObjective):
    """Every anchor shall be nearest to its positive among the texts of the batch.

    Columns of texts: anchor, positive, hard negatives (none or as many for every row). The loss is
    :func:`textzoo.trainers.losses.info_nce.info_nce`; the options up to ``guide_margin_kind`` are
    explained there and in :class:`textzoo.trainers.losses.contrast.ContrastConfig`.

    Metrics: ``accuracy`` (of the positive among all candidates), ``positive_similarity``,
    ``hardest_negative_similarity``, and ``temperature`` when it is learned.

    Args:
        model: trained in place.
        temperature: what similarities are divided by; where learning starts from.
        learn_temperature: train ``log(1 / temperature)``, at most log 100 as in CLIP (see
            :func:`textzoo.trainers.losses.temperature.limited_scale`).
        directions: what is compared with what.
        normalization: ``"joint"`` or ``"per_direction"``.
        similarity: ``"cosine"`` or ``"dot"``.
        candidates: ``"all"``, ``"positives_and_own"`` or ``"own"``.
        hardness: negatives that weigh more the nearer they are, or ``None``.
        hardness_strength: how much more.
        guide_margin: leave out candidates that a guide finds too near; its vectors of all columns
            are the batch's ``targets [B, T, W]``. ``None``: no guide.
        guide_margin_kind: ``"absolute"`` or ``"relative"``.
        mask_duplicates: equal texts are not negatives of one another; told by the batch's
            ``keys``.
        orthogonality_weights: of the mean and the second moment in
            :func:`textzoo.trainers.losses.orthogonality.orthogonal_regularization` of the anchors
            and of the positives; zeros leave it out.
        chunk_size: rows of a column that are encoded at a time (gradient caching).
        loss_block: rows whose documents are compared at a time, instead of all at once.
    """

    def __init__(
        self, model: TextModel, *, temperature: float = 0.05, learn_temperature: bool = False,
        directions: tuple[str, ...] = ("query_to_document",), normalization: str = "joint",
        similarity: str = "cosine", candidates: str = "all", hardness: str | None = None,
        hardness_strength: float = 0.0, guide_margin: float | None = None,
        guide_margin_kind: str = "absolute", mask_duplicates: bool = True,
        orthogonality_weights: tuple[float, float] = (0.0, 0.0), chunk_size: int | None = None,
        loss_block: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(model, chunk_size=chunk_size)
        least = 1 / LARGEST_SCALE if learn_temperature else 0
        if not (temperature >= least and temperature > 0):
            raise ConfigError(
                f"temperature={temperature} with learn_temperature={learn_temperature}; use a "
                f"number {f'from {least}' if least else 'above 0'}, e.g. 0.05"
            )
        if loss_block is not None and loss_block < 1:
            raise ConfigError(f"loss_block={loss_block}; use 1 or more rows, or None")
        self.contrast = ContrastConfig(
            directions=directions, normalization=normalization, similarity=similarity,
            candidates=candidates, hardness=hardness, hardness_strength=hardness_strength,
            guide_margin=guide_margin or 0.0, guide_margin_kind=guide_margin_kind,
        )  # fmt: skip
        self.has_guide = guide_margin is not None
        self.mask_duplicates = mask_duplicates
        self.orthogonality_weights = tuple(orthogonality_weights)
        self.loss_block = loss_block
        self.temperature = temperature
        self.log_scale = (
            nnx.Param(jnp.asarray(-math.log(temperature), jnp.float32))
            if learn_temperature
            else None
        )

    def vector_loss(self, vectors: Vectors, batch: TrainBatch) -> LossTerms:
        """InfoNCE, and orthogonality where it has weight."""
        check_columns(vectors, least=2, most=None, meaning="anchor, positive, hard negatives")
        temperature = self._temperature()
        compare = contrast
        if self.loss_block is not None:
            compare = functools.partial(blocked_contrast, block=self.loss_block)
        found = compare(
            vectors[0], jnp.stack(vectors[1:], axis=1), temperature=temperature,
            config=self.contrast, keys=self._keys(batch), guide=self._guide(batch),
            row_mask=batch.row_mask,
        )  # fmt: skip
        metrics = found._asdict()
        terms = {"contrastive": Term(metrics.pop("loss")), **self._orthogonality(vectors, batch)}
        if self.log_scale is not None:
            metrics["temperature"] = whole_batch(jax.lax.stop_gradient(jnp.asarray(temperature)))
        return LossTerms(terms, metrics)

    def _temperature(self) -> float | Float[Array, ""]:
        if self.log_scale is None:
            return self.temperature
        return 1 / limited_scale(self.log_scale[...])

    def _keys(self, batch: TrainBatch) -> UInt[Array, "B T"] | None:
        if not self.mask_duplicates:
            return None
        if batch.keys is None:
            raise ConfigError(
                "the batch has no keys, by which duplicates are told; have the pipeline hash its "
                "texts, or set mask_duplicates=False"
            )
        return jnp.asarray(batch.keys)

    def _guide(self, batch: TrainBatch) -> Float[Array, "B T W"] | None:
        if not self.has_guide:
            return None
        if batch.targets is None:
            raise ConfigError(
                "the batch has no targets, the guide's vectors of every text [B, T, W]; add them, "
                "or set guide_margin=None"
            )
        return jnp.asarray(batch.targets)

    def _orthogonality(self, vectors: Vectors, batch: TrainBatch) -> dict[str, Term]:
        mean_weight, second_weight = self.orthogonality_weights
        if not mean_weight and not second_weight:
            return {}
        return {
            f"orthogonality_{name}": Term(
                orthogonal_regularization(
                    column, mean_weight=mean_weight, second_moment_weight=second_weight,
                    row_mask=batch.row_mask,
                )
            )
            for name, column in (("anchors", vectors[0]), ("positives", vectors[1]))
        }  # fmt: skip
