r"""Rows of text files: TSV, JSON lines, or one text per line; plain or gzip.

TSV here means a header line, no quoting and no escaping. Lines end at ``\n`` alone, because other
characters that Python takes for line ends (U+2028, form feed) occur inside real texts.
"""

import contextlib
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from textzoo.errors import DataError, closest


def suffix_of(path: Path) -> str:
    """The suffix that tells the format: ``.tsv`` for ``a.tsv`` and ``a.tsv.gz``."""
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()


def existing(folder: Path, *names: str) -> Path:
    """The first of several files that exists in a folder, plain or gzip.

    Raises:
        DataError: none does; the message says what is there.
    """
    for name in names:
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    there = sorted(path.name for path in folder.iterdir())[:12] if folder.is_dir() else []
    raise DataError(
        f"{folder} has no {' or '.join(names)} (plain or .gz); it holds: {', '.join(there) or '-'}"
    )


def open_bytes(path: Path) -> IO[bytes]:
    """Opens a file, unpacking it when it ends in ``.gz``; reading it needs :func:`whole_gzip`.

    Raises:
        DataError: the file is missing or cannot be opened.
    """
    try:
        return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; check the path") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


@contextlib.contextmanager
def whole_gzip(path: Path) -> Iterator[None]:
    """Turns what a damaged gzip file raises on reading into a :class:`DataError`."""
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(
            f"{path} is not a whole gzip file ({error}); copy it again, or drop the .gz "
            "suffix if it is plain text"
        ) from error


def read_lines(path: Path) -> Iterator[str]:
    """Yields the lines of a UTF-8 file without their ends.

    Raises:
        DataError: the file cannot be read, or a line is not UTF-8.
    """
    with open_bytes(path) as opened, whole_gzip(path):
        yield from decode_lines(opened, str(path))


def decode_line(line: bytes, number: int) -> str:
    """Decodes a line as UTF-8, without its end and, in line 1, a byte order mark."""
    text = line.decode("utf-8-sig" if number == 1 else "utf-8")
    return text.removesuffix("\n").removesuffix("\r")


def decode_lines(lines: Iterable[bytes], source: str) -> Iterator[str]:
    """Decodes lines as UTF-8, without a byte order mark and line ends; ``source`` names them."""
    for number, line in enumerate(lines, start=1):
        try:
            text = decode_line(line, number)
        except UnicodeDecodeError as error:
            raise DataError(
                f"{source}, line {number}: byte {error.start} is not UTF-8; convert the file, "
                "e.g. with iconv -f latin1 -t utf-8"
            ) from error
        yield text


def read_tsv(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yields some columns of every row of a TSV file.

    Raises:
        DataError: the file cannot be read, lacks a column, or a row has too few or too many cells.
    """
    lines = read_lines(path)
    header = next(lines, "").split("\t")
    indices = [_find(column, header, path) for column in columns]
    for number, line in enumerate(lines, start=2):
        if not line and len(header) > 1:
            continue
        cells = line.split("\t")
        if len(cells) != len(header):
            raise DataError(
                f"{path}, line {number}: {len(cells)} cells, but the header names {len(header)} "
                f"columns ({', '.join(header)}); replace tabs inside a text by spaces"
            )
        yield tuple(cells[index] for index in indices)


def tsv_columns(path: Path) -> list[str]:
    """The column names of a TSV file."""
    return next(read_lines(path), "").split("\t")


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Yields the JSON object of every line that is not blank.

    Raises:
        DataError: the file cannot be read, or a line is not a JSON object.
    """
    yield from parse_jsonl(read_lines(path), str(path))


def parse_jsonl(lines: Iterable[str], source: str) -> Iterator[dict[str, Any]]:
    """Parses lines of JSON objects; ``source`` names them in messages."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{source}, line {number} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise DataError(
                f"{source}, line {number} holds a {type(row).__name__}; expected an object such "
                'as {"text": "..."}'
            )
        yield row


def get(row: dict[str, Any], key: str, source: str) -> Any:
    """``row[key]``, or an error that names the source and the keys there are."""
    if key not in row:
        raise DataError(f"{source}: no key {key!r}; {closest(key, row)}")
    return row[key]


def _find(column: str, header: list[str], path: Path) -> int:
    if column not in header:
        if header == [""]:
            raise DataError(f"{path} is empty; expected a header line with {column!r}")
        raise DataError(
            f"{path} has no column {column!r}; its first line names: {', '.join(header)}"
        )
    return header.index(column)
