"""Training a model on what a teacher says: its vectors, scores of candidates, or logits."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from textzoo.errors import ConfigError, closest
from textzoo.model import TextModel
from textzoo.modules.heads import Dense
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.losses.classification import accuracy, classification
from textzoo.trainers.losses.logit_distillation import logit_distillation
from textzoo.trainers.losses.rows import pair_cosines, row_mean, unit
from textzoo.trainers.losses.score_distillation import listwise_kl, margin_mse, score_mse
from textzoo.trainers.losses.vector_distillation import (
    relational_distillation,
    vector_distillation,
)
from textzoo.trainers.objectives.classification import class_names, export_classifier
from textzoo.trainers.objectives.heads import apply_to_prefix
from textzoo.trainers.objectives.vectors import (
    VectorObjective,
    Vectors,
    check_columns,
    vector_width,
)
from textzoo.trainers.ratio import LossTerms, Ratio, Term

VECTOR_METRICS = ("cosine", "mse", "relations")
SCORE_LOSSES = ("kl", "margin_mse", "mse")


class VectorDistillationObjective(VectorObjective):
    """Vectors of texts shall be the teacher's.

    ``targets`` are the teacher's vectors of each column, ``[B, T, W]``, or ``[B, W]`` for all
    columns alike: with a text and its translation as columns and the teacher's vectors of the
    text, this is multilingual distillation (Reimers and Gurevych 2020).

    Metrics: ``teacher_cosine`` where widths agree.

    Args:
        model: trained in place.
        metric: ``"cosine"``, ``"mse"``, or ``"relations"`` (similarities within the batch, for
            any two widths; see :func:`relational_distillation`).
        teacher_width: W. Where it is not the model's width, and ``metric`` is not
            ``"relations"``, a linear map that is trained as well, and not exported, leads from the
            model's vectors to the teacher's. ``None``: the model's width.
        temperature: of ``"relations"``.
        width: E, when it cannot be found from the model.
        chunk_size: rows of a column that are encoded at a time.
        rngs: source of the map's initial values; needed with a map.
    """

    def __init__(
        self, model: TextModel, *, metric: str = "cosine", teacher_width: int | None = None,
        temperature: float = 0.05, width: int | None = None, chunk_size: int | None = None,
        rngs: nnx.Rngs | None = None,
    ) -> None:  # fmt: skip
        super().__init__(model, chunk_size=chunk_size)
        if metric not in VECTOR_METRICS:
            raise ConfigError(f"metric={metric!r}; {closest(metric, VECTOR_METRICS)}")
        self.metric = metric
        self.temperature = temperature
        size = vector_width(model, width)
        self.teacher_width = teacher_width or size
        has_map = metric != "relations" and self.teacher_width != size
        if has_map and rngs is None:
            raise ConfigError(
                f"teacher_width={teacher_width} differs from the model's {size}, so a map is "
                "made; give rngs=nnx.Rngs(...)"
            )
        self.map = (
            Dense(size, self.teacher_width, use_bias=False, rngs=rngs)
            if has_map and rngs is not None
            else None
        )

    def vector_loss(self, vectors: Vectors, batch: TrainBatch) -> LossTerms:
        """The loss of each column, and their mean cosine."""
        terms: dict[str, Term] = {}
        cosines: list[Array] = []
        for column, student in enumerate(vectors):
            teacher = self._targets(batch, column, len(vectors))
            terms[_numbered("distillation", column, len(vectors))] = Term(
                self._loss(student, teacher, batch), 1 / len(vectors)
            )
            mapped = self._map(student)
            if mapped.shape[1] == teacher.shape[1]:
                cosines.append(pair_cosines(mapped, teacher))
        metrics = {}
        if cosines:
            mean = jax.lax.stop_gradient(jnp.stack(cosines, axis=1))
            metrics["teacher_cosine"] = row_mean(mean, batch.row_mask)
        return LossTerms(terms, metrics)

    def _map(self, student: Float[Array, "B E"]) -> Float[Array, "B W"]:
        return student if self.map is None else apply_to_prefix(self.map, student)

    def _loss(
        self, student: Float[Array, "B E"], teacher: Float[Array, "B W"], batch: TrainBatch
    ) -> Ratio:
        if self.metric == "relations":
            return relational_distillation(
                student, teacher, temperature=self.temperature, row_mask=batch.row_mask
            )
        if teacher.shape[1] != self.teacher_width:
            raise ConfigError(
                f"the teacher's vectors are {teacher.shape[1]} wide, expected "
                f"{self.teacher_width}; set teacher_width={teacher.shape[1]}, or metric='relations'"
            )
        mapped = self._map(student)
        if self.map is None:
            # Vectors that were cut (Matryoshka) are to be the first features of the teacher's.
            teacher = teacher[:, : mapped.shape[1]]
        return vector_distillation(mapped, teacher, metric=self.metric, row_mask=batch.row_mask)

    def _targets(self, batch: TrainBatch, column: int, columns: int) -> Float[Array, "B W"]:
        targets = _needed_targets(batch, "the teacher's vectors [B, W] or [B, T, W]")
        if targets.ndim == 2:
            return targets
        if targets.ndim != 3 or targets.shape[1] != columns:
            raise ConfigError(
                f"targets has shape {targets.shape}; give the teacher's vectors of the {columns} "
                f"columns, [B, {columns}, W], or one for all, [B, W]"
            )
        return targets[:, column]


class ScoreDistillationObjective(VectorObjective):
    """Similarities of a query to its candidates shall be as the teacher scores them.

    Columns of texts: query, positive, further candidates; ``targets`` are the teacher's scores of
    the candidates, ``[B, N]``, for instance logits of a cross-encoder.

    Metrics: ``agreement``, the share of queries whose best candidate is the teacher's.

    Args:
        model: trained in place.
        loss: ``"kl"`` (listwise), ``"margin_mse"`` or ``"mse"``; see
            :mod:`textzoo.trainers.losses.score_distillation`.
        similarity: ``"cosine"``, or ``"dot"`` for vectors as they are (MarginMSE: use this).
        student_temperature: of ``"kl"``.
        teacher_temperature: of ``"kl"``.
        chunk_size: rows of a column that are encoded at a time.
    """

    def __init__(
        self, model: TextModel, *, loss: str = "kl", similarity: str = "cosine",
        student_temperature: float = 0.05, teacher_temperature: float = 1.0,
        chunk_size: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(model, chunk_size=chunk_size)
        for name, value, known in (
            ("loss", loss, SCORE_LOSSES), ("similarity", similarity, ("cosine", "dot")),
        ):  # fmt: skip
            if value not in known:
                raise ConfigError(f"{name}={value!r}; {closest(value, known)}")
        for name, number in (
            ("student_temperature", student_temperature),
            ("teacher_temperature", teacher_temperature),
        ):
            if not number > 0:
                raise ConfigError(f"{name}={number}; use a number above 0")
        self.loss = loss
        self.similarity = similarity
        self.student_temperature = student_temperature
        self.teacher_temperature = teacher_temperature

    def vector_loss(self, vectors: Vectors, batch: TrainBatch) -> LossTerms:
        """The loss of the scores of each query's candidates."""
        check_columns(vectors, least=3, most=None, meaning="query, positive, further candidates")
        queries, candidates = vectors[0], jnp.stack(vectors[1:], axis=1)
        if self.similarity == "cosine":
            queries, candidates = unit(queries), unit(candidates)
        student = (queries[:, None] * candidates).sum(axis=-1)
        teacher = _needed_targets(batch, "the teacher's scores of the candidates [B, N]")
        if teacher.shape != student.shape:
            raise ConfigError(
                f"targets has shape {teacher.shape}; give one score for each of the "
                f"{student.shape[1]} candidates of a query, {student.shape}"
            )
        mask = batch.row_mask
        if self.loss == "kl":
            ratio = listwise_kl(
                student, teacher, student_temperature=self.student_temperature,
                teacher_temperature=self.teacher_temperature, row_mask=mask,
            )  # fmt: skip
        else:
            ratio = (margin_mse if self.loss == "margin_mse" else score_mse)(
                student, teacher, row_mask=mask
            )
        agrees = student.argmax(axis=1) == teacher.argmax(axis=1)
        return LossTerms(
            {"distillation": Term(ratio)},
            {"agreement": row_mean(agrees.astype(jnp.float32), mask)},
        )


