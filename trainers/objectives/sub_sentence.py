"""Training vectors of propositions: stretches of sentences that say the same."""

import jax.numpy as jnp
from flax import nnx

from textzoo.errors import ConfigError
from textzoo.model import TextModel
from textzoo.trainers.batch import PackedTexts, TrainBatch
from textzoo.trainers.losses.supervised_contrastive import class_contrast
from textzoo.trainers.objectives.chunking import encode_chunked
from textzoo.trainers.objectives.vectors import VectorObjective, Vectors
from textzoo.trainers.ratio import LossTerms, Term


class SubSentenceObjective(VectorObjective):
    """Propositions that say the same shall be nearest among all propositions of the batch.

    The Sub-Sentence Encoder (Chen et al. 2023, arXiv 2311.04335): each sentence is encoded once,
    each proposition is the mean of its tokens, mapped by the model's heads (two dense layers with a
    relu between them in the paper, none of which normalizes), and compared with those of all
    sentences of the batch. The loss is
    :func:`textzoo.trainers.losses.supervised_contrastive.supervised_contrastive`: propositions with
    the same label are positives, all others negatives, those of the same sentence among them.

    Columns of texts: one or more, each with ``spans`` and ``span_labels``; usually two, sentences
    that say some of the same. Labels are compared over all rows and columns.

    Metrics: ``accuracy`` (a proposition's nearest one is a positive), ``positive_similarity``, and
    ``sibling_similarity``, the mean cosine of different propositions of a sentence.

    Args:
        model: trained in place.
        temperature: what cosines are divided by.
        sibling_negatives: whether propositions of a sentence are negatives of one another.
        chunk_size: sentences of a column that are encoded at a time; see ``encode_chunked``.

    Notes:
        - In the reference, pairs that share a proposition can end with two labels; here whoever
          makes the labels merges them (``textzoo.propositions.merged_labels``).
        - There a token belongs to a proposition if it lies within a piece of it, here if it
          overlaps one, as everywhere in this package.
        - A proposition that was lost to truncation is left out; there it has the bias of the head
          for a vector.
    """

    def __init__(
        self, model: TextModel, *, temperature: float = 0.1, sibling_negatives: bool = True,
        chunk_size: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(model, chunk_size=chunk_size)
        if not temperature > 0:
            raise ConfigError(f"temperature={temperature}; use a number above 0, e.g. 0.1")
        self.temperature = temperature
        self.sibling_negatives = sibling_negatives

    def vectors(self, batch: TrainBatch, rngs: nnx.Rngs) -> Vectors:
        """The vectors of all propositions of each column, row by row: ``[B * S, E]``."""
        found = []
        for texts in batch.texts:
            if isinstance(texts, PackedTexts) or texts.spans is None or batch.span_labels is None:
                raise ConfigError(
                    "this objective compares spans of texts, and the batch has none; name their "
                    "columns: Column(name='text', spans='spans', span_labels='labels'), or "
                    "data.spans and data.span_labels in a recipe"
                )
            by_span = encode_chunked(self.model, texts, self.chunk_size, rngs)
            found.append(by_span.reshape(-1, by_span.shape[-1]))
        return tuple(found)

    def vector_loss(self, vectors: Vectors, batch: TrainBatch) -> LossTerms:
        """The loss of all propositions of the batch."""
        assert batch.span_labels is not None
        labels, groups, is_real = [], [], []
        rows = 0
        for of_column in map(jnp.asarray, batch.span_labels):
            size, spans = of_column.shape
            there = of_column >= 0
            if batch.row_mask is not None:
                there &= jnp.asarray(batch.row_mask).astype(bool)[:, None]
            labels.append(of_column.reshape(-1))
            is_real.append(there.reshape(-1))
            groups.append(jnp.repeat(rows + jnp.arange(size), spans))
            rows += size
        found = class_contrast(
            jnp.concatenate(vectors), jnp.concatenate(labels), temperature=self.temperature,
            mask=jnp.concatenate(is_real), groups=jnp.concatenate(groups),
            group_negatives=self.sibling_negatives,
        )  # fmt: skip
        metrics = {
            "accuracy": found.accuracy,
            "positive_similarity": found.positive_similarity,
            "sibling_similarity": found.group_similarity,
        }
        return LossTerms({"sub_sentence": Term(found.loss)}, metrics)
