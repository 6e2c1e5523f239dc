"""CharBERT's objective: masked tokens from one channel, misspelled words from the other."""

import dataclasses

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Int

from textzoo.errors import ConfigError
from textzoo.model import TextModel
from textzoo.modules import CharBertEncoder
from textzoo.modules.heads import MaskedLanguageHead
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.data.labeled_tokens import split_labels
from textzoo.trainers.losses.token_cross_entropy import token_cross_entropy
from textzoo.trainers.objectives.base import Objective
from textzoo.trainers.objectives.masked_language import encode_tokens
from textzoo.trainers.objectives.selectors import gather_slots
from textzoo.trainers.objectives.spelling import Spelling
from textzoo.trainers.objectives.token_masking import MaskingConfig, Vocabulary, mask_texts
from textzoo.trainers.ratio import LossTerms, Term

CHARBERT_MASKING = MaskingConfig(rate=0.1, unit="word")
"""Whole words, one of ten."""


class NoisyLanguageObjective(Objective):
    """A model of two channels guesses masked tokens by one and mends misspelled words by the other.

    ``L = CE(head(t_i), x_i) + CE(noise_head(c_j), w_j)``, with the channel of tokens t at masked
    tokens i and the channel of characters c at the pieces j of misspelled words w (CharBERT, Ma et
    al. 2020, and its code). Misspelled words are never masked; masked tokens have the letters of
    the mask. Texts are tokenized by a ``MisspellingTokenizer``, with words numbered
    (``TextData(word_ids=True)``).

    A view with ``deterministic=True`` masks as in training, with masks that do not change.

    Args:
        model: with a ``CharBertEncoder``; both of its channels are asked for, whatever its
            states are.
        head: from t to scores of tokens, tied to the table.
        noise_head: from c to scores of the list of words and one more, with a table of its own.
        vocabulary: of the tokenizer.
        spelling: of the tokenizer.
        masking: which words are masked; their unit is the word.
    """

    def __init__(
        self,
        model: TextModel,
        head: MaskedLanguageHead,
        noise_head: MaskedLanguageHead,
        *,
        vocabulary: Vocabulary,
        spelling: Spelling,
        masking: MaskingConfig | None = None,
    ) -> None:
        super().__init__(model)
        self.masking = masking or CHARBERT_MASKING
        if self.masking.unit != "word":
            raise ConfigError(
                f"masking.unit={self.masking.unit!r}; whole words are masked or misspelled: use "
                "dataclasses.replace(masking, unit='word')"
            )
        if noise_head.output is None:
            raise ConfigError("noise_head has no table of words; build it with tied=False")
        if not isinstance(model.encoder, CharBertEncoder):
            raise ConfigError(
                f"two channels are trained, and a {type(model.encoder).__name__} has one; use a "
                "model with a CharBertEncoder"
            )
        self.head = head
        self.noise_head = noise_head
        self.vocabulary = vocabulary
        self.spelling = spelling

    def __call__(self, batch: TrainBatch, *, step: Int[Array, ""], rngs: nnx.Rngs) -> LossTerms:
        """Both cross-entropies, and the shares of right guesses."""
        texts, labels = split_labels(batch.texts[0], 1)
        words = jnp.asarray(labels)[..., 0]
        is_wrong = words >= 0
        if batch.word_ids is None:
            raise ValueError("whole words are masked, and the batch has no word_ids")
        batch = dataclasses.replace(
            batch, texts=(texts,), word_ids=jnp.where(is_wrong, -1, jnp.asarray(batch.word_ids))
        )
        masked = mask_texts(
            rngs.objective(), batch, self.masking, self.vocabulary, step=step,
            spelling=self.spelling,
        )  # fmt: skip
        both = nnx.view(self.model, outputs="both")
        states = encode_tokens(both, masked.texts, rngs)
        tokens, characters = jnp.split(states, 2, axis=-1)
        slots = masked.selection
        logits = self.head(gather_slots(tokens, slots.slots), self.model.embedding)
        loss, accuracy = token_cross_entropy(logits, masked.targets, slots.weights)
        weights = (is_wrong & masked.real).astype(jnp.float32)
        noise_loss, noise_accuracy = token_cross_entropy(
            self.noise_head(characters), jnp.maximum(words, 0), weights
        )
        return LossTerms(
            {"masked_language": Term(loss), "noisy_language": Term(noise_loss)},
            {"accuracy": accuracy, "noise_accuracy": noise_accuracy},
        )
