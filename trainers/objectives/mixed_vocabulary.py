"""Masked tokens of two vocabularies, for a small model that begins in a large one's space."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from textzoo.errors import ConfigError
from textzoo.model import TextModel
from textzoo.modules import MixedVocabularyEmbedding, SubwordEmbedding
from textzoo.modules.heads import MaskedLanguageHead
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.losses.token_cross_entropy import blocked_token_cross_entropy
from textzoo.trainers.objectives.masked_language import MaskedLanguageObjective, encode_tokens
from textzoo.trainers.objectives.selectors import gather_slots
from textzoo.trainers.objectives.token_masking import (
    EVALUATION,
    MaskingConfig,
    Vocabulary,
    mask_texts,
)
from textzoo.trainers.ratio import LossTerms, Ratio, Term


class MixedVocabularyObjective(MaskedLanguageObjective):
    """Masked tokens, each guessed among those of its own vocabulary (Zhao et al. 2021, stage I).

    ``L = sum_i w_i CE(z_i restricted to the vocabulary of x_i, x_i) / sum_i w_i``: which one a word
    was cut with is no part of the guess. A masked token becomes the mask of its own vocabulary.

    Args:
        model: with a :class:`~textzoo.modules.MixedVocabularyEmbedding`, usually the teacher's, and
            its encoder.
        head: from states to scores of all ids.
        vocabularies: of the tokenizers, in the order of the parts; their sizes are those of the
            parts.
        masking: which tokens are selected, and what becomes of them.
        loss_block: see :class:`MaskedLanguageObjective`.

    Notes:
        Random tokens are drawn from both vocabularies. The paper trains the small table and its map
        or the teacher too; freeze what shall not learn with ``OptimizerConfig(frozen=...)``. For
        stage II, a student of the narrow width begins with :func:`narrow_part`.
    """

    def __init__(
        self,
        model: TextModel,
        head: MaskedLanguageHead,
        *,
        vocabularies: Sequence[Vocabulary],
        masking: MaskingConfig | None = None,
        loss_block: int | None = None,
    ) -> None:
        embedding = model.embedding
        if not isinstance(embedding, MixedVocabularyEmbedding):
            raise ConfigError(
                f"the embedding is a {type(embedding).__name__}; a mix of vocabularies needs a "
                "MixedVocabularyEmbedding"
            )
        sizes = tuple(vocabulary.vocab_size for vocabulary in vocabularies)
        if sizes != embedding.sizes:
            raise ConfigError(
                f"the vocabularies have {sizes} ids, and the parts of the embedding "
                f"{embedding.sizes}; give them in the same order and of the same sizes"
            )
        pairs = list(zip(vocabularies, embedding.starts, strict=True))
        together = Vocabulary(
            mask_id=vocabularies[0].mask_id,
            special_ids=tuple(start + n for v, start in pairs for n in v.special_ids),
            vocab_size=embedding.vocab_size,
        )
        super().__init__(model, head, vocabulary=together, masking=masking, loss_block=loss_block)
        self.mask_ids = tuple(start + v.mask_id for v, start in pairs)

    def __call__(self, batch: TrainBatch, *, step: Int[Array, ""], rngs: nnx.Rngs) -> LossTerms:
        """The cross-entropy, the share of right guesses, and the share of tokens selected."""
        masked = mask_texts(
            rngs.objective(), batch, EVALUATION if self.deterministic else self.masking,
            self.vocabulary, step=step,
        )  # fmt: skip
        is_mask = masked.texts.ids == self.vocabulary.mask_id
        own_mask = jnp.asarray(self.mask_ids)[self._vocabulary_of(batch.texts[0].ids)]
        texts = masked.texts.replace(ids=jnp.where(is_mask, own_mask, masked.texts.ids))
        selection = masked.selection
        states = gather_slots(encode_tokens(self.model, texts, rngs), selection.slots)
        inner = self.head.transform(states)
        # The number of the vocabulary travels as a feature more: blocks cut both alike.
        number = self._vocabulary_of(masked.targets)[..., None].astype(inner.dtype)
        loss, accuracy = blocked_token_cross_entropy(
            self._score, jnp.concatenate([inner, number], axis=-1), masked.targets,
            selection.weights, block=self.loss_block,
        )  # fmt: skip
        selected = selection.weights.sum()
        return LossTerms(
            {"masked_language": Term(loss)},
            {
                "accuracy": accuracy,
                "mask_share": Ratio(selected, masked.real.sum().astype(jnp.float32)),
            },
        )

    def _score(self, states: Float[Array, "B M E"]) -> Float[Array, "B M V"]:
        """Scores of the ids of one vocabulary, and minus infinity for all others."""
        scores = self.head.score(states[..., :-1], self.model.embedding)
        number = self._vocabulary_of(np.arange(self.vocabulary.vocab_size))
        return jnp.where(states[..., -1:].astype(jnp.int32) == number, scores, -jnp.inf)

    def _vocabulary_of(self, ids: Any) -> Int[Array, "..."]:
        """Which vocabulary ids are of."""
        starts = jnp.asarray(self.model.embedding.starts)
        return (jnp.asarray(ids)[..., None] >= starts).sum(axis=-1) - 1


def narrow_part(embedding: MixedVocabularyEmbedding, index: int = 1) -> SubwordEmbedding:
    """The narrow table of one vocabulary by itself, for a student of that width.

    Args:
        embedding: after stage I.
        index: of the part, a factorised ``SubwordEmbedding``.

    Raises:
        ConfigError: the part is no such table.
    """
    part = embedding.parts[index]
    if not isinstance(part, SubwordEmbedding):
        raise ConfigError(
            f"parts[{index}] is a {type(part).__name__}; only a SubwordEmbedding has a table to "
            "begin with"
        )
    rows = part.table[...]
    student = SubwordEmbedding(*rows.shape, scale=part.scale, rngs=nnx.Rngs(0))
    student.table.set_value(rows)
    return student
