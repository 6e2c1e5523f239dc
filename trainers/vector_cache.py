"""Vectors of a corpus on disk, computed once: a ``.npy`` file and what it was computed from."""

import json
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from textzoo.errors import DataError, ResumeError


def cached_vectors(
    path: str | Path,
    fingerprint: Mapping[str, str],
    compute: Callable[[], Iterable[np.ndarray]],
    *,
    count: int,
    renew: bool = False,
) -> np.ndarray:
    """Vectors as a memory-mapped array; computed when they are not there yet.

    Beside ``vectors.npy`` lies ``vectors.json`` with the fingerprint, written last: without it the
    vectors count as not there.

    Args:
        path: of the ``.npy`` file.
        fingerprint: what the vectors depend on, by name, such as the model, a hash of the texts
            and the prompt.
        compute: yields the vectors in order, in blocks ``[n, E]`` of one dtype; called only when
            it is needed, so that a corpus may be larger than memory.
        count: vectors in all.
        renew: compute them anew where the file has another fingerprint, instead of refusing it.

    Raises:
        ResumeError: the file has another fingerprint.
        DataError: the file is damaged or cannot be written, or ``compute`` gives another number.
    """
    path = Path(path)
    if path.suffix != ".npy":
        raise DataError(f"{path}: vectors are kept as .npy; write {path.with_suffix('.npy')}")
    note = path.with_suffix(".json")
    wanted = {"count": str(count), **fingerprint}
    if note.exists() and path.exists():
        found = _read_note(note)
        different = sorted(n for n in {*wanted, *found} if wanted.get(n) != found.get(n))
        if not different:
            return _open(path, count)
        if not renew:
            name = different[0]
            raise ResumeError(
                f"{path} holds vectors of another {' and '.join(different)} ({name}: "
                f"{found.get(name)!r}, expected {wanted.get(name)!r}); use another path, delete "
                "the file, or pass renew=True"
            )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        note.unlink(missing_ok=True)
        _write(path, compute(), count)
        partial = note.with_name(f".{note.name}.{secrets.token_hex(4)}")
        partial.write_text(json.dumps(wanted, indent=2, ensure_ascii=False) + "\n", "utf-8")
        os.replace(partial, note)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error
    return _open(path, count)


def _write(path: Path, blocks: Iterable[np.ndarray], count: int) -> None:
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    vectors: np.memmap | None = None
    done = 0
    try:
        for block in blocks:
            if vectors is None:
                vectors = np.lib.format.open_memmap(
                    partial, mode="w+", dtype=block.dtype, shape=(count, block.shape[1])
                )
            if done + len(block) <= count:
                vectors[done : done + len(block)] = block
            done += len(block)
        if vectors is None or done != count:
            raise DataError(f"{done} vectors were computed for {path}, expected {count}")
        vectors.flush()
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _read_note(note: Path) -> dict[str, str]:
    try:
        found = json.loads(note.read_text("utf-8"))
        if not isinstance(found, dict):
            raise ValueError("no JSON object")
    except (OSError, ValueError) as error:
        raise DataError(f"{note} is damaged ({error}); delete it to compute anew") from error
    return found


def _open(path: Path, count: int) -> np.ndarray:
    try:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged ({error}); delete it to compute anew") from error
    if vectors.ndim != 2 or len(vectors) != count:
        raise DataError(f"{path} has shape {vectors.shape}, expected {count} rows; delete it")
    return vectors
