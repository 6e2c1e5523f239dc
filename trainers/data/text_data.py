"""Rows of texts as training data."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from textzoo.errors import ConfigError, DataError
from textzoo.modules.tokenizers import Tokenizer
from textzoo.trainers.batch import LoadedBatch
from textzoo.trainers.data.broken_rows import SourceReport
from textzoo.trainers.data.collate import Collator, Column, Counts
from textzoo.trainers.data.fields import Field
from textzoo.trainers.data.grouping import GroupedOrder
from textzoo.trainers.data.loader import Loader, tokenized_beforehand
from textzoo.trainers.data.opening import Readable, open_source
from textzoo.trainers.data.order import Order, Places
from textzoo.trainers.data.sources import Source
from textzoo.trainers.data.stream import GrainStream, Reading, Tally
from textzoo.trainers.data.token_store import Advance


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


class TextData:
    """Rows of texts, tokenized into batches of static shape.

    Every epoch goes through all rows in another order. Which rows a batch has follows from the
    seed and its number alone: a run that is resumed, or runs on another number of processes, sees
    the same batches. A batch may hold the end of one epoch and the beginning of the next, and
    then, rarely, a row twice.

    Args:
        source: what :func:`open_source` opens (a ``.jsonl``, ``.tsv``, ``.txt`` or ``.parquet``
            file, several of them, rows in memory, ...), or a :class:`Mixture` of such things.
        tokenizer: turns texts into tokens.
        columns: the texts of a row; one batch of tokens each, in this order.
        batch_size: rows of a global batch.
        lengths: padded lengths. A batch takes the smallest that its longest text fits; each
            length is compiled once, for each column that takes it. Longer texts are cut, and
            counted. One length, the tokenizer's ``max_length``, if absent. Several processes
            cannot know the lengths of each other's texts, and always take the longest, unless
            texts are tokenized ahead.
        labels: column of classes, or a field of kind ``"class"`` or ``"score"``.
        targets: columns of what a teacher says, vectors or, as fields, scores.
        keys: hash texts, so that the loss finds duplicates.
        word_ids: number the words of the first column, for whole-word masking.
        seed: of the order.
        shuffle: without it, every epoch has the rows in the order of the source.
        strict: refuse broken rows instead of leaving them out.
        tokenize_ahead: tokenize all texts before the first batch, and keep the tokens on disk.
            Worth it for more than one epoch, and when the processor has little time beside.
        group_by_length: put texts of similar length into the same batch, among the rows of so
            many batches, so that there is less padding; needs ``tokenize_ahead``. The rows of a
            batch are then no longer a fair sample, which matters to contrastive losses.
        cache: folder where indices, unpacked files and tokens are kept for the next run. Without
            one, what is needed lies in temporary files. Where many processes share the folder,
            prepare it with one of them first, so that not all do the same work.
        reading: threads, and how far they run ahead.
        on_progress: told of texts and tokens that are tokenized ahead.

    Raises:
        DataError: a source is missing, empty or damaged, or lacks a column.
        ConfigError: options that do not fit together.

    Example:
        >>> import tokenizers
        >>> from textzoo.modules import SubwordTokenizer
        >>> library = tokenizers.Tokenizer(
        ...     tokenizers.models.WordLevel({"[UNK]": 0, "a": 1, "cat": 2, "dog": 3}, "[UNK]")
        ... )
        >>> library.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
        >>> rows = [{"text": "a cat", "label": 0}, {"text": "a big dog", "label": 1}]
        >>> data = TextData(
        ...     rows, SubwordTokenizer(library), columns=("text",), labels="label",
        ...     batch_size=2, lengths=(4, 8), shuffle=False,
        ... )
        >>> stream = data.stream()
        >>> next(stream).batch.texts[0].ids.tolist()
        [[1, 2, 0, 0], [1, 0, 3, 0]]
        >>> stream.get_state()["position"]
        {'next_index': 1}
        >>> stream.close()
    """

    def __init__(
        self, source: Readable | Mixture, tokenizer: Tokenizer, *,
        columns: Sequence[str | Column], batch_size: int, lengths: Sequence[int] | None = None,
        labels: str | Field | None = None, targets: str | Field | Sequence[str | Field] = (),
        keys: bool = False, word_ids: bool = False, seed: int = 0, shuffle: bool = True,
        strict: bool = False, tokenize_ahead: bool = False, group_by_length: int = 0,
        cache: Path | None = None, reading: Reading | None = None,
        on_progress: Advance = lambda texts, tokens: None,
    ) -> None:  # fmt: skip
        if batch_size < 1:
            raise ConfigError(f"batch_size={batch_size}; expected 1 or more")
        if seed < 0:
            raise ConfigError(f"seed={seed}; expected 0 or more")
        if not columns or isinstance(columns, str):
            raise ConfigError(f"columns={columns!r}; name the text columns, e.g. ('text',)")
        if group_by_length and not tokenize_ahead:
            raise ConfigError(
                f"group_by_length={group_by_length} needs the lengths of texts; write "
                "tokenize_ahead=True as well"
            )
        texts = tuple(Column(name=c) if isinstance(c, str) else c for c in columns)
        mixture = source if isinstance(source, Mixture) else Mixture(parts=(source,))
        label = Field(name=labels, kind="class") if isinstance(labels, str) else labels
        names = (targets,) if isinstance(targets, str | Field) else tuple(targets)
        teachers = tuple(Field(name=t, kind="vector") if isinstance(t, str) else t for t in names)
        others = (*([] if label is None else [label]), *teachers)
        fields = tuple(
            {f.name: f for f in (*(Field(name=c.name) for c in texts), *others)}.values()
        )
        self.sources: tuple[Source, ...] = tuple(
            open_source(part, fields, strict=strict, cache=cache) for part in mixture.parts
        )
        self.batch_size = batch_size
        collate = Collator(
            tokenizer, texts, tuple(lengths or (tokenizer.max_length,)), labels=label,
            targets=teachers, keys=keys, word_ids=word_ids,
        )  # fmt: skip
        self._reading = reading or Reading()
        stores = None
        if tokenize_ahead:
            stores = tokenized_beforehand(
                self.sources, collate, cache=cache, threads=self._reading.threads,
                on_progress=on_progress,
            )  # fmt: skip
        self._loader = Loader(self.sources, collate, stores)
        self._order: Order | GroupedOrder = Order(
            [len(source) for source in self.sources], batch_size=batch_size, seed=seed,
            weights=mixture.weights, single_source_batches=mixture.single_source_batches,
            shuffle=shuffle,
        )  # fmt: skip
        if group_by_length:
            self._order = self._grouped(self._order, len(texts), group_by_length, seed)
        self._tally = Tally()
        self._identity: dict[str, Any] = {
            "sources": [source.fingerprint for source in self.sources],
            "columns": [column.name for column in texts],
            "batch_size": batch_size,
            "seed": seed,
            "shuffle": shuffle,
            "weights": None if mixture.weights is None else list(mixture.weights),
            "single_source_batches": mixture.single_source_batches,
            "group_by_length": group_by_length,
        }

    def _grouped(self, order: Order, columns: int, window: int, seed: int) -> GroupedOrder:
        def lengths(places: Places) -> np.ndarray:
            return np.max([self._loader.lengths(places, c) for c in range(columns)], axis=0)

        return GroupedOrder(order, lengths, window=window, batch_size=self.batch_size, seed=seed)

    @property
    def rows(self) -> int:
        """Rows of all sources together."""
        return sum(len(source) for source in self.sources)

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
        for source in self.sources:
            if len(source) < self.batch_size:
                raise DataError(
                    f"{source.name} has {len(source):,} rows, fewer than "
                    f"batch_size={self.batch_size}; give more rows, or a batch_size of at most "
                    f"{len(source)}"
                )
        first, last = share(self.batch_size, process_index, process_count)

        def load(number: int) -> tuple[LoadedBatch, Counts]:
            places = self._order.places(number, first, last)
            whole = None
            if process_count > 1:
                whole = self._order.places(number, 0, self.batch_size)
            batch, counts = self._loader.load(places, last - first, whole)
            loaded = LoadedBatch(
                batch=batch, examples=self.batch_size, tokens=counts.tokens,
                identity=self._loader.name(number, places),
            )  # fmt: skip
            return loaded, counts

        return GrainStream(load, identity=self._identity, reading=self._reading, tally=self._tally)

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

        def load(number: int) -> tuple[LoadedBatch, Counts]:
            begin, end = number * size, min((number + 1) * size, total)
            places = self._in_order(min(begin + first, end), min(begin + last, end))
            whole = self._in_order(begin, end) if process_count > 1 else None
            batch, counts = self._loader.load(places, last - first, whole)
            # Every process has a mask, or none has: a step is compiled for one or the other.
            mask = np.arange(last - first) < len(places.rows)
            loaded = LoadedBatch(
                batch=batch.replace(row_mask=mask), examples=end - begin,
                tokens=counts.tokens, identity=self._loader.name(number, places),
            )  # fmt: skip
            return loaded, counts

        stream = GrainStream(
            load, identity={}, reading=self._reading, tally=Tally(),
            length=-(-total // size),
        )  # fmt: skip
        try:
            yield from stream
        finally:
            stream.close()

    def _in_order(self, begin: int, end: int) -> Places:
        """Rows of all sources one after the other."""
        ends = np.cumsum([len(source) for source in self.sources])
        numbers = np.arange(begin, end)
        sources = np.searchsorted(ends, numbers, side="right")
        starts = np.concatenate([[0], ends[:-1]])
        return Places(
            sources=sources, rows=numbers - starts[sources], epochs=np.zeros_like(numbers)
        )

    def report(self) -> DataReport:
        """What was read, and what this process handed out for training so far."""
        reports = tuple(report for source in self.sources for report in source.reports())
        return DataReport(sources=reports, counts=self._tally.counts)


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
