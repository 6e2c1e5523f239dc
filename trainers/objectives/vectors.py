"""Objectives that see texts only as vectors."""

import jax
from flax import nnx
from jaxtyping import Array, Float, Int

from textzoo.errors import ConfigError
from textzoo.model import TextModel
from textzoo.modules.examples import example_batch
from textzoo.trainers.batch import PackedTexts, TrainBatch
from textzoo.trainers.objectives.base import Objective, encode_packed
from textzoo.trainers.objectives.chunking import encode_chunked
from textzoo.trainers.ratio import LossTerms

Vectors = tuple[Float[Array, "B E"], ...]
"""One vector per row and column of texts."""


class VectorObjective(Objective):
    """Encodes the columns of a batch, then takes a loss of their vectors.

    The two halves are separate, so that how texts are encoded (at once, in chunks, twice with
    dropout) and what is asked of the vectors (the loss, at several widths with
    :class:`textzoo.trainers.objectives.matryoshka.MatryoshkaObjective`) go together freely.
    Subclasses define :meth:`vector_loss`, and :meth:`vectors` if they encode in a way of their own.

    Args:
        model: trained in place.
        chunk_size: rows of a column that are encoded at a time; see :func:`encode_chunked`.
    """

    def __init__(self, model: TextModel, *, chunk_size: int | None = None) -> None:
        super().__init__(model)
        if chunk_size is not None and chunk_size < 1:
            raise ConfigError(f"chunk_size={chunk_size}; use 1 or more rows, or None")
        self.chunk_size = chunk_size

    def __call__(self, batch: TrainBatch, *, step: Int[Array, ""], rngs: nnx.Rngs) -> LossTerms:
        """The terms of the loss, of the vectors of all columns."""
        return self.vector_loss(self.vectors(batch, rngs), batch)

    def vectors(self, batch: TrainBatch, rngs: nnx.Rngs) -> Vectors:
        """The vectors that are compared, one per row and column; float32."""
        packed = batch.texts[0]
        if isinstance(packed, PackedTexts):
            if self.chunk_size is not None:
                raise ConfigError(
                    f"chunk_size={self.chunk_size} cuts a batch by its rows, and the texts are "
                    "packed; use chunk_size=None, or data without PackedColumns"
                )
            return encode_packed(self.model, packed, rngs)
        return tuple(
            encode_chunked(self.model, texts, self.chunk_size, rngs) for texts in batch.texts
        )

    def vector_loss(self, vectors: Vectors, batch: TrainBatch) -> LossTerms:
        """A pure function of the vectors, of whatever width, and of what else the batch has."""
        raise NotImplementedError


def check_columns(vectors: Vectors, *, least: int, most: int | None, meaning: str) -> None:
    """Raises :class:`ConfigError` unless the batch has as many text columns as are needed."""
    count = len(vectors)
    if count < least or (most is not None and count > most):
        bounds = f"{least} or more" if most is None else f"{least} to {most}"
        raise ConfigError(
            f"the batch has {count} text column{'s' * (count != 1)}, this objective needs "
            f"{least if most == least else bounds}: {meaning}"
        )


def vector_width(model: TextModel, width: int | None = None) -> int:
    """Width E of a model's vectors; found without computing anything when it is not given."""
    if width is not None:
        return width
    graph, arrays = nnx.split(model)
    batch = example_batch(model.embedding)

    def vectors(state: nnx.State) -> Array | None:
        output = nnx.merge(graph, state)(batch)
        return output.vectors

    try:
        found = jax.eval_shape(vectors, arrays)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"the width of the model's vectors is not known, give it: width=... ({error})"
        ) from error
    if found is None:
        raise ConfigError(
            "the model has no pooling, so it has no vectors of texts; build it with one, e.g. "
            "config.replace(pooling=Part('MeanPooling'))"
        )
    return int(found.shape[-1])
