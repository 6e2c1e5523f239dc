"""Fitting an embedding to the rows of another one: every piece of a vocabulary is an example."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from textzoo.errors import ConfigError
from textzoo.model import TextModel
from textzoo.modules import IdentityEncoder, Tokenizer
from textzoo.modules.tokenizers import Tokenized
from textzoo.modules.types import TextBatch
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.losses.rows import pair_cosines, row_mean
from textzoo.trainers.objectives.base import Objective
from textzoo.trainers.ratio import LossTerms, Term

_PIECES_AT_ONCE = 4096


class TableRegressionObjective(Objective):
    """Vectors of single pieces shall be the rows of a table.

    ``L = mean_v |e(v) - E[v]|^2 / mean_v |E[v] - mean E|^2``, the share of the table's variance
    that the embedding leaves unexplained: 1 for one that gives every piece the mean row. One
    column of texts of one token each; ``targets`` are the rows, ``[B, D]``.

    Metrics: ``row_cosine``, the mean cosine of a vector and its row.

    Args:
        embedding: trained in place.
        variance: of the table, a mean over rows and features.
    """

    def __init__(self, embedding: nnx.Module, *, variance: float) -> None:
        super().__init__(TextModel(embedding=embedding, encoder=IdentityEncoder()))
        self.variance = variance

    def __call__(self, batch: TrainBatch, *, step: Int[Array, ""], rngs: nnx.Rngs) -> LossTerms:
        """The unexplained share of a batch of pieces."""
        if batch.targets is None:
            raise ConfigError("the batch has no targets, the rows of the table [B, D]")
        rows = jnp.asarray(batch.targets)
        vectors = self.model.embedding(batch.texts[0]).states[:, 0].astype(jnp.float32)
        error = row_mean(jnp.square(vectors - rows), batch.row_mask)
        return LossTerms(
            {"unexplained": Term(error, 1 / self.variance)},
            {"row_cosine": row_mean(pair_cosines(vectors, rows), batch.row_mask)},
        )


class PieceTokenizer:
    """Gives text ``"7"`` the one token that is number 7 of some pieces.

    So pieces, which are no texts (``##ing``), go through the data of texts.

    Args:
        pieces: see :func:`pieces_of`; one token for each text.
    """

    max_length = 1

    def __init__(self, pieces: Tokenized) -> None:
        self._pieces = pieces
        self.vocab_size = int(pieces.ids.max()) + 1

    def __call__(self, texts: Sequence[str], *, return_offsets: bool = False) -> Tokenized:
        """The pieces of these numbers."""
        return self._pieces.select(np.array([int(text) for text in texts], np.int64))

    def save(self, directory: Path) -> None:
        """Writes nothing: pieces are made anew."""


def pieces_of(tokenizer: Tokenizer, texts: Sequence[str]) -> Tokenized:
    """Every piece of a vocabulary as a text of one token.

    A tokenizer that gives units says those of every id (``unit_table``: units of all ids one after
    the other, and where each begins); of another one, the pieces that occur in ``texts`` are
    taken, with their units there.

    Args:
        tokenizer: whose ids are those of the table.
        texts: some texts; without units only one is looked at.

    Raises:
        ConfigError: units are needed, and no piece occurs.
    """
    sample = tokenizer(list(texts[:1]) or [""])
    if not sample.unit_sizes:
        return _single(np.arange(tokenizer.vocab_size, dtype=np.int32))
    table = getattr(tokenizer, "unit_table", None)
    if table is not None:
        units, starts = table
        return _single(np.arange(len(starts) - 1, dtype=np.int32)).with_units(
            units, starts, sample.unit_sizes
        )
    tokenized = tokenizer(list(texts))
    ids, first = np.unique(tokenized.ids, return_index=True)
    if not len(ids):
        raise ConfigError(
            "the units of pieces are taken from texts, and there are none; give texts, or leave "
            "the table out: RetrofitConfig(table=None)"
        )
    assert tokenized.units is not None and tokenized.unit_starts is not None
    return _single(ids.astype(np.int32)).with_units(
        tokenized.units, tokenized.unit_starts, tokenized.unit_sizes, of=first
    )


def rows_of(embedding: nnx.Module, pieces: Tokenized) -> Float[np.ndarray, "V D"]:
    """The vector an embedding gives to each of some pieces, float32.

    Args:
        embedding: callable ``TextBatch -> Hidden``, one state for a token.
        pieces: see :func:`pieces_of`; the units are left out for an embedding that has none.
    """
    graphdef, state = nnx.split(embedding)

    @jax.jit
    def vectors(state: nnx.State, batch: TextBatch) -> Array:
        return nnx.merge(graphdef, state)(batch).states[:, 0].astype(jnp.float32)

    found = []
    for start in range(0, len(pieces), _PIECES_AT_ONCE):
        numbers = np.arange(start, min(start + _PIECES_AT_ONCE, len(pieces)))
        batch = pieces.batch(numbers, 1, _PIECES_AT_ONCE)
        found.append(np.asarray(vectors(state, batch))[: len(numbers)])
    return np.concatenate(found)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OldTable:
    """What a new embedding is fitted to.

    Attributes:
        pieces: of the vocabulary, see :func:`pieces_of`.
        rows: the old vector of each, ``[V, D]``.
    """

    pieces: Tokenized
    rows: Float[np.ndarray, "V D"]

    @property
    def variance(self) -> float:
        """Mean squared difference from the mean row, over rows and features."""
        centered = self.rows - self.rows.mean(axis=0)
        return float(np.square(centered).mean(dtype=np.float64)) or 1.0

    def unexplained(self, embedding: nnx.Module) -> float:
        """The share of the variance that an embedding leaves unexplained."""
        error = np.square(rows_of(embedding, self.pieces) - self.rows)
        return float(error.mean(dtype=np.float64)) / self.variance

    def solve(self, embedding: Any, *, seed: int) -> None:
        """Has an embedding solve for the rows; ids that are no piece get the mean row.

        Args:
            embedding: with ``fit_rows``, changed in place.
            seed: of what it may draw.
        """
        rows = np.tile(self.rows.mean(axis=0), (embedding.vocab_size, 1))
        rows[self.pieces.ids] = self.rows
        embedding.fit_rows(rows, seed=seed)


def _single(ids: np.ndarray) -> Tokenized:
    return Tokenized(
        ids=ids, starts=np.arange(len(ids) + 1, dtype=np.int64), truncated=np.zeros(len(ids), bool)
    )
