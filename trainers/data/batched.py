"""What all training data have in common: numbered batches, shared by processes."""

import abc
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from textzoo.errors import ConfigError, DataError
from textzoo.trainers.batch import LoadedBatch, TrainBatch
from textzoo.trainers.data.broken_rows import SourceReport
from textzoo.trainers.data.collate import Counts
from textzoo.trainers.data.opening import Readable
from textzoo.trainers.data.order import Places
from textzoo.trainers.data.sources import Source
from textzoo.trainers.data.stream import GrainStream, Reading, Tally

_ROWS_NAMED = 8

# Batches of few rows are prepared together, up to so many rows: a call takes as long for two.
_ROWS_TOGETHER = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mixture:
    """Several sources at once.

    Attributes:
        parts: sources, or what :func:`open_source` opens.
        weights: share of each in the rows; in proportion to their sizes if absent.
        single_source_batches: all rows of a batch are from the same source, which is chosen by
            weight. In a contrastive batch, negatives are then of the same kind as the positive.
    """

    parts: tuple[Readable, ...]
    weights: tuple[float, ...] | None = None
    single_source_batches: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataReport:
    """What was read and what became of it.

    Attributes:
        sources: rows and broken rows of every file.
        counts: rows, texts, tokens, cut texts and padding of the batches this process handed out.
    """

    sources: tuple[SourceReport, ...]
    counts: Counts

    def __str__(self) -> str:
        """Some lines for people."""
        counts = self.counts
        return "\n".join(
            [
                *map(str, self.sources),
                f"handed out: {counts.rows:,} rows, {counts.texts:,} texts, {counts.tokens:,} "
                f"tokens; {counts.cut:,} texts cut; {counts.padding:.1%} padding",
            ]
        )


class BatchOrder(Protocol):
    """Says which rows a batch has."""

    def places(self, batch: int, first: int, last: int) -> Places:
        """Rows ``first`` to ``last - 1`` of a batch."""
        ...


