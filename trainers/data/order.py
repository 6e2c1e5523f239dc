"""Which row comes at which place of an endless stream, from (seed, place) alone."""

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from textzoo.errors import ConfigError
from textzoo.trainers.data.permutation import shuffled_by_turn

_LONGEST_BLOCK = 10_000
_WEIGHT_ERROR = 1e-3

# Places of small batches are worked out for so many rows at once: numpy takes as long for ten.
_ROWS_AT_ONCE = 1024

# First numbers of the keys of permutations, so that no two uses share one.
_ROWS, _SOURCES = 0, 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Places:
    """Rows at consecutive places of the stream.

    Attributes:
        sources: which source each row is from.
        rows: its number in the source.
        epochs: how often the source was gone through before.
    """

    sources: Int[np.ndarray, "N"]
    rows: Int[np.ndarray, "N"]
    epochs: Int[np.ndarray, "N"]

    @staticmethod
    def join(parts: Sequence["Places"]) -> "Places":
        """The places of all parts, one after the other."""
        return Places(
            sources=np.concatenate([part.sources for part in parts]),
            rows=np.concatenate([part.rows for part in parts]),
            epochs=np.concatenate([part.epochs for part in parts]),
        )

    def take(self, chosen: slice | Int[np.ndarray, "M"]) -> "Places":
        """Some of the places."""
        return Places(
            sources=self.sources[chosen], rows=self.rows[chosen], epochs=self.epochs[chosen]
        )


class Order:
    """The order of the rows of some sources in batches, without end.

    Every source is gone through again and again, shuffled anew each time, so between two passes
    no row is left out and none comes twice. A batch may hold the end of one pass and the
    beginning of the next.

    Sources are mixed by weight in blocks: of ``M`` consecutive rows, ``m_s`` are from source
    ``s``, in random order, where ``m_s / M`` is the share of its weight, to 0.1%. With
    ``single_source_batches`` it is ``M`` consecutive batches, each of one source.

    Args:
        sizes: rows of each source.
        batch_size: rows per batch.
        seed: of the order.
        weights: share of each source, any positive numbers; in proportion to the sizes if absent.
        single_source_batches: all rows of a batch are from the same source.
        shuffle: without it, rows come in the order of the source.
    """

    def __init__(
        self, sizes: Sequence[int], *, batch_size: int, seed: int = 0,
        weights: Sequence[float] | None = None, single_source_batches: bool = False,
        shuffle: bool = True,
    ) -> None:  # fmt: skip
        weights = tuple(sizes if weights is None else weights)
        if len(weights) != len(sizes):
            raise ConfigError(f"{len(weights)} weights for {len(sizes)} sources; give one for each")
        if not all(weight > 0 and math.isfinite(weight) for weight in weights):
            raise ConfigError(f"weights={list(weights)}; expected positive numbers, leave a source "
                              "out rather than weigh it 0")  # fmt: skip
        self._sizes = tuple(sizes)
        self._batch_size = batch_size
        self._seed = seed
        self._single = single_source_batches
        self._shuffle = shuffle
        self._counts = block_counts(weights)
        self._ends = np.cumsum(self._counts)
        self._window = max(1, _ROWS_AT_ONCE // batch_size)
        # Batches that threads prepare at once are of one window, or of two.
        self._windows = functools.lru_cache(maxsize=4)(self._work_out_window)

    def places(self, batch: int, first: int, last: int) -> Places:
        """Rows ``first`` to ``last - 1`` of a batch."""
        if self._window == 1:
            start = batch * self._batch_size
            return self._work_out(start + first, start + last)
        window, slot = divmod(batch, self._window)
        start = slot * self._batch_size
        return self._windows(window).take(slice(start + first, start + last))

    def _work_out_window(self, window: int) -> Places:
        rows = self._window * self._batch_size
        return self._work_out(window * rows, (window + 1) * rows)

    def _work_out(self, begin: int, end: int) -> Places:
        """Places ``begin`` to ``end - 1`` of the stream."""
        numbers = np.arange(begin, end)
        if not self._single:
            return self._rows(*self._choose(numbers))
        batches, slots = np.divmod(numbers, self._batch_size)
        sources, turns = self._choose(np.arange(batches[0], batches[-1] + 1))
        batches -= batches[0]
        return self._rows(sources[batches], turns[batches] * self._batch_size + slots)

    def _choose(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The source of each place, and how many places before it had the same source."""
        length = int(self._ends[-1])
        if len(self._counts) == 1:
            return np.zeros(len(numbers), np.int64), numbers
        blocks, slots = np.divmod(numbers, length)
        drawn = shuffled_by_turn(slots, length, blocks, _SOURCES, self._seed)
        sources = np.searchsorted(self._ends, drawn, side="right")
        in_block = drawn - (self._ends - self._counts)[sources]
        return sources, blocks * self._counts[sources] + in_block

    def _rows(self, sources: np.ndarray, ranks: np.ndarray) -> Places:
        sizes = np.asarray(self._sizes)[sources]
        epochs, rows = np.divmod(ranks, sizes)
        if self._shuffle:
            for source in np.unique(sources).tolist():
                here = sources == source
                key = (_ROWS, self._seed, source)
                rows[here] = shuffled_by_turn(rows[here], self._sizes[source], epochs[here], *key)
        return Places(sources=sources, rows=rows, epochs=epochs)


def block_counts(weights: Sequence[float]) -> np.ndarray:
    """How many places of a block belong to each source.

    The shortest block in which every share is right to 0.1% of itself, if that is at most 10,000
    places; otherwise 10,000, in which every source has at least one.
    """
    shares = np.asarray(weights, np.float64) / np.sum(weights)
    for length in range(len(shares), _LONGEST_BLOCK):
        counts = np.round(shares * length)
        if (
            counts.sum() == length
            and (np.abs(counts - shares * length) <= _WEIGHT_ERROR * shares * length).all()
        ):
            return counts.astype(np.int64)
    return np.maximum(1, np.round(shares * _LONGEST_BLOCK)).astype(np.int64)
