"""From places of the stream to batches, with texts tokenized now or beforehand."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt

from textzoo.modules.tokenizers import Tokenized
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.data.collate import Collator, Counts
from textzoo.trainers.data.order import Places
from textzoo.trainers.data.sources import Row, Source
from textzoo.trainers.data.token_store import Advance, TokenStore, tokens_on_disk


class Loader:
    """Reads rows, tokenizes their texts, and makes batches; from several threads at once.

    Args:
        sources: the rows.
        collate: makes batches.
        stores: tokens of every column of every source, if they were tokenized beforehand.
    """

    def __init__(
        self, sources: Sequence[Source], collate: Collator,
        stores: Sequence[Sequence[TokenStore]] | None = None,
    ) -> None:  # fmt: skip
        self._sources = tuple(sources)
        self._collate = collate
        self._stores = stores

    def load(
        self, places: Places, size: int, whole: Places | None = None
    ) -> tuple[TrainBatch, Counts]:
        """Makes a batch.

        Args:
            places: the rows that this process has.
            size: rows of this process's part, filled up with empty ones.
            whole: the rows of all processes, when there are several: their parts must have the
                same shape. Without tokens beforehand that is the longest one.
        """
        columns = range(len(self._collate.columns))
        if self._stores is None:
            rows = self._read(places)
            tokenized = self._collate.tokenize(rows)
            keys = self._collate.hash(rows) if self._collate.keys else []
            if whole is None:
                longest = [int(tokens.lengths.max(initial=0)) for tokens in tokenized]
            else:
                longest = [lengths[-1] for lengths in self._collate.lengths]
        else:
            rows = self._read(places) if self._collate.reads_rows else []
            tokenized = [self._tokens(places, column) for column in columns]
            keys = [self._keys(places, column) for column in columns]
            lengths = (self.lengths(whole or places, column) for column in columns)
            longest = [int(found.max(initial=0)) for found in lengths]
        if whole is not None:  # Nor do processes know each other's longest words.
            tokenized = [tokens.widest() for tokens in tokenized]
        if not len(places.rows) and self._collate.reads_rows:
            rows = [self._sources[0][0]]  # Tells the width of targets.
        return self._collate(rows, tokenized, keys, size, longest)

    def load_several(
        self, places: Sequence[Places], size: int
    ) -> list[tuple[TrainBatch, Counts]]:  # fmt: skip
        """Makes several batches, whose texts are tokenized with one call.

        Args:
            places: the rows of each.
            size: rows of each.
        """
        if self._stores is not None or len(places) == 1:
            return [self.load(one, size) for one in places]
        rows = self._read(Places.join(places))
        tokenized = self._collate.tokenize(rows)
        keys = self._collate.hash(rows) if self._collate.keys else []
        ends = np.cumsum([len(one.rows) for one in places]).tolist()
        batches = []
        for first, last in zip([0, *ends], ends, strict=False):
            own = [tokens.stretch(first, last) for tokens in tokenized]
            longest = [int(tokens.lengths.max(initial=0)) for tokens in own]
            hashes = [column[first:last] for column in keys]
            batches.append(self._collate(rows[first:last], own, hashes, size, longest))
        return batches

    def lengths(self, places: Places, column: int) -> Int[np.ndarray, "N"]:
        """Tokens of the texts of a column, which must have been tokenized beforehand."""
        return self._gather(places, lambda stores, rows: stores[column].lengths_of(rows))

    def _keys(self, places: Places, column: int) -> UInt[np.ndarray, "N"]:
        found = self._gather(places, lambda stores, rows: stores[column].keys[rows])
        return found.astype(np.uint32)

    def _read(self, places: Places) -> list[Row]:
        rows: list[Row] = [{}] * len(places.rows)
        for index, source in enumerate(self._sources):
            here = np.flatnonzero(places.sources == index)
            for slot, row in zip(here, source.read(places.rows[here]), strict=True):
                rows[slot] = row
        return rows

    def _tokens(self, places: Places, column: int) -> Tokenized:
        assert self._stores is not None
        used = np.unique(places.sources)
        if len(used) == 1:
            return self._stores[used[0]][column].select(places.rows)
        parts, slots = [], []
        for index in used:
            here = np.flatnonzero(places.sources == index)
            parts.append(self._stores[index][column].select(places.rows[here]))
            slots.append(here)
        return Tokenized.concatenate(parts).select(np.argsort(np.concatenate(slots)))

    def _gather(
        self, places: Places, of: Callable[[Sequence[TokenStore], np.ndarray], np.ndarray]
    ) -> np.ndarray:
        assert self._stores is not None
        found = np.zeros(len(places.rows), np.int64)
        for index in np.unique(places.sources):
            here = places.sources == index
            found[here] = of(self._stores[index], places.rows[here])
        return found


def tokenized_beforehand(
    sources: Sequence[Source], collate: Collator, *, cache: Path | None, threads: int,
    on_progress: Advance,
) -> list[list[TokenStore]]:  # fmt: skip
    """Tokens of every text column of every source."""
    return [
        [
            tokens_on_disk(
                source,
                column.name,
                tokenizer,
                prefix=column.prefix,
                words=collate.word_ids and index == 0,
                cache=cache,
                threads=threads,
                on_progress=on_progress,
            )  # fmt: skip
            for index, (column, tokenizer) in enumerate(
                zip(collate.columns, collate.tokenizers, strict=True)
            )
        ]
        for source in sources
    ]