class BatchedData(abc.ABC):
    """Rows in batches. Subclasses say how many rows there are and make batches of them.

    Attributes:
        sources: what is read.
        batch_size: rows of a global batch.
    """

    sources: tuple[Source, ...]
    batch_size: int
    _sizes: tuple[int, ...]
    _order: BatchOrder
    _identity: Mapping[str, Any]
    _reading: Reading

    def __init__(self, *, batch_size: int, seed: int, reading: Reading | None) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size={batch_size}; expected 1 or more")
        if seed < 0:
            raise ConfigError(f"seed={seed}; expected 0 or more")
        self.batch_size = batch_size
        self._reading = reading or Reading()
        self._tally = Tally()

    @abc.abstractmethod
    def _make(self, places: Places, size: int, whole: Places | None) -> tuple[TrainBatch, Counts]:
        """Makes this process's part of a batch.

        Args:
            places: the rows that this process has.
            size: rows of the part, filled up with empty ones.
            whole: the rows of all processes, when there are several.
        """

    def _make_several(
        self, places: Sequence[Places], size: int
    ) -> Sequence[tuple[TrainBatch, Counts]]:
        """Makes several batches of a single process; the same as each for itself."""
        return [self._make(one, size, None) for one in places]

    @property
    def rows(self) -> int:
        """Rows of all sources together."""
        return sum(self._sizes)

    @property
    def batches_per_epoch(self) -> float:
        """Batches until as many rows were handed out as there are."""
        return self.rows / self.batch_size

    def stream(self, *, process_index: int = 0, process_count: int = 1) -> GrainStream:
        """This process's rows of every global batch, from the beginning and without end.

        Process ``p`` of ``P`` has the rows ``p * B / P`` to ``(p + 1) * B / P`` of each batch.

        Raises:
            DataError: a source has fewer rows than a batch.
            ConfigError: the processes cannot share a batch evenly.
        """
        for source, rows in zip(self.sources, self._sizes, strict=True):
            if rows < self.batch_size:
                raise DataError(
                    f"{source.name} has {rows:,} rows, fewer than batch_size={self.batch_size}; "
                    f"give more rows, or a batch_size of at most {rows}"
                )
        first, last = share(self.batch_size, process_index, process_count)

        size = last - first

        def load(numbers: range) -> list[tuple[LoadedBatch, Counts]]:
            places = [self._order.places(number, first, last) for number in numbers]
            if process_count == 1:
                made = self._make_several(places, size)
            else:
                wholes = (self._order.places(number, 0, self.batch_size) for number in numbers)
                made = [
                    self._make(own, size, whole) for own, whole in zip(places, wholes, strict=True)
                ]
            return [
                (
                    LoadedBatch(
                        batch=batch, examples=self.batch_size, tokens=counts.tokens,
                        identity=self._name(number, own),
                    ),
                    counts,
                )
                for number, own, (batch, counts) in zip(numbers, places, made, strict=True)
            ]  # fmt: skip

        return GrainStream(
            load, identity=self._identity, reading=self._reading, tally=self._tally,
            together=max(1, _ROWS_TOGETHER // size) if self._reading.threads else 1,
        )  # fmt: skip

    def evaluation_batches(
        self, *, batch_size: int | None = None, process_index: int = 0, process_count: int = 1
    ) -> Iterator[LoadedBatch]:
        """Every row of every source once, in order; the last batch is filled up with empty rows.

        Args:
            batch_size: rows of a global batch; that of the stream if absent.
            process_index: which process this is.
            process_count: of so many.
        """
        size = batch_size or self.batch_size
        first, last = share(size, process_index, process_count)
        total = self.rows

        def load(numbers: range) -> list[tuple[LoadedBatch, Counts]]:
            (number,) = numbers
            begin, end = number * size, min((number + 1) * size, total)
            places = self._in_order(min(begin + first, end), min(begin + last, end))
            whole = self._in_order(begin, end) if process_count > 1 else None
            batch, counts = self._make(places, last - first, whole)
            # Every batch has a mask, or none has: a step is compiled for one or the other.
            mask = np.arange(last - first) < len(places.rows)
            loaded = LoadedBatch(
                batch=batch.replace(row_mask=mask), examples=end - begin, tokens=counts.tokens,
                identity=self._name(number, places),
            )  # fmt: skip
            return [(loaded, counts)]

        stream = GrainStream(
            load, identity={}, reading=self._reading, tally=Tally(), length=-(-total // size)
        )
        try:
            yield from stream
        finally:
            stream.close()

    def report(self) -> DataReport:
        """What was read, and what this process handed out for training so far."""
        reports = tuple(report for source in self.sources for report in source.reports())
        return DataReport(sources=reports, counts=self._tally.counts)

    def _identify(self, mixture: Mixture, **more: Any) -> dict[str, Any]:
        """What makes the batches what they are; a run is not resumed with anything else."""
        return {
            "sources": [source.fingerprint for source in self.sources],
            "batch_size": self.batch_size,
            "weights": None if mixture.weights is None else list(mixture.weights),
            "single_source_batches": mixture.single_source_batches,
            **more,
        }

    def _in_order(self, begin: int, end: int) -> Places:
        """Rows of all sources one after the other."""
        ends = np.cumsum(self._sizes)
        numbers = np.arange(begin, end)
        sources = np.searchsorted(ends, numbers, side="right")
        starts = np.concatenate([[0], ends[:-1]])
        return Places(
            sources=sources, rows=numbers - starts[sources], epochs=np.zeros_like(numbers)
        )

    def _name(self, number: int, places: Places) -> str:
        """Says which rows a batch has."""
        parts = []
        several = len(self.sources) > 1
        for index in np.unique(places.sources) if several else range(min(1, len(places.rows))):
            here = places.sources == index if several else slice(None)
            rows, epochs = places.rows[here], places.epochs[here]
            shown = ", ".join(map(str, rows[:_ROWS_NAMED].tolist()))
            more = f", ... ({len(rows)} rows)" if len(rows) > _ROWS_NAMED else ""
            parts.append(f"epoch {epochs.min()}, {self.sources[index].name}: rows {shown}{more}")
        return f"batch {number}: " + "; ".join(parts)


def share(batch_size: int, process_index: int, process_count: int) -> tuple[int, int]:
    """First and past-the-end row of a process's part of a batch.

    Raises:
        ConfigError: the processes cannot share the batch evenly.
    """
    if not 0 <= process_index < process_count:
        raise ConfigError(
            f"process_index={process_index} of process_count={process_count}; expected 0 to "
            f"{process_count - 1}"
        )
    if batch_size % process_count:
        raise ConfigError(
            f"batch_size={batch_size} cannot be shared by {process_count} processes; use a "
            f"multiple of {process_count}"
        )
    part = batch_size // process_count
    return process_index * part, (process_index + 1) * part
