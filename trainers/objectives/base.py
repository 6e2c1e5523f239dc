"""What every objective has in common."""

from typing import Any

from flax import nnx
from jaxtyping import Array, Float, Int

from textzoo.errors import ConfigError
from textzoo.model import TextModel
from textzoo.modules.types import TextBatch
from textzoo.trainers.batch import PackedTexts, TrainBatch
from textzoo.trainers.ratio import LossTerms


class ObjectiveState(nnx.Variable):
    """What an objective remembers from step to step and no gradient reaches (token weights)."""


class Objective(nnx.Module):
    """A model, the parameters that only training needs, and the loss.

    Subclasses add their heads (an MLM head, a classifier, a temperature) as attributes and define
    :meth:`__call__`. Everything of type ``nnx.Param`` is trained; ``model`` alone is exported.

    Args:
        model: trained in place.
    """

    def __init__(self, model: TextModel) -> None:
        self.model = model

    def __call__(self, batch: TrainBatch, *, step: Int[Array, ""], rngs: nnx.Rngs) -> LossTerms:
        """Returns the terms of the loss and the metrics of a batch, float32.

        Called in a view with ``deterministic=False`` for training and ``True`` for evaluation.

        Args:
            batch: global arrays.
            step: number of the step, for schedules; of the last training step in evaluation.
            rngs: streams ``dropout`` and ``objective`` (masks, samples), derived from seed and
                step. In evaluation they are the same each time.
        """
        raise NotImplementedError

    def export(self) -> TextModel:
        """The model as it is released after training."""
        return self.model


def encode(model: TextModel, texts: TextBatch, rngs: nnx.Rngs) -> Float[Array, "B *S E"]:
    """Vectors of texts, or of their spans where they have some, in float32."""
    if isinstance(texts, PackedTexts):
        raise ConfigError(
            "this objective encodes one text to a row, and the texts are packed; train on the "
            "data themselves, without PackedColumns"
        )
    return _vectors(model, texts, rngs)


def encode_packed(
    model: TextModel, texts: PackedTexts, rngs: nnx.Rngs
) -> tuple[Float[Array, "B E"], ...]:
    """Vectors of texts that share rows, column by column, in float32."""
    by_span = _vectors(model, texts, rngs)
    flat = by_span.reshape(-1, by_span.shape[-1])
    return tuple(flat[texts.places[:, column]] for column in range(texts.places.shape[1]))


def _vectors(model: TextModel, texts: TextBatch, rngs: nnx.Rngs) -> Float[Array, "B *S E"]:
    output: Any = model(texts, rngs=rngs)
    if output.vectors is None:
        raise ValueError(
            "this objective compares vectors of texts, and the model has no pooling; build it "
            "with one, e.g. config.replace(pooling=Part('MeanPooling'))"
        )
    return output.vectors.astype("float32")
