"""Texts from files and stdin."""

import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from textzoo.cli.terminal import note
from textzoo.errors import DataError
from textzoo.text_files import (
    decode_lines,
    get,
    parse_jsonl,
    read_jsonl,
    read_lines,
    read_tsv,
    suffix_of,
    tsv_columns,
)

_USUAL_COLUMNS = ("text", "sentence")
_T = TypeVar("_T")


def read_texts(files: Sequence[Path], column: str | None = None) -> Iterator[str]:
    """The texts of files, one after the other, or of stdin when there are none.

    ``.tsv`` and ``.jsonl`` files give a column; any other file gives its lines, empty ones
    too, so that text ``i`` is line ``i``. All may end in ``.gz``. On stdin, a column means that
    the lines are JSON objects. ``-`` is stdin.

    Raises:
        DataError: a file cannot be read or lacks the column, or there is no text at all.
    """
    for file in files:
        if str(file) != "-" and not file.exists():
            raise DataError(f"{file} does not exist; to encode a text itself, pipe it in")
    texts = itertools.chain.from_iterable(_read(file, column) for file in files or [Path("-")])
    first = next(texts, None)
    if first is None:
        where = ", ".join(map(str, files)) if files else "stdin"
        raise DataError(f"no text in {where}; expected one text per line")
    return itertools.chain([first], texts)


def blocks(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Cuts a stream into lists of at most ``size``."""
    iterator = iter(items)
    while block := list(itertools.islice(iterator, size)):
        yield block


def _read(file: Path, column: str | None) -> Iterator[str]:
    if str(file) == "-":
        if sys.stdin.isatty():
            note("reading texts from the terminal, one per line; end with Ctrl-D")
        lines = decode_lines(sys.stdin.buffer, "stdin")
        return lines if column is None else _values(parse_jsonl(lines, "stdin"), column, "stdin")
    if suffix_of(file) == ".tsv":
        columns = tsv_columns(file)
        chosen = column or (columns[0] if len(columns) == 1 else _usual(columns, file))
        return (row[0] for row in read_tsv(file, (chosen,)))
    if suffix_of(file) == ".jsonl":
        return _values(read_jsonl(file), column, str(file))
    if column is not None:
        raise DataError(
            f"{file} is read as one text per line, so it has no column {column!r}; --column is "
            "for .tsv and .jsonl files"
        )
    return read_lines(file)


def _values(rows: Iterator[dict[str, Any]], column: str | None, source: str) -> Iterator[str]:
    for number, row in enumerate(rows, start=1):
        column = column or _usual(list(row), source)
        value = get(row, column, f"{source}, object {number}")
        if not isinstance(value, str):
            raise DataError(
                f"{source}, object {number}: {column!r} is a {type(value).__name__}, expected text"
            )
        yield value


def _usual(columns: list[str], source: object) -> str:
    for name in _USUAL_COLUMNS:
        if name in columns:
            return name
    raise DataError(f"{source} has columns {', '.join(columns)}; choose one with --column")
