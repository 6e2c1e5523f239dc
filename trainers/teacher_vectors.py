"""Vectors of a teacher, kept on disk, so that a killed run continues where it stopped."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np


class Encoder(Protocol):
    """Anything that turns texts into vectors; a :class:`textzoo.TextEncoder` does."""

    def encode(self, texts: list[str], /) -> np.ndarray:
        """Encodes texts to ``[N, E]``."""
        ...


def encode_with_cache(
    teacher: Encoder, texts: Sequence[str], directory: Path, *, chunk_size: int = 4096,
    on_progress: Callable[[int], None] = lambda count: None,
) -> np.ndarray:  # fmt: skip
    """Encodes texts, reading those that an earlier call has encoded from ``directory``.

    The cache is keyed by text, so texts may be added, removed or reordered between runs. One
    directory belongs to one teacher. A chunk is written to a temporary name and renamed, so a
    chunk that exists is whole.

    Args:
        teacher: the encoder.
        texts: all different, or encoded more than once.
        directory: where chunks lie; made when missing.
        chunk_size: texts per chunk, and so the most work that a kill can lose.
        on_progress: called with the number of texts done since the last call.

    Returns:
        float16 ``[N, E]``, in the order of ``texts``.
    """
    directory.mkdir(parents=True, exist_ok=True)
    known: dict[str, tuple[int, int]] = {}
    chunks: list[np.ndarray] = []

    def remember(names: list[str], vectors: np.ndarray) -> None:
        known.update((name, (len(chunks), row)) for row, name in enumerate(names))
        chunks.append(vectors)

    for path in sorted(directory.glob("*.json")):
        names = json.loads(path.read_text(encoding="utf-8"))
        remember(names, np.load(path.with_suffix(".npy")))
    missing = [text for text in dict.fromkeys(texts) if text not in known]
    on_progress(len(texts) - len(missing))
    for start in range(0, len(missing), chunk_size):
        names = missing[start : start + chunk_size]
        vectors = np.asarray(teacher.encode(names), np.float16)
        target = directory / f"{len(chunks):06d}.json"
        _write(target.with_suffix(".npy"), vectors)
        temporary = target.with_suffix(".tmp")
        temporary.write_text(json.dumps(names, ensure_ascii=False), encoding="utf-8")
        os.replace(temporary, target)
        remember(names, vectors)
        on_progress(len(names))
    if not texts:
        raise ValueError("there are no texts to encode; give at least one")
    places = [known[text] for text in texts]
    return np.stack([chunks[chunk][row] for chunk, row in places])


def _write(path: Path, vectors: np.ndarray) -> None:
    temporary = path.with_suffix(".tmp.npy")
    np.save(temporary, vectors)
    os.replace(temporary, path)
