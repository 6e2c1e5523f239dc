"""Vectors of a corpus larger than memory, in one file that survives being killed.

A directory holds ``vectors.npy`` when all is done, and ``vectors.partial`` before. The corpus is
cut into shards; the vectors of a shard are appended and reach the disk before ``manifest.json``
says so, and what stands behind the last shard of the manifest is overwritten at a restart. A
shard's batches depend on its texts alone, so a restarted run writes the bytes of an uninterrupted
one (with the same software on the same kind of machine).
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from textzoo.errors import ConfigError, ResumeError, TextInputError, closest
from textzoo.inputs import checked

FILE_NAME = "vectors.npy"
PARTIAL_NAME = "vectors.partial"
MANIFEST_NAME = "manifest.json"
DTYPES = ("float32", "float16")

_FORMAT = "textzoo-vectors"
_SHARD_CHARACTERS = 1 << 25


@dataclasses.dataclass(frozen=True)
class Shard:
    """Texts that are encoded and committed together.

    Attributes:
        first: number of the first text.
        texts: the texts.
        digest: sha256 of the texts.
    """

    first: int
    texts: list[str]
    digest: str


def cut_into_shards(texts: Iterable[str], shard_size: int) -> Iterator[Shard]:
    """Cuts texts into shards; long texts close a shard early. The cuts depend on texts alone."""
    first = characters = 0
    shard: list[str] = []
    for index, text in enumerate(texts):
        checked([text], first=index)
        shard.append(text)
        characters += len(text)
        if len(shard) >= shard_size or characters >= _SHARD_CHARACTERS:
            yield Shard(first, shard, _digest(shard))
            first, shard, characters = index + 1, [], 0
    if shard:
        yield Shard(first, shard, _digest(shard))


def _digest(texts: list[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


class VectorFile:
    """The growing file of vectors and its manifest.

    Args:
        directory: made when it does not exist.
        dimension: E.
        dtype: ``"float32"`` or ``"float16"``.
        shard_size: texts of a shard, at most.
        run: what the vectors depend on besides the texts: model, options. Two runs with different
            values are different runs.
        resume: continue what is there; without it, start over.

    Raises:
        ConfigError: dtype or shard_size make no sense.
        ResumeError: what is there comes from another run, or is damaged.
    """

    def __init__(
        self, directory: Path, *, dimension: int, dtype: str, shard_size: int,
        run: Mapping[str, Any], resume: bool,
    ) -> None:  # fmt: skip
        if dtype not in DTYPES:
            raise ConfigError(f"dtype={dtype!r} cannot be written; {closest(dtype, DTYPES)}")
        if shard_size < 1:
            raise ConfigError(f"shard_size={shard_size}; use 1 or more")
        self._shard_size = shard_size
        self.directory = directory
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._dimension = dimension
        self._header_size = len(self._header(0))
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(directory)
        try:
            if not resume:
                for name in (MANIFEST_NAME, PARTIAL_NAME, FILE_NAME):
                    (directory / name).unlink(missing_ok=True)
            self._manifest = self._open_manifest(dict(run))
            self._file: BinaryIO | None = None
            if not self.is_complete:
                self._file = self._open_partial()
        except BaseException:
            self._lock.close()
            raise

    @property
    def is_complete(self) -> bool:
        """Whether all vectors are there."""
        return self._manifest["complete"]

    @property
    def rows(self) -> int:
        """Vectors that are committed."""
        return sum(shard["texts"] for shard in self._manifest["shards"])

    @property
    def path(self) -> Path:
        """Where the vectors are when all is done."""
        return self.directory / FILE_NAME

    def remaining(self, texts: Iterable[str]) -> Iterator[Shard]:
        """Cuts texts into shards, compares those committed before, and yields the others.

        Raises:
            ResumeError: the corpus is not the one the directory was begun with.
        """
        shards = cut_into_shards(texts, self._shard_size)
        committed = list(self._manifest["shards"])
        for number, known in enumerate(committed):
            shard = next(shards, None)
            if shard is None:
                raise self._changed(f"it ends before text {self.rows}")
            if (len(shard.texts), shard.digest) != (known["texts"], known["sha256"]):
                last = shard.first + max(len(shard.texts), known["texts"]) - 1
                raise self._changed(f"shard {number} (texts {shard.first} to {last}) differs")
        for shard in shards:
            if self.is_complete:
                raise self._changed(f"it goes on after text {self.rows - 1}")
            yield shard

    def append(self, shard: Shard, vectors: np.ndarray) -> None:
        """Writes the vectors of the next shard, then commits them."""
        assert self._file is not None and shard.first == self.rows
        with np.errstate(over="ignore"):
            data = np.ascontiguousarray(vectors, self._dtype)
        if not np.isfinite(data).all() and np.isfinite(vectors).all():
            raise TextInputError(
                "vectors have values beyond 65504, the largest float16; use dtype='float32'"
            )
        row_bytes = self._dimension * self._dtype.itemsize
        self._file.seek(self._header_size + self.rows * row_bytes)
        self._file.write(data.tobytes())
        self._sync()
        self._manifest["shards"].append({"texts": len(shard.texts), "sha256": shard.digest})
        self._write_manifest()

    def finish(self) -> None:
        """Gives the file its final header and name."""
        if self._file is None:
            return
        row_bytes = self._dimension * self._dtype.itemsize
        self._file.truncate(self._header_size + self.rows * row_bytes)
        self._file.seek(0)
        self._file.write(self._header(self.rows))
        self._sync()
        self._file.close()
        self._file = None
        os.replace(self.directory / PARTIAL_NAME, self.path)
        self._manifest["complete"] = True
        self._write_manifest()

    def close(self) -> None:
        """Releases the directory; uncommitted vectors are lost."""
        if self._file is not None:
            self._file.close()
        self._lock.close()

    def _header(self, rows: int) -> bytes:
        # numpy pads the header so that it keeps its size when the first axis grows.
        buffer = io.BytesIO()
        shape = (rows, self._dimension)
        np.lib.format.write_array_header_1_0(
            buffer, {"descr": self._dtype.str, "fortran_order": False, "shape": shape}
        )
        return buffer.getvalue()

    def _open_manifest(self, run: dict[str, Any]) -> dict[str, Any]:
        path = self.directory / MANIFEST_NAME
        run |= {
            "dimension": self._dimension,
            "dtype": self._dtype.name,
            "shard_size": self._shard_size,
        }
        if not path.is_file():
            if (self.directory / FILE_NAME).exists():
                raise ResumeError(
                    f"{self.directory} has a {FILE_NAME} that no {MANIFEST_NAME} describes; use "
                    "another directory, or resume=False to replace it"
                )
            return {"format": _FORMAT, "run": run, "complete": False, "shards": []}
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            known = manifest["run"] if manifest["format"] == _FORMAT else None
        except (ValueError, KeyError, TypeError):
            known = None
        if known is None:
            raise ResumeError(f"{path} is not a manifest of vectors; use another directory")
        different = [
            f"  {name}: was {known.get(name)!r}, is {run.get(name)!r}"
            for name in sorted({*known, *run})
            if known.get(name) != run.get(name)
        ]
        if different:
            raise ResumeError(
                f"{self.directory} was begun with another model or other options:\n"
                + "\n".join(different)
                + "\nUse those again, another directory, or resume=False to start over."
            )
        if manifest["complete"] and not self.path.is_file():
            raise ResumeError(
                f"{self.path} is gone although its manifest says that it is complete; use "
                "resume=False to start over"
            )
        return manifest

    def _open_partial(self) -> BinaryIO:
        path = self.directory / PARTIAL_NAME
        if not path.exists() and self.path.exists():
            os.replace(self.path, path)  # killed between the rename and the last manifest
        if not path.exists() and self.rows == 0:
            path.write_bytes(self._header(0))
        needed = self._header_size + self.rows * self._dimension * self._dtype.itemsize
        size = path.stat().st_size if path.exists() else 0
        if self.rows and size < needed:
            raise ResumeError(
                f"{path} has {size} bytes, its manifest promises {needed}; use resume=False to "
                "start over"
            )
        file = path.open("r+b")
        if self.rows == 0:
            file.write(self._header(0))
        return file

    def _sync(self) -> None:
        assert self._file is not None
        self._file.flush()
        os.fsync(self._file.fileno())

    def _write_manifest(self) -> None:
        path = self.directory / MANIFEST_NAME
        temporary = path.with_suffix(".tmp")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(self._manifest, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        with contextlib.suppress(OSError):  # folders cannot be synced everywhere
            folder = os.open(self.directory, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _changed(self, what: str) -> ResumeError:
        return ResumeError(
            f"{self.directory} was begun with another corpus: {what}. Give the same texts in the "
            "same order, use another directory, or resume=False to start over."
        )


def _lock(directory: Path) -> BinaryIO:
    """Keeps other processes out; the lock goes when its process does."""
    file = (directory / ".lock").open("wb")
    try:
        import fcntl
    except ImportError:  # not a Unix system
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ResumeError(
            f"another process is writing into {directory}; wait for it, or use another directory"
        ) from None
    except OSError:
        pass  # a file system without locks
    return file
