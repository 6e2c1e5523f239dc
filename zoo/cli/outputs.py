"""Vectors to files, block by block, so that a large input needs little memory.

A file is written under a temporary name beside its own and renamed when it is whole.
"""

import gzip
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol

import numpy as np

from textzoo.errors import DataError
from textzoo.text_files import suffix_of

SUFFIXES = (".npy", ".jsonl", ".jsonl.gz", ".parquet")


class Format(Protocol):
    """Writes blocks of texts and their vectors into one file format."""

    def write(self, texts: Sequence[str], vectors: np.ndarray) -> None:
        """Appends a block."""
        ...

    def close(self) -> None:
        """Finishes the file."""
        ...


class VectorFile:
    """A file of vectors that appears when it is whole.

    Args:
        path: ``.npy``, ``.jsonl`` (or ``.jsonl.gz``) or ``.parquet``; ``-`` for JSON lines on
            stdout.

    Raises:
        DataError: another suffix, a format whose package is missing, or a place that cannot be
            written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_named = str(path) != "-"
        self._temporary = path.with_name(f".{path.name}.part")
        self._format: Format
        if not self.is_named:
            self._format = _JsonLines(None)
            return
        suffix = suffix_of(path)
        known: dict[str, Callable[[Path], Format]] = {
            ".npy": _Npy,
            ".jsonl": _JsonLines,
            ".parquet": _Parquet,
        }
        if suffix not in known or (path.suffix == ".gz" and suffix != ".jsonl"):
            raise DataError(
                f"{path}: the suffix decides the format; use one of {', '.join(SUFFIXES)}, or a "
                "folder (no suffix), where a stopped run can be continued"
            )
        try:
            self._format = known[suffix](self._temporary)
        except OSError as error:
            raise DataError(f"{path} cannot be written: {error.strerror}") from error

    def __enter__(self) -> "VectorFile":
        return self

    def write(self, texts: Sequence[str], vectors: np.ndarray) -> None:
        """Appends a block of texts and their vectors ``[N, E]``."""
        self._format.write(texts, vectors)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self.is_named:
            return
        try:
            self._format.close()
            if kind is None:
                self._temporary.replace(self.path)
        finally:
            self._temporary.unlink(missing_ok=True)


class _Npy:
    """One float32 array; its header is written again once the number of rows is known."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._rows, self._width, self._start = 0, 0, 0

    def write(self, texts: Sequence[str], vectors: np.ndarray) -> None:
        if not self._start:
            self._width = vectors.shape[1]
            self._header()
            self._start = self._file.tell()
        self._file.write(np.ascontiguousarray(vectors, "<f4").tobytes())
        self._rows += len(vectors)

    def close(self) -> None:
        with self._file:
            self._file.seek(0)
            self._header()
            # numpy leaves room for the row count to grow, so the header keeps its length.
            if self._start and self._file.tell() != self._start:
                raise RuntimeError("the header of the .npy file changed its length")

    def _header(self) -> None:
        np.lib.format.write_array_header_1_0(
            self._file,
            {"descr": "<f4", "fortran_order": False, "shape": (self._rows, self._width)},
        )


class _JsonLines:
    """One object per line: the text and its vector."""

    def __init__(self, path: Path | None) -> None:
        self._file: IO[str] | None = None
        if path is not None:
            # The temporary name ends in .part, so the suffix before it tells.
            zipped = path.suffixes[-2:-1] == [".gz"]
            self._file = (
                gzip.open(path, "wt", encoding="utf-8")
                if zipped
                else path.open("w", encoding="utf-8")
            )

    def write(self, texts: Sequence[str], vectors: np.ndarray) -> None:
        out = sys.stdout if self._file is None else self._file
        # Shortest decimals that give the same float32 again.
        for text, row in zip(texts, vectors.astype("U"), strict=True):
            name = json.dumps(text, ensure_ascii=False)
            out.write(f'{{"text": {name}, "vector": [{", ".join(row)}]}}\n')

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class _Parquet:
    """Columns ``text`` and ``vector`` (a list of fixed size)."""

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise DataError(
                "writing .parquet needs pyarrow; pip install 'textzoo[parquet]', or write .npy or "
                ".jsonl"
            ) from error
        self._pa, self._parquet = pyarrow, pyarrow.parquet
        self._path = path
        self._file = path.open("wb")
        self._writer: Any = None

    def write(self, texts: Sequence[str], vectors: np.ndarray) -> None:
        pa = self._pa
        flat = pa.array(np.ascontiguousarray(vectors, np.float32).ravel())
        table = pa.table(
            {
                "text": pa.array(texts, pa.string()),
                "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
            }
        )
        if self._writer is None:
            self._writer = self._parquet.ParquetWriter(self._file, table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        with self._file:
            if self._writer is not None:
                self._writer.close()
