"""From a path to a source, by the ending of the file's name."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from textzoo.errors import DataError
from textzoo.text_files import suffix_of
from textzoo.trainers.data.fields import Field
from textzoo.trainers.data.line_sources import JsonlSource, TextSource, TsvSource
from textzoo.trainers.data.parquet import ParquetSource
from textzoo.trainers.data.sources import ConcatenatedSource, RowsSource, Source
from textzoo.trainers.data.tfds_source import TfdsSource, is_prepared

_BY_SUFFIX: dict[str, Callable[..., Source]] = {
    ".jsonl": JsonlSource,
    ".tsv": TsvSource,
    ".txt": TextSource,
    ".parquet": ParquetSource,
}

Readable: TypeAlias = Source | str | Path | Sequence[Any]
"""A source, a file, several files or sources one after the other, or rows in memory."""


def open_source(
    what: Readable, columns: Sequence[str | Field], *, strict: bool = False,
    cache: Path | None = None,
) -> Source:  # fmt: skip
    """Opens what holds rows.

    Args:
        what: a path that ends in ``.jsonl``, ``.tsv`` or ``.txt`` (also with ``.gz``) or
            ``.parquet``; a directory with a prepared TFDS dataset, ``DIRECTORY:SPLIT``; a sequence
            of such things, read one after the other; a sequence of dictionaries; or a source.
        columns: names of text columns, and fields of other kinds.
        strict: refuse a broken row instead of leaving it out.
        cache: folder where indices and unpacked files are kept for the next run.

    Raises:
        DataError: see the sources.
    """
    if isinstance(what, Source):
        return _with_columns(what, columns)
    if isinstance(what, str | Path):
        return _open_path(str(what), columns, strict=strict, cache=cache)
    if not what:
        raise DataError("there are no rows; give at least one row or file")
    parts: list[Any] = list(what)
    if isinstance(parts[0], Mapping):
        return RowsSource(parts, columns, strict=strict)
    return ConcatenatedSource(
        [open_source(part, columns, strict=strict, cache=cache) for part in parts]
    )


def _open_path(
    path: str, columns: Sequence[str | Field], *, strict: bool, cache: Path | None
) -> Source:
    directory, _, split = path.rpartition(":")
    if is_prepared(Path(path)):
        return TfdsSource(path, columns)
    if directory and is_prepared(Path(directory)):
        return TfdsSource(directory, columns, split=split)
    opener = _BY_SUFFIX.get(suffix_of(Path(path)))
    if opener is None:
        raise DataError(
            f"{path}: the ending tells no format; expected one of {', '.join(_BY_SUFFIX)}, the "
            "text formats also with .gz, or a directory with a prepared TFDS dataset"
        )
    return opener(path, columns, strict=strict, cache=cache)


def _with_columns(source: Source, columns: Sequence[str | Field]) -> Source:
    """Checks that a source which is open already has the columns, of the right kinds."""
    has = {field.name: field for field in source.fields}
    for column in columns:
        wanted = Field(name=column) if isinstance(column, str) else column
        found = has.get(wanted.name)
        if found is None:
            raise DataError(
                f"{source.name} was opened with the columns {', '.join(has)}, without "
                f"{wanted.name!r}; name it when the source is opened"
            )
        if found.kind != wanted.kind or (wanted.classes and found.classes != wanted.classes):
            raise DataError(
                f"{source.name} was opened with {found}, and {wanted} is needed; open it with that"
            )
    return source
