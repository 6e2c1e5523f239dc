"""Where the usable lines of a file begin, found by reading it once."""

import array
import dataclasses
import os
import shutil
import tempfile
import weakref
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, UInt

from textzoo.errors import DataError
from textzoo.text_files import decode_line, open_bytes, whole_gzip
from textzoo.trainers.data.broken_rows import BrokenRows, SourceReport
from textzoo.trainers.data.caching import file_key, made_once, read_report, write_report
from textzoo.trainers.data.fields import BrokenValueError

_BUFFER = 1 << 20


class PlainFile:
    """A file whose bytes are read by position, from several threads at once.

    A gzip file has no positions, so it is unpacked first: into ``cache``, where later runs find
    it, or into a temporary file that is gone when the process ends. Nothing is held in memory.

    Args:
        path: the file, packed if its name ends in ``.gz``.
        cache: folder for unpacked files.

    Raises:
        DataError: the file is missing, unreadable, or a damaged gzip file.
    """

    def __init__(self, path: Path, cache: Path | None) -> None:
        if path.suffix == ".gz":
            self._descriptor = _unpack(path, cache)
        else:
            with open_bytes(path) as file:
                self._descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._descriptor)

    def read(self, start: int, length: int) -> bytes:
        """Bytes from a position on; fewer when the file ends."""
        return os.pread(self._descriptor, length, start)

    def copy(self) -> int:
        """A descriptor of its own, to read the file from its beginning."""
        descriptor = os.dup(self._descriptor)
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor


def _unpack(path: Path, cache: Path | None) -> int:
    def unpack_into(folder: Path) -> None:
        with open_bytes(path) as packed, whole_gzip(path), (folder / "plain").open("wb") as file:
            shutil.copyfileobj(packed, file, _BUFFER)

    if cache is not None and path.is_file():
        folder = made_once(cache, file_key(path, "plain"), unpack_into)
        return os.open(folder / "plain", os.O_RDONLY)
    with open_bytes(path) as packed, whole_gzip(path), tempfile.TemporaryFile() as file:
        shutil.copyfileobj(packed, file, _BUFFER)
        file.flush()
        return os.dup(file.fileno())


@dataclasses.dataclass(frozen=True, kw_only=True)
class LineIndex:
    """The usable lines of a file.

    Attributes:
        starts: position of each line, in bytes.
        lengths: bytes of each line, with its end.
        report: what was left out.
        checksum: CRC-32 of the whole file.
    """

    starts: Int[np.ndarray, "N"]
    lengths: UInt[np.ndarray, "N"]
    report: SourceReport
    checksum: int


def index_lines(
    file: PlainFile, name: str, use: Callable[[int, str], bool], *, strict: bool,
    check: Callable[[], None] = lambda: None,
) -> LineIndex:  # fmt: skip
    r"""Reads a file once.

    Args:
        file: lines of UTF-8 that end at ``\n`` alone.
        name: for messages.
        use: given the number of a line, from 1, and its text, says whether it is a row; raises
            :class:`BrokenValueError` for a broken one.
        strict: refuse broken rows.
        check: called when all lines are read, to raise for what is wrong with all of them.
    """
    broken = BrokenRows(name, strict=strict)
    starts, lengths = array.array("q"), array.array("I")
    position = checksum = 0
    with os.fdopen(file.copy(), "rb", buffering=_BUFFER) as lines:
        for number, line in enumerate(lines, start=1):
            checksum = zlib.crc32(line, checksum)
            try:
                if use(number, decode_line(line, number)):
                    starts.append(position)
                    lengths.append(len(line))
            except UnicodeDecodeError as error:
                broken.add(number, f"byte {error.start} is not UTF-8")
            except BrokenValueError as error:
                broken.add(number, str(error))
            position += len(line)
    check()
    return LineIndex(
        starts=np.frombuffer(starts, np.int64) if starts else np.zeros(0, np.int64),
        lengths=np.frombuffer(lengths, np.uint32) if lengths else np.zeros(0, np.uint32),
        report=broken.report(len(starts)),
        checksum=checksum,
    )


def cached_index(
    cache: Path | None, path: Path, details: Any, make: Callable[[], LineIndex]
) -> LineIndex:
    """The index of a file, kept in ``cache`` so that the next run need not read the file."""
    if cache is None:
        return make()
    fresh: list[LineIndex] = []

    def write(folder: Path) -> None:
        index = make()
        fresh.append(index)
        np.save(folder / "starts.npy", index.starts)
        np.save(folder / "lengths.npy", index.lengths)
        write_report(folder, index.report, index.checksum)

    folder = made_once(cache, file_key(path, "lines", details), write)
    if fresh:
        return fresh[0]
    report, checksum = read_report(folder)
    return LineIndex(
        starts=np.load(folder / "starts.npy", mmap_mode="r"),
        lengths=np.load(folder / "lengths.npy", mmap_mode="r"),
        report=report,
        checksum=checksum,
    )


def changed(name: str, index: int) -> DataError:
    """The error for a line that is no longer what it was when the file was indexed."""
    return DataError(
        f"{name} has changed since it was opened: row {index} is not where it was; start again, "
        "and write other data to another file"
    )