class LogitDistillationObjective(VectorObjective):
    """A linear classifier on the vectors of texts shall give the teacher's probabilities.

    One column of texts; ``targets`` are the teacher's logits ``[B, C]``; ``labels`` are needed
    when ``label_weight`` is not zero. The exported model has the classifier as its last head, as
    in ``ClassificationObjective``.

    Metrics: ``agreement`` with the teacher's class; ``accuracy`` where there are labels.

    Args:
        model: trained in place.
        labels: names of the classes, in the order of the teacher's logits.
        temperature: see :func:`textzoo.trainers.losses.logit_distillation.logit_distillation`.
        label_weight: of the cross-entropy of the labels, a share of the loss.
        width: E, when it cannot be found from the model.
        chunk_size: rows that are encoded at a time.
        rngs: source of the classifier's initial values.
    """

    def __init__(
        self, model: TextModel, *, labels: Sequence[str], temperature: float = 2.0,
        label_weight: float = 0.0, width: int | None = None, chunk_size: int | None = None,
        rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        super().__init__(model, chunk_size=chunk_size)
        if not temperature > 0:
            raise ConfigError(f"temperature={temperature}; use a number above 0, e.g. 2.0")
        if not 0 <= label_weight < 1:
            raise ConfigError(f"label_weight={label_weight}; use a share from 0 to below 1")
        names = class_names(labels)
        self.classifier = Dense(vector_width(model, width), len(names), labels=names, rngs=rngs)
        self.temperature = temperature
        self.label_weight = label_weight

    def vector_loss(self, vectors: Vectors, batch: TrainBatch) -> LossTerms:
        """Divergence from the teacher's probabilities, and cross-entropy where it has weight."""
        check_columns(vectors, least=1, most=1, meaning="the text to classify")
        logits, mask = apply_to_prefix(self.classifier, vectors[0]), batch.row_mask
        teacher = _needed_targets(batch, "the teacher's logits [B, C]")
        if teacher.shape != logits.shape:
            raise ConfigError(
                f"targets has shape {teacher.shape}; give a logit of each of the "
                f"{logits.shape[1]} classes, {logits.shape}"
            )
        ratio = logit_distillation(logits, teacher, temperature=self.temperature, row_mask=mask)
        terms = {"distillation": Term(ratio, 1 - self.label_weight)}
        metrics = {"agreement": accuracy(logits, teacher.argmax(axis=-1), mask)}
        if batch.labels is not None:
            labels = jnp.asarray(batch.labels)
            metrics["accuracy"] = accuracy(logits, labels, mask)
            if self.label_weight:
                ratio = classification(logits, labels, row_mask=mask)
                terms["classification"] = Term(ratio, self.label_weight)
        elif self.label_weight:
            raise ConfigError(
                f"label_weight={self.label_weight}, but the batch has no labels; name the column "
                "that holds them, or set label_weight=0"
            )
        return LossTerms(terms, metrics)

    def export(self) -> TextModel:
        """The model with the classifier as its last head: its vectors are logits."""
        return export_classifier(self.model, self.classifier)


def _needed_targets(batch: TrainBatch, meaning: str) -> Float[Array, "B ..."]:
    if batch.targets is None:
        raise ConfigError(f"the batch has no targets, {meaning}; name the column that holds them")
    return jnp.asarray(batch.targets)


def _numbered(name: str, number: int, count: int) -> str:
    return name if count == 1 else f"{name}_{number}"
