"""Training on pairs with classes, as Sentence-BERT does on natural language inference."""

import jax
import jax.numpy as jnp
from flax import nnx

from textzoo.errors import ConfigError
from textzoo.model import TextModel
from textzoo.modules.parameters import logical_axes, truncated_normal
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.losses.classification import accuracy
from textzoo.trainers.losses.softmax_nli import pair_logits, softmax_nli
from textzoo.trainers.objectives.pair_scores import needed_labels
from textzoo.trainers.objectives.vectors import (
    VectorObjective,
    Vectors,
    check_columns,
    vector_width,
)
from textzoo.trainers.ratio import LossTerms, Term


class NLIObjective(VectorObjective):
    """A linear classifier of ``[u ; v ; |u - v|]`` shall tell the classes of pairs.

    Two columns of texts and ``labels``, numbers of classes from zero (Sentence-BERT, Reimers and
    Gurevych 2019, section 3). The classifier only serves to train: the model is exported without
    it. To classify single texts, and keep the classifier, see ``ClassificationObjective``.

    Metrics: ``accuracy``.

    Args:
        model: trained in place.
        num_classes: C; three for entailment, neutral and contradiction.
        use_product: add ``u * v`` to the features (InferSent).
        label_smoothing: share of the target that is spread over the classes.
        width: E, when it cannot be found from the model.
        chunk_size: rows of a column that are encoded at a time.
        rngs: source of the classifier's initial values.

    Notes:
        The parameters ``kernel`` and ``bias`` learn best with a rate of their own, larger than
        the model's; give them a parameter group.
    """

    def __init__(
        self, model: TextModel, *, num_classes: int = 3, use_product: bool = False,
        label_smoothing: float = 0.0, width: int | None = None, chunk_size: int | None = None,
        rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        super().__init__(model, chunk_size=chunk_size)
        if num_classes < 2:
            raise ConfigError(f"num_classes={num_classes}; use 2 or more")
        check_smoothing(label_smoothing)
        shape = (4 if use_product else 3, vector_width(model, width), num_classes)
        self.kernel = nnx.Param(
            truncated_normal(0.02)(rngs.params(), shape, jnp.float32),
            **logical_axes(None, "embed", None),
        )
        self.bias = nnx.Param(jnp.zeros(num_classes), **logical_axes(None))
        self.label_smoothing = label_smoothing

    def vector_loss(self, vectors: Vectors, batch: TrainBatch) -> LossTerms:
        """Cross-entropy of the classes."""
        check_columns(vectors, least=2, most=2, meaning="the two texts of a pair")
        labels = needed_labels(batch, "the classes of its pairs")
        first, second = vectors
        kernel, bias = self.kernel[...], self.bias[...]
        loss = softmax_nli(
            first, second, kernel, bias, labels, label_smoothing=self.label_smoothing,
            row_mask=batch.row_mask,
        )  # fmt: skip
        logits = jax.lax.stop_gradient(pair_logits(first, second, kernel, bias))
        return LossTerms(
            {"classification": Term(loss)}, {"accuracy": accuracy(logits, labels, batch.row_mask)}
        )


def check_smoothing(label_smoothing: float) -> None:
    """Raises :class:`ConfigError` unless this is a share."""
    if not 0 <= label_smoothing < 1:
        raise ConfigError(f"label_smoothing={label_smoothing}; use a share from 0 to below 1")
