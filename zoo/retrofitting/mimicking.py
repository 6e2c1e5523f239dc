"""Char2Subword's two objectives: to be taken for the rows of a table, and to guess pieces."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from textzoo.errors import ConfigError
from textzoo.modules import SubwordTokenizer
from textzoo.modules.heads import MaskedLanguageHead
from textzoo.retrofitting.config import Mimic
from textzoo.retrofitting.student import Student
from textzoo.retrofitting.table import OldTable, TableRegressionObjective, rows_of
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.losses.rows import pair_cosines, row_mean
from textzoo.trainers.objectives.base import ObjectiveState
from textzoo.trainers.objectives.masked_language import MaskedLanguageObjective, state_width
from textzoo.trainers.objectives.spelling import Spelling
from textzoo.trainers.objectives.token_masking import Vocabulary
from textzoo.trainers.ratio import LossTerms, Term

_ROWS_AT_ONCE = 1024


class MimicObjective(TableRegressionObjective):
    """Vectors of single pieces shall be taken for the rows of a table (Char2Subword, first stage).

    The share of the table's variance that is left unexplained, which fixes the length of a vector,
    and the terms of :class:`Mimic`. Metrics: ``row_cosine``, and ``retrieved``, the share of the
    pieces whose row is the best match.

    Args:
        embedding: trained in place.
        table: whose rows are wanted, all of which are compared.
        mimic: the terms.
        spelling: of the pieces, where some are to be misspelled.

    Notes:
        Of Aguilar et al. 2021 (arXiv 2010.12730), that the embedding first learns the table is
        certain; the terms are a reading of it. The squared error is an addition: a cosine leaves
        lengths free, and a norm does not always follow.
    """

    def __init__(
        self, embedding: nnx.Module, table: OldTable, mimic: Mimic, *,
        spelling: Spelling | None = None,
    ) -> None:  # fmt: skip
        super().__init__(embedding, variance=table.variance)
        ids = table.pieces.ids
        places = np.zeros(int(ids.max()) + 1, np.int32)
        places[ids] = np.arange(len(ids))
        self.rows = ObjectiveState(jnp.asarray(table.rows, jnp.float32))
        self.places = ObjectiveState(jnp.asarray(places))
        self.mimic = mimic
        self.spelling = spelling
        self.deterministic = True

    def set_view(self, deterministic: bool | None = None) -> None:
        """Whether this is a view for evaluation; for :func:`flax.nnx.view`."""
        if deterministic is not None:
            self.deterministic = deterministic

    def __call__(self, batch: TrainBatch, *, step: Int[Array, ""], rngs: nnx.Rngs) -> LossTerms:
        """All terms of a batch of pieces."""
        texts = batch.texts[0]
        if self.spelling is not None and not self.deterministic:
            texts = self.spelling.respell(texts, key=rngs.objective())
        own = self.places[...][jnp.asarray(texts.ids)[:, 0]]
        table, rows = self.rows[...], self.rows[...][own]
        vectors = self.model.embedding(texts).states[:, 0].astype(jnp.float32)
        scores = vectors @ table.T
        right = jnp.take_along_axis(scores, own[:, None], axis=1)[:, 0]
        cosines = pair_cosines(vectors, rows)
        mean = {
            "unexplained": row_mean(jnp.square(vectors - rows), batch.row_mask),
            "cosine": row_mean(1 - cosines, batch.row_mask),
            "retrieval": row_mean(jax.nn.logsumexp(scores, axis=1) - right, batch.row_mask),
        }
        weights = {"unexplained": 1 / self.variance, "cosine": self.mimic.cosine,
                   "retrieval": self.mimic.retrieval}  # fmt: skip
        if self.mimic.neighbors:
            mean["neighbors"] = row_mean(self._neighbors(vectors, rows, own), batch.row_mask)
            weights["neighbors"] = self.mimic.neighbors
        hits = (right >= scores.max(axis=1)).astype(jnp.float32)
        return LossTerms(
            {name: Term(mean[name], weight) for name, weight in weights.items() if weight},
            {
                "row_cosine": row_mean(cosines, batch.row_mask),
                "retrieved": row_mean(hits, batch.row_mask),
            },
        )

    def _neighbors(
        self, vectors: Float[Array, "B D"], rows: Float[Array, "B D"], own: Int[Array, "B"]
    ) -> Float[Array, "B"]:
        """How far the cosines to the nearest rows are from those that the row has."""
        unit = _unit(self.rows[...])
        old = _unit(rows) @ unit.T
        near = jnp.where(jnp.arange(len(unit)) == own[:, None], -2, old)
        wanted, places = jax.lax.top_k(near, min(self.mimic.num_neighbors, len(unit) - 1))
        found = jnp.take_along_axis(_unit(vectors) @ unit.T, places, axis=1)
        return jnp.square(found - jax.lax.stop_gradient(wanted)).mean(axis=1)


def retrieved(embedding: nnx.Module, table: OldTable) -> float:
    """The share of the pieces whose row matches their vector better than all other rows do."""
    vectors, hits = rows_of(embedding, table.pieces), 0
    for start in range(0, len(vectors), _ROWS_AT_ONCE):
        scores = vectors[start : start + _ROWS_AT_ONCE] @ table.rows.T
        own = scores[np.arange(len(scores)), start + np.arange(len(scores))]
        hits += int((own >= scores.max(axis=1)).sum())
    return hits / len(vectors)


def keep_rows(student: Student) -> None:
    """Copies the rows of tokens that bypass the letters, where the embedding has such."""
    embedding = student.model.embedding
    if student.table is not None and getattr(embedding, "kept", None) is not None:
        embedding.keep_rows(_all_rows(student.table, student.tokenizer.vocab_size))


def masked_objective(student: Student, *, edit_rate: float, seed: int) -> MaskedLanguageObjective:
    """Masked tokens are guessed within the frozen model (Char2Subword, second stage).

    The states go through a fresh ``LN(f(h W + b))`` and are compared with the rows of the old
    table, which stay as they are.

    Args:
        student: with a table.
        edit_rate: share of the pieces that are misspelled by one letter.
        seed: of the head.

    Raises:
        ConfigError: the tokenizer has no mask.
    """
    tokenizer, table = student.tokenizer, student.table
    assert table is not None
    if not isinstance(tokenizer, SubwordTokenizer):
        raise ConfigError(
            f"stage 'masked' guesses pieces, and a {type(tokenizer).__name__} gives none; leave "
            "it out: RetrofitConfig(masked=None)"
        )
    rows = _all_rows(table, tokenizer.vocab_size)
    head = MaskedLanguageHead(
        state_width(student.model), len(rows), inner_dim=rows.shape[1], tied=False,
        rngs=nnx.Rngs(seed),
    )  # fmt: skip
    assert head.output is not None
    head.output.kernel.set_value(jnp.asarray(rows.T))
    return MaskedLanguageObjective(
        student.model, head, vocabulary=Vocabulary.of(tokenizer),
        spelling=spelling_of(tokenizer, edit_rate),
    )  # fmt: skip


def spelling_of(tokenizer: object, edit_rate: float) -> Spelling | None:
    """The units of pieces, where they have some; mistakes in them need some.

    Raises:
        ConfigError: mistakes are wanted, and pieces have no letters.
    """
    if getattr(tokenizer, "unit_table", None) is None and not edit_rate:
        return None
    assert isinstance(tokenizer, SubwordTokenizer)
    return Spelling.of(tokenizer, edit_rate=edit_rate)


def _all_rows(table: OldTable, count: int) -> Float[np.ndarray, "V D"]:
    """A row for every id; the mean row for ids that are no piece."""
    rows = np.tile(table.rows.mean(axis=0), (count, 1))
    rows[table.pieces.ids] = table.rows
    return rows.astype(np.float32)


def _unit(x: Float[Array, "B D"]) -> Float[Array, "B D"]:
    return x * jax.lax.rsqrt(jnp.maximum(jnp.square(x).sum(axis=1, keepdims=True), 1e-12))
