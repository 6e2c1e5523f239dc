"""Rows by number: what every source offers, and sources made of others."""

import abc
import hashlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from textzoo.errors import DataError
from textzoo.trainers.data.broken_rows import (
    BrokenRows,
    SourceReport,
    log_broken,
    missing_column,
)
from textzoo.trainers.data.fields import BrokenValueError, Field, as_fields

Row = dict[str, Any]


class Source(abc.ABC):
    """Rows that can be read in any order, from several threads at once.

    A row is a dictionary with a value for every field: text, class, score or float32 vector.

    Attributes:
        name: for messages.
        fields: the columns that are read.
        report: how many rows there are, and which were left out because they are broken.
        fingerprint: equal for equal rows, wherever they lie; a resumed run compares it.
    """

    name: str
    fields: tuple[Field, ...]
    report: SourceReport
    fingerprint: str

    @abc.abstractmethod
    def __len__(self) -> int:
        """Number of usable rows."""

    @abc.abstractmethod
    def __getitem__(self, index: int) -> Row:
        """A row; ``0 <= index < len(self)``."""

    def read(self, indices: Sequence[int] | np.ndarray) -> list[Row]:
        """Several rows, in the order asked for."""
        return [self[int(index)] for index in indices]

    def reports(self) -> tuple[SourceReport, ...]:
        """The report of every file that the source is made of."""
        return (self.report,)


class RowsSource(Source):
    """Rows that lie in memory.

    Args:
        rows: dictionaries, with more columns than asked for if need be.
        columns: names of text columns, and fields of other kinds.
        name: for messages.
        strict: refuse a broken row instead of leaving it out.

    Example:
        >>> source = RowsSource([{"text": "a cat"}, {"text": "a dog"}], ("text",))
        >>> source[1]
        {'text': 'a dog'}
    """

    def __init__(
        self, rows: Iterable[Mapping[str, Any]], columns: Sequence[str | Field], *,
        name: str = "rows", strict: bool = False,
    ) -> None:  # fmt: skip
        self.name = name
        self.fields = as_fields(columns)
        self._rows: list[Row] = []
        broken = BrokenRows(name, strict=strict)
        known: set[str] = set()
        checksum = 0
        for number, row in enumerate(rows, start=1):
            known.update(row)
            try:
                self._rows.append(parse_row(row, self.fields))
            except BrokenValueError as error:
                broken.add(number, str(error))
            else:
                checksum = checksum_of(self._rows[-1], checksum)
        check_columns(name, self.fields, known)
        self.report = broken.report(len(self._rows))
        log_broken(self.report)
        self.fingerprint = fingerprint_of(len(self._rows), checksum, self.fields)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Row:
        return self._rows[index]


class ConcatenatedSource(Source):
    """Several sources as one, such as a corpus in several files.

    Args:
        sources: all with the same fields.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        if not sources:
            raise DataError("there is nothing to concatenate; give at least one source")
        for source in sources[1:]:
            if source.fields != sources[0].fields:
                raise DataError(
                    f"{source.name} has the columns {[f.name for f in source.fields]}, "
                    f"{sources[0].name} has {[f.name for f in sources[0].fields]}; read the same "
                    "columns, of the same kinds, from both"
                )
        self._sources = tuple(sources)
        self._ends = np.cumsum([len(source) for source in sources])
        self.name = " + ".join(source.name for source in sources)
        self.fields = sources[0].fields
        self.report = SourceReport(source=self.name, rows=int(self._ends[-1]))
        self.fingerprint = _digest(*(source.fingerprint for source in sources))

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Row:
        which = int(np.searchsorted(self._ends, index, side="right"))
        first = int(self._ends[which - 1]) if which else 0
        return self._sources[which][index - first]

    def reports(self) -> tuple[SourceReport, ...]:
        """The report of every file that the source is made of."""
        return tuple(report for source in self._sources for report in source.reports())


class WithVectors(Source):
    """A source with one more column: a vector, or a score, per row, from a ``.npy`` file.

    Args:
        source: the rows.
        column: the name of the new column.
        path: array of floats with one row per usable row of ``source``; it stays on disk and is
            mapped into memory.
    """

    def __init__(self, source: Source, column: str, path: Path | str) -> None:
        path = Path(path)
        try:
            self._vectors = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise DataError(f"{path} does not exist; check the path") from None
        except (OSError, ValueError) as error:
            raise DataError(
                f"{path} is not an array ({error}); write it with numpy.save"
            ) from error
        if self._vectors.ndim not in (1, 2) or self._vectors.dtype.kind != "f":
            raise DataError(
                f"{path} holds {self._vectors.dtype} {list(self._vectors.shape)}; expected floats "
                "[rows] or [rows, width]"
            )
        if len(self._vectors) != len(source):
            left_out = sum(len(report.broken) for report in source.reports())
            raise DataError(
                f"{path} has {len(self._vectors):,} rows, {source.name} has {len(source):,} "
                f"({left_out:,} broken ones are left out); write one row for each usable row"
            )
        kind = Field(name=column, kind="vector" if self._vectors.ndim == 2 else "score")
        self._source = source
        self._column = column
        self.name = source.name
        self.fields = as_fields((*source.fields, kind))
        self.report = source.report
        sample = np.ascontiguousarray(self._vectors[:: max(1, len(source) // 1024)])
        self.fingerprint = _digest(source.fingerprint, column, str(zlib.crc32(sample.tobytes())))

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Row:
        value = np.asarray(self._vectors[index], np.float32)
        return {**self._source[index], self._column: value if value.ndim else float(value)}

    def reports(self) -> tuple[SourceReport, ...]:
        """The report of every file that the source is made of."""
        return self._source.reports()


def parse_row(row: Mapping[str, Any], fields: Sequence[Field]) -> Row:
    """The fields of a row.

    Raises:
        BrokenValueError: one is missing, or of another kind.
    """
    parsed = {}
    for field in fields:
        if field.name not in row:
            raise BrokenValueError(f"{field.name!r} is missing from {sorted(map(str, row))}")
        parsed[field.name] = field.parse(row[field.name])
    return parsed


def check_columns(name: str, fields: Sequence[Field], known: Iterable[str]) -> None:
    """Raises when a field is in no row at all, which is a wrong name rather than broken rows."""
    known = sorted(set(known))
    for field in fields:
        if known and field.name not in known:
            raise missing_column(name, field.name, known)


def checksum_of(row: Row, checksum: int) -> int:
    """CRC-32 of the values of rows, given that of the rows before."""
    for value in row.values():
        data = value.tobytes() if isinstance(value, np.ndarray) else str(value).encode()
        checksum = zlib.crc32(data + b"\n", checksum)
    return checksum


def fingerprint_of(rows: int, checksum: int, fields: Sequence[Field]) -> str:
    """Tells the rows of a source from others by their number, content and columns."""
    return _digest(str(rows), f"{checksum:08x}", *map(repr, fields))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
