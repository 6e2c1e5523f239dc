"""Training vectors of phrases: by another way to write each, and by what kind of phrase it is."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Int

from textzoo.errors import ConfigError
from textzoo.model import TextModel
from textzoo.modules.heads import Dense
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.losses.classification import accuracy, classification
from textzoo.trainers.losses.supervised_contrastive import class_contrast
from textzoo.trainers.objectives.classification import class_names
from textzoo.trainers.objectives.heads import apply_to_prefix
from textzoo.trainers.objectives.pair_scores import needed_labels
from textzoo.trainers.objectives.vectors import (
    VectorObjective,
    Vectors,
    check_columns,
    vector_width,
)
from textzoo.trainers.ratio import LossTerms, Term


class PearlObjective(VectorObjective):
    """A phrase shall be nearest to its other form; both shall tell their type (PEARL).

    (Chen et al. 2024, "Learning High-Quality and General-Purpose Phrase Representations", arXiv
    2401.10407.) With z the vectors of a phrase p and of its augmentation a::

        L = NT-Xent(all p, all a; temperature) + w (CE(W z_p, type) + CE(W z_a, type))

    where NT-Xent is a softmax over all other texts of the batch, in both directions
    (:func:`textzoo.trainers.losses.supervised_contrastive.supervised_contrastive`).

    Columns of texts: phrase, augmented phrase; then, as often as there are hard negatives, such a
    negative and its augmentation, which are a pair of their own. ``labels``, the types of the
    phrases, are needed where the objective knows types. Rows come from
    ``scripts/make_phrases``, whose edits of characters are all that PEARL's released model knows of
    characters; a model whose embedding reads them (``CharBertEmbedding``, a ``SumEmbedding`` with
    units) trains in the same way.

    Metrics: ``accuracy`` (of the other form among all), ``positive_similarity``, and
    ``type_accuracy``. The exported model has no types.

    Args:
        model: trained in place.
        labels: names of the types; none: without types.
        temperature: what cosines are divided by; 0.07 in PEARL.
        type_weight: w.
        width: E, when it cannot be found from the model.
        chunk_size: rows of a column that are encoded at a time.
        rngs: source of the initial values of W.

    Notes:
        - Phrases that stand in a batch twice are positives of one another (told by the batch's
          ``keys``); in the reference they are negatives.
        - The reference also asks for the types of hard negatives, here only for those of phrases.
          It has 95 types, from a parser and a tagger of entities.
        - PEARL releases the mean of the weights before and after training:
          ``textzoo.trainers.averaging``.
    """

    def __init__(
        self, model: TextModel, *, labels: Sequence[str] = (), temperature: float = 0.07,
        type_weight: float = 1.0, width: int | None = None, chunk_size: int | None = None,
        rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        super().__init__(model, chunk_size=chunk_size)
        if not temperature > 0:
            raise ConfigError(f"temperature={temperature}; use a number above 0, e.g. 0.07")
        if type_weight < 0:
            raise ConfigError(f"type_weight={type_weight}; use 0 or more")
        self.temperature = temperature
        self.type_weight = type_weight
        self.types = (
            Dense(vector_width(model, width), len(class_names(labels)), rngs=rngs)
            if labels
            else None
        )

    def vector_loss(self, vectors: Vectors, batch: TrainBatch) -> LossTerms:
        """The contrast of all texts, and the types of the first two columns."""
        check_columns(
            vectors, least=2, most=None, meaning="phrase, augmented phrase, then pairs of negatives"
        )
        if len(vectors) % 2:
            raise ConfigError(
                f"the batch has {len(vectors)} text columns; every hard negative needs its "
                "augmentation beside it, so that there is an even number"
            )
        rows = vectors[0].shape[0]
        mask = None if batch.row_mask is None else jnp.tile(batch.row_mask, len(vectors))
        found = class_contrast(
            jnp.concatenate(vectors), self._names(batch, rows, len(vectors)),
            temperature=self.temperature, mask=mask,
        )  # fmt: skip
        terms = {"contrastive": Term(found.loss)}
        metrics = {"accuracy": found.accuracy, "positive_similarity": found.positive_similarity}
        if self.types is not None:
            labels = needed_labels(batch, "the types of its phrases")
            for name, column in (("type", vectors[0]), ("augmented_type", vectors[1])):
                logits = apply_to_prefix(self.types, column)
                loss = classification(logits, labels, row_mask=batch.row_mask)
                terms[name] = Term(loss, self.type_weight)
            right = jax.lax.stop_gradient(apply_to_prefix(self.types, vectors[0]))
            metrics["type_accuracy"] = accuracy(right, labels, batch.row_mask)
        return LossTerms(terms, metrics)

    def _names(self, batch: TrainBatch, rows: int, columns: int) -> Int[Array, "N"]:
        """A number for every text, equal for a phrase and its other form."""
        if batch.keys is None:
            raise ConfigError(
                "the batch has no keys, by which equal phrases are told; have the pipeline hash "
                "its texts"
            )
        keys = jnp.asarray(batch.keys)
        return jnp.concatenate(
            [keys[:, column - column % 2].astype(jnp.int32) for column in range(columns)]
        )
