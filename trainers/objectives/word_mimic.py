"""XRayEmb's objectives over words: their letters for their pieces, and their letters again."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from textzoo.errors import ConfigError, closest
from textzoo.model import TextModel
from textzoo.modules.embeddings.xray import XRayEmbedding
from textzoo.modules.heads.letters import LettersHead
from textzoo.modules.tokenizers.units import UnitVocabulary
from textzoo.modules.types import TextBatch
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.losses.rows import row_mean
from textzoo.trainers.losses.token_cross_entropy import token_cross_entropy
from textzoo.trainers.objectives.base import Objective
from textzoo.trainers.ratio import LossTerms, Term

POOLS = ("max", "mean", "first")


class WordMimicObjective(Objective):
    """Vectors of spelled words shall be those of their pieces, and can be spelled (XRayEmb).

    With ``v = pool(E[pieces of w])``, Tok the embedding of letters and Detok the head::

        L = a mean (Tok(w) - v)^2 + b CE(Detok(v), letters of w) + c CE(Detok(Tok(w)), letters of w)

    Rows are words, tokenized into pieces by a ``SubwordTokenizer`` with units and without
    ``mark_words``; of a row of several words, the letters are those of all. Nothing flows into the
    table through v.

    Metrics: ``letters``, the share of letters that are guessed right from Tok(w).

    Args:
        model: with an ``XRayEmbedding``.
        head: Detok.
        units: of the tokenizer: ``"characters"`` or ``"bytes"``.
        num_characters: see ``SubwordTokenizer``.
        max_units: longer words are known by their first units alone, so many with the marks.
        special_ids: tokens that are no piece of a word.
        pool: ``"max"`` (the paper's), ``"mean"`` or ``"first"``.
        mimic_weight, spelling_weight, cycle_weight: a, b and c.

    Notes:
        The paper trains a language model at the same time, whose states Detok spells; here it
        spells v, and the language model is trained by itself, by ``MaskedLanguageObjective`` over a
        ``WholeWordTokenizer``, which is the order of a reading of ours. Its cycle from Detok to Tok
        and back goes through letters that are chosen, through which nothing flows; it is left out.
        The paper's weights are 0.25, 0.25 and 0.1.
    """

    def __init__(
        self,
        model: TextModel,
        head: LettersHead,
        *,
        special_ids: tuple[int, ...],
        units: str = "characters",
        num_characters: int = 1 << 16,
        max_units: int = 22,
        pool: str = "max",
        mimic_weight: float = 0.25,
        spelling_weight: float = 0.25,
        cycle_weight: float = 0.1,
    ) -> None:
        super().__init__(model)
        if not isinstance(model.embedding, XRayEmbedding):
            raise ConfigError(
                f"letters stand beside a table in an XRayEmbedding, and the model has a "
                f"{type(model.embedding).__name__}"
            )
        if pool not in POOLS:
            raise ConfigError(f"pool={pool!r} is unknown; {closest(pool, POOLS)}")
        if max_units < 3:
            raise ConfigError(f"max_units={max_units}; use 3 or more: a letter between two marks")
        self.head = head
        self.vocabulary = UnitVocabulary(kind=units, num_characters=num_characters)
        self.max_units = max_units
        self.special_ids = tuple(special_ids)
        self.pool = pool
        self.weights = {"mimic": mimic_weight, "spelling": spelling_weight, "cycle": cycle_weight}

    def __call__(self, batch: TrainBatch, *, step: Int[Array, ""], rngs: nnx.Rngs) -> LossTerms:
        """All terms of a batch of words."""
        texts, embedding = batch.texts[0], self.model.embedding
        if texts.units is None or texts.unit_mask is None:
            raise ValueError(
                "the batch has no units; tokenize with SubwordTokenizer(..., units='characters')"
            )
        ids, pieces = jnp.asarray(texts.ids), jnp.asarray(texts.mask)
        for special in self.special_ids:
            pieces = pieces & (ids != special)
        real = pieces.any(axis=1)
        if batch.row_mask is not None:
            real = real & jnp.asarray(batch.row_mask)
        rows = embedding.tokens(texts).states.astype(jnp.float32)
        pooled = pool_pieces(jax.lax.stop_gradient(rows), pieces, self.pool)
        units, mask = join_units(
            jnp.asarray(texts.units), jnp.asarray(texts.unit_mask) & pieces[..., None],
            self.vocabulary, self.max_units,
        )  # fmt: skip
        words = TextBatch(
            ids=ids[:, :1], mask=real[:, None], units=units[:, None], unit_mask=mask[:, None]
        )
        spelled = embedding.words(words).states[:, 0].astype(jnp.float32)
        terms: dict[str, Any] = {"mimic": row_mean(jnp.square(spelled - pooled), real)}
        # After each unit but the last, the next one.
        targets, weights = units[:, 1:], (mask[:, 1:] & real[:, None]).astype(jnp.float32)
        terms["spelling"], _ = token_cross_entropy(
            self.head(pooled, units[:, :-1], mask[:, :-1]), targets, weights
        )
        terms["cycle"], right = token_cross_entropy(
            self.head(spelled, units[:, :-1], mask[:, :-1]), targets, weights
        )
        return LossTerms(
            {name: Term(terms[name], weight) for name, weight in self.weights.items() if weight},
            {"letters": right},
        )


def pool_pieces(
    rows: Float[Array, "B L D"], mask: Bool[Array, "B L"], pool: str
) -> Float[Array, "B D"]:
    """One vector of the pieces of a row; zero where there are none."""
    on = mask[..., None]
    if pool == "max":
        found = jnp.where(on, rows, -jnp.inf).max(axis=1)
    elif pool == "mean":
        found = jnp.where(on, rows, 0).sum(axis=1) / jnp.maximum(on.sum(axis=1), 1)
    else:
        found = jnp.take_along_axis(rows, jnp.argmax(mask, axis=1)[:, None, None], axis=1)[:, 0]
    return jnp.where(on.any(axis=1), found, 0)


def join_units(
    units: Int[Array, "B L C"], mask: Bool[Array, "B L C"], vocabulary: UnitVocabulary, length: int
) -> tuple[Int[Array, "B W"], Bool[Array, "B W"]]:
    """The units of all pieces of a row, one after the other, between the marks of a word.

    Args:
        units: of the pieces.
        mask: which of them are real.
        vocabulary: has the marks.
        length: W, units with the marks; what is more is left out.
    """
    flat, on = units.reshape(len(units), -1), mask.reshape(len(units), -1)
    missing = max(0, length - 2 - flat.shape[1])
    flat, on = (jnp.pad(x, ((0, 0), (0, missing))) for x in (flat, on))
    order = jnp.argsort(~on, axis=1, stable=True)[:, : length - 2]
    letters = jnp.take_along_axis(flat, order, axis=1)
    count = jnp.minimum(on.sum(axis=1), length - 2)[:, None]
    places = jnp.arange(length)
    shifted = jnp.pad(letters, ((0, 0), (1, 1)))
    joined = jnp.where(places == 0, vocabulary.word_begins, shifted)
    joined = jnp.where(places == count + 1, vocabulary.word_ends, joined)
    return joined, places <= count + 1
