"""Byte2Word's objective: the subwords of masked words, from states of words."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Int

from textzoo.errors import ConfigError
from textzoo.model import TextModel
from textzoo.modules import TextBatch, WordTokenizer
from textzoo.modules.heads import WordPiecesHead
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.data.labeled_tokens import split_labels
from textzoo.trainers.losses.token_cross_entropy import token_cross_entropy
from textzoo.trainers.objectives import selectors
from textzoo.trainers.objectives.base import Objective
from textzoo.trainers.objectives.masked_language import encode_tokens
from textzoo.trainers.objectives.token_masking import EVALUATION, MaskingConfig
from textzoo.trainers.ratio import LossTerms, Ratio, Term

_SPECIAL_IDS = (0, 1, 2, 3)  # Of a WordTokenizer.


class WordPiecesObjective(Objective):
    """Masked words are guessed as the subwords they would be in a vocabulary (Byte2Word).

    ``L = - sum_w sum_{j <= m_w} log p(s_wj | h_w) / sum_w m_w`` over the masked words w, whose m_w
    subwords are scored in slots by a ``WordPiecesHead`` (Lee et al. 2022, arXiv 2211.12677). Of the
    masked words, eight of ten become one mask unit, one becomes another word of its text, and one
    stays, as in BERT. Texts are tokenized by a ``WordPiecesTokenizer``.

    A view with ``deterministic=True`` masks as :data:`EVALUATION` says.

    Args:
        model: of words, such as one with a ``Byte2WordEmbedding``.
        head: from states to scores; it has as many slots as the tokenizer gives labels.
        words: tokenizer of the words.
        num_pieces: S, labels of a word.
        masking: rates; units are words here, which are tokens: ``unit="token"``.
        end_id: a subword that stands behind the last one of a word; ``None``: slots behind it
            are left out.

    Notes:
        The abstract says that subwords are predicted from states of words; the sum over slots and
        what it is divided by are a reading.
    """

    def __init__(
        self,
        model: TextModel,
        head: WordPiecesHead,
        *,
        words: WordTokenizer,
        num_pieces: int = 4,
        masking: MaskingConfig | None = None,
        end_id: int | None = None,
    ) -> None:
        super().__init__(model)
        self.masking = masking or MaskingConfig()
        if self.masking.unit != "token":
            raise ConfigError(f"masking.unit={self.masking.unit!r}; tokens are words: use 'token'")
        slots = head.slots.shape[0]
        if slots != num_pieces:
            raise ConfigError(f"the head has {slots} slots, and words num_pieces={num_pieces}")
        self.head = head
        self.num_pieces = num_pieces
        self.end_id = end_id
        vocabulary = words.vocabulary
        mask = [vocabulary.mask]
        if words.mark_words:
            mask = [vocabulary.word_begins, *mask, vocabulary.word_ends]
        self.mask_units = tuple(mask)
        self.deterministic = True

    def set_view(self, deterministic: bool | None = None) -> None:
        """Whether this is a view for evaluation; for :func:`flax.nnx.view`."""
        if deterministic is not None:
            self.deterministic = deterministic

    def __call__(self, batch: TrainBatch, *, step: Int[Array, ""], rngs: nnx.Rngs) -> LossTerms:
        """The cross-entropy over subwords, and the share of those that are guessed right."""
        texts, labels = split_labels(batch.texts[0], self.num_pieces)
        labels = jnp.asarray(labels)
        real = jnp.asarray(texts.mask)
        if batch.row_mask is not None:
            real = real & jnp.asarray(batch.row_mask)[:, None]
        candidates = selectors.candidate_tokens(jnp.asarray(texts.ids), real, _SPECIAL_IDS)
        candidates = candidates & (labels[..., 0] >= 0)
        masking = EVALUATION if self.deterministic else self.masking
        select_key, replace_key = jax.random.split(rngs.objective())
        selection = selectors.select_tokens(
            select_key, candidates, selectors.quotas(candidates, masking.rate_at(step)),
            masking.num_slots(real.shape[1]),
        )  # fmt: skip
        masked = replace_words(
            replace_key, texts, selection.selected, candidates, self.mask_units,
            mask_share=masking.mask_share, random_share=masking.random_share,
        )  # fmt: skip
        states = encode_tokens(self.model, masked, rngs)
        scores = self.head(selectors.gather_slots(states, selection.slots))  # [B, M, S, V]
        targets = selectors.gather_slots(labels, selection.slots)
        has_piece = targets >= 0
        if self.end_id is not None:
            is_end = ~has_piece & (jnp.cumsum(~has_piece, axis=-1) == 1)
            targets = jnp.where(is_end, self.end_id, targets)
            has_piece = has_piece | is_end
        weights = (has_piece & (selection.weights > 0)[..., None]).astype(jnp.float32)
        rows = len(scores)
        loss, accuracy = token_cross_entropy(
            scores.reshape(rows, -1, scores.shape[-1]), targets.reshape(rows, -1),
            weights.reshape(rows, -1),
        )  # fmt: skip
        selected = selection.weights.sum()
        return LossTerms(
            {"word_pieces": Term(loss)},
            {
                "accuracy": accuracy,
                "mask_share": Ratio(selected, real.sum().astype(jnp.float32)),
            },
        )


def replace_words(
    key: Array, texts: TextBatch, selected: Bool[Array, "B L"], candidates: Bool[Array, "B L"],
    mask_units: tuple[int, ...], *, mask_share: float, random_share: float,
) -> TextBatch:  # fmt: skip
    """Replaces the units of selected words: by a mask, by those of another word, or not at all.

    Args:
        key: of all draws.
        texts: with units.
        selected: the words that are to be guessed.
        candidates: words that may be drawn in their place.
        mask_units: of a masked word.
        mask_share: of the selected words, how many become masks.
        random_share: how many become another word of the same text.
    """
    assert texts.units is not None and texts.unit_mask is not None
    units, on = jnp.asarray(texts.units), jnp.asarray(texts.unit_mask)
    room = max(0, len(mask_units) - units.shape[-1])
    units, on = (jnp.pad(x, ((0, 0), (0, 0), (0, room))) for x in (units, on))
    choice_key, other_key = jax.random.split(key)
    choice = jax.random.uniform(choice_key, selected.shape)
    # Every word draws a place; where no word stands there, it stays as it is.
    places = jax.random.randint(other_key, selected.shape, 0, selected.shape[1])
    is_word = jnp.take_along_axis(candidates, places, axis=1)
    changes = selected & is_word & (choice < mask_share + random_share)
    source = jnp.where(changes, places, jnp.arange(selected.shape[1]))[..., None]
    units = jnp.take_along_axis(units, source, axis=1)
    on = jnp.take_along_axis(on, source, axis=1)
    masked = (selected & (choice < mask_share))[..., None]
    mask = np.zeros(units.shape[-1], np.int32)
    mask[: len(mask_units)] = mask_units
    units = jnp.where(masked, mask, units)
    on = jnp.where(masked, np.arange(units.shape[-1]) < len(mask_units), on)
    return texts.replace(units=units, unit_mask=on)
