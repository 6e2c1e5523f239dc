"""Rows of JSONL, TSV and text files, read on demand."""

import abc
import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from textzoo.errors import DataError
from textzoo.text_files import decode_line
from textzoo.trainers.data.broken_rows import log_broken, missing_column, refuse_broken
from textzoo.trainers.data.fields import BrokenValueError, Field, as_fields
from textzoo.trainers.data.lines import PlainFile, cached_index, changed, index_lines
from textzoo.trainers.data.sources import Row, Source, check_columns, fingerprint_of, parse_row

_KEYS_KEPT = 1000  # Names of keys are kept for messages; some files have a new key in every row.


class LineSource(Source):
    r"""Rows that are lines of a file, plain or gzip.

    The file is read once to find where the lines begin and which are broken; after that a row is
    read from the file when it is asked for, so that files may be larger than memory. Lines end at
    ``\n`` alone.

    Args:
        path: the file; ``.gz`` is unpacked (see ``cache``).
        columns: names of text columns, and fields of other kinds.
        strict: refuse a broken row instead of leaving it out.
        cache: folder where unpacked files and indices are kept for the next run; without one
            they are made anew, and unpacked files are temporary.

    Raises:
        DataError: the file is missing, empty or damaged, lacks a column, has no usable row, or
            under ``strict`` a broken one.
    """

    def __init__(
        self, path: Path | str, columns: Sequence[str | Field], *, strict: bool = False,
        cache: Path | None = None,
    ) -> None:  # fmt: skip
        path = Path(path)
        self.name = str(path)
        self.fields = as_fields(columns)
        self._file = PlainFile(path, cache)
        self._prepare()

        def make() -> Any:
            return index_lines(self._file, self.name, self._use, strict=strict, check=self._check)

        details = [type(self).__name__, *map(dataclasses.asdict, self.fields)]
        index = cached_index(cache, path, details, make)
        self.report = dataclasses.replace(index.report, source=self.name)
        if strict:
            refuse_broken(self.report)
        log_broken(self.report)
        self._starts, self._lengths = index.starts, index.lengths
        self.fingerprint = fingerprint_of(len(self._starts), index.checksum, self.fields)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> Row:
        start, length = int(self._starts[index]), int(self._lengths[index])
        line = self._file.read(start, length)
        try:
            if len(line) < length:
                raise changed(self.name, index)
            row = self._parse(decode_line(line, 1 if start == 0 else 2))
            return parse_row(row, self.fields)
        except (UnicodeDecodeError, BrokenValueError):
            raise changed(self.name, index) from None

    def _use(self, number: int, line: str) -> bool:
        if self._skip(number, line):
            return False
        parse_row(self._parse(line), self.fields)
        return True

    def _prepare(self) -> None:
        """Reads what comes before the rows."""

    def _check(self) -> None:
        """Raises for columns that the file does not have."""

    @abc.abstractmethod
    def _skip(self, number: int, line: str) -> bool:
        """Whether a line is no row and nothing is wrong with it."""

    @abc.abstractmethod
    def _parse(self, line: str) -> Mapping[str, Any]:
        """All columns of a line; raises ``BrokenValueError``."""


class JsonlSource(LineSource):
    """Rows of a JSONL file: one JSON object per line; blank lines are no rows."""

    def _prepare(self) -> None:
        self._known: set[str] = set()

    def _check(self) -> None:
        check_columns(self.name, self.fields, self._known)

    def _skip(self, number: int, line: str) -> bool:
        return not line or line.isspace()

    def _parse(self, line: str) -> Mapping[str, Any]:
        try:
            row = json.loads(line)
        except ValueError as error:
            raise BrokenValueError(f"not JSON ({error})") from None
        except RecursionError:
            raise BrokenValueError("not JSON that can be read (nested too deeply)") from None
        if not isinstance(row, dict):
            raise BrokenValueError(f"a JSON {type(row).__name__}, expected an object")
        if len(self._known) < _KEYS_KEPT:
            self._known.update(row)
        return row


class TsvSource(LineSource):
    """Rows of a TSV file: a header line with the names of columns, no quoting and no escaping.

    Empty lines of a file with several columns are no rows.
    """

    def _prepare(self) -> None:
        with os.fdopen(self._file.copy(), "rb") as lines:
            try:
                header = decode_line(lines.readline(), 1)
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{self.name}, line 1: byte {error.start} is not UTF-8; convert the file, "
                    "e.g. with iconv -f latin1 -t utf-8"
                ) from None
        if not header:
            raise DataError(f"{self.name} is empty; expected a header line with names of columns")
        self._header = header.split("\t")
        for field in self.fields:
            if field.name not in self._header:
                raise missing_column(self.name, field.name, self._header)

    def _skip(self, number: int, line: str) -> bool:
        return number == 1 or (not line and len(self._header) > 1)

    def _parse(self, line: str) -> Mapping[str, Any]:
        cells = line.split("\t")
        if len(cells) != len(self._header):
            raise BrokenValueError(
                f"{len(cells)} cells, but the header names {len(self._header)} columns"
            )
        return dict(zip(self._header, cells, strict=True))


class TextSource(LineSource):
    """Lines of a text file, each of them a row with the one column ``text``; not the blank ones."""

    def _prepare(self) -> None:
        for field in self.fields:
            if field.name != "text":
                raise missing_column(self.name, field.name, ["text"])

    def _skip(self, number: int, line: str) -> bool:
        return not line or line.isspace()

    def _parse(self, line: str) -> Mapping[str, Any]:
        return {"text": line}
