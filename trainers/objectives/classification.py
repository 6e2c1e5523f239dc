"""Training a model to put texts into classes, or to give them numbers."""

from collections.abc import Sequence

import jax
from flax import nnx
from jaxtyping import Array, Float

from textzoo.config import Part
from textzoo.errors import ConfigError
from textzoo.model import TextModel
from textzoo.modules.dropout import WordDropout
from textzoo.modules.heads import Dense
from textzoo.trainers.batch import PackedTexts, TrainBatch
from textzoo.trainers.losses.classification import accuracy, classification
from textzoo.trainers.losses.regression import regression
from textzoo.trainers.objectives.heads import apply_to_prefix, with_head
from textzoo.trainers.objectives.nli import check_smoothing
from textzoo.trainers.objectives.pair_scores import needed_labels
from textzoo.trainers.objectives.vectors import (
    VectorObjective,
    Vectors,
    check_columns,
    vector_width,
)
from textzoo.trainers.ratio import LossTerms, Term


class ClassificationObjective(VectorObjective):
    """A linear classifier on the vectors of texts, trained together with the model.

    One column of texts and ``labels``, numbers of classes from zero. The exported model has the
    classifier as its last head, a ``Dense`` that knows the names of the classes, so a saved
    directory is a classifier, also for sentence-transformers::

        encoder = textzoo.load(directory)
        logits = encoder.encode(texts)                      # [N, C]
        names = encoder.model.config.heads[-1].options["labels"]
        [names[i] for i in logits.argmax(axis=1)]

    Metrics: ``accuracy``.

    Args:
        model: trained in place.
        labels: names of the classes, in the order of their numbers.
        label_smoothing: share of the target that is spread over the classes.
        word_dropout: tokens are left out with this probability; see
            :class:`textzoo.modules.dropout.WordDropout`.
        width: E, when it cannot be found from the model.
        chunk_size: rows that are encoded at a time.
        rngs: source of the classifier's initial values.
    """

    def __init__(
        self, model: TextModel, *, labels: Sequence[str], label_smoothing: float = 0.0,
        word_dropout: float = 0.0, width: int | None = None, chunk_size: int | None = None,
        rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        super().__init__(model, chunk_size=chunk_size)
        self.labels = class_names(labels)
        check_smoothing(label_smoothing)
        self.label_smoothing = label_smoothing
        if not 0 <= word_dropout < 1:
            raise ConfigError(f"word_dropout={word_dropout}; use a share below 1, such as 0.3")
        self.word_dropout = WordDropout(word_dropout, deterministic=True)
        self.classifier = Dense(
            vector_width(model, width), len(self.labels), labels=self.labels, rngs=rngs
        )

    def vectors(self, batch: TrainBatch, rngs: nnx.Rngs) -> Vectors:
        """The vectors of the texts, of which some tokens may be left out."""
        if self.word_dropout.rate:
            if isinstance(batch.texts[0], PackedTexts):
                raise ConfigError(
                    f"word_dropout={self.word_dropout.rate} takes tokens out of the rows of a "
                    "batch, and the texts are packed; use word_dropout=0, or data without "
                    "PackedColumns"
                )
            texts = tuple(self.word_dropout(text, rngs=rngs) for text in batch.texts)
            batch = batch.replace(texts=texts)
        return super().vectors(batch, rngs)

    def vector_loss(self, vectors: Vectors, batch: TrainBatch) -> LossTerms:
        """Cross-entropy of the classes."""
        logits = self.logits(vectors)
        labels = needed_labels(batch, "the classes of its texts")
        loss = classification(
            logits, labels, label_smoothing=self.label_smoothing, row_mask=batch.row_mask
        )
        logits = jax.lax.stop_gradient(logits)
        return LossTerms(
            {"classification": Term(loss)}, {"accuracy": accuracy(logits, labels, batch.row_mask)}
        )

    def logits(self, vectors: Vectors) -> Float[Array, "B C"]:
        """Scores of the classes."""
        check_columns(
            vectors, least=1, most=1, meaning="the text to classify; for pairs use NLIObjective"
        )
        return apply_to_prefix(self.classifier, vectors[0])

    def export(self) -> TextModel:
        """The model with the classifier as its last head: its vectors are logits."""
        return export_classifier(self.model, self.classifier)


class RegressionObjective(VectorObjective):
    """A linear map from the vectors of texts to a number, trained together with the model.

    One column of texts and ``labels``, numbers of any scale; bring them near a mean of zero and a
    standard deviation of one. The exported model has the map as its last head: ``encode`` gives
    the numbers, ``[N, 1]``.

    Args:
        model: trained in place.
        width: E, when it cannot be found from the model.
        chunk_size: rows that are encoded at a time.
        rngs: source of the map's initial values.
    """

    def __init__(
        self, model: TextModel, *, width: int | None = None, chunk_size: int | None = None,
        rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        super().__init__(model, chunk_size=chunk_size)
        self.regressor = Dense(vector_width(model, width), 1, rngs=rngs)

    def vector_loss(self, vectors: Vectors, batch: TrainBatch) -> LossTerms:
        """Mean squared error."""
        check_columns(vectors, least=1, most=1, meaning="the text that has a number")
        predictions = apply_to_prefix(self.regressor, vectors[0])[:, 0]
        labels = needed_labels(batch, "the numbers of its texts")
        return LossTerms(
            {"regression": Term(regression(predictions, labels, row_mask=batch.row_mask))}
        )

    def export(self) -> TextModel:
        """The model with the map as its last head: its vectors are the numbers."""
        return export_classifier(self.model, self.regressor)


def export_classifier(model: TextModel, head: Dense) -> TextModel:
    """The model with a linear head, and its config with the part that describes it."""
    rows, columns = head.linear.kernel[...].shape
    names = {} if head.labels is None else {"labels": head.labels}
    return with_head(model, head, Part("Dense", in_features=rows, out_features=columns, **names))


def class_names(labels: Sequence[str]) -> tuple[str, ...]:
    """Names of classes, checked."""
    if isinstance(labels, str) or len(labels) < 2 or len(set(labels)) < len(labels):
        raise ConfigError(
            f"labels={labels!r}; give the names of two classes or more, all different, e.g. "
            "labels=('negative', 'positive')"
        )
    return tuple(labels)
