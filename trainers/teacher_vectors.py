"""Vectors of a teacher, kept on disk, so that a killed run continues where it stopped."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float

from textzoo.model import TextModel
from textzoo.modules import Tokenizer
from textzoo.modules.types import TextBatch


class Encoder(Protocol):
    """Anything that turns texts into vectors; a :class:`textzoo.TextEncoder` does."""

    def encode(self, texts: list[str], /) -> np.ndarray:
        """Encodes texts to ``[N, E]``."""
        ...


def encode_with_cache(
    teacher: Encoder, texts: Sequence[str], directory: Path, *, chunk_size: int = 4096,
    on_progress: Callable[[int], None] = lambda count: None,
) -> Float[np.ndarray, "N E"]:  # fmt: skip
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
    if not texts:
        raise ValueError("there are no texts to encode; give at least one")
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
    places = [known[text] for text in texts]
    return np.stack([chunks[chunk][row] for chunk, row in places])


def _write(path: Path, vectors: np.ndarray) -> None:
    temporary = path.with_suffix(".tmp.npy")
    np.save(temporary, vectors)
    os.replace(temporary, path)


def encode_single_tokens(
    model: TextModel, tokenizer: Tokenizer, ids: Sequence[int], *, batch_size: int = 1024
) -> Float[np.ndarray, "V E"]:
    """The vector of each token alone, between the special tokens that surround an empty text.

    Ids are given to the model as they are, so that a piece such as ``##ing`` stays one token.

    Args:
        model: the teacher.
        tokenizer: of the teacher; only its special tokens are asked for.
        ids: the tokens, as the teacher numbers them.
        batch_size: tokens per batch.
    """
    empty = tokenizer([""])
    if empty.units is not None:
        raise ValueError(
            f"the teacher's {type(tokenizer).__name__} gives units beside ids, so an id alone is "
            "no token to it; take a teacher that reads ids"
        )
    special = empty.ids
    before, after = special[: len(special) // 2], special[len(special) // 2 :]
    graphdef, state = nnx.split(model)

    @jax.jit
    def vectors(state: nnx.State, rows: jax.Array) -> jax.Array:
        batch = TextBatch(ids=rows, mask=jnp.ones(rows.shape, bool))
        found = nnx.merge(graphdef, state)(batch).vectors
        if found is None:
            raise ValueError("the teacher has no pooling, so it has no vectors; give it one")
        return found

    chunks = []
    for start in range(0, len(ids), batch_size):
        chunk = np.asarray(ids[start : start + batch_size], np.int32)
        tokens = np.pad(chunk, (0, batch_size - len(chunk)))[:, None]
        sides = (np.broadcast_to(side, (batch_size, len(side))) for side in (before, after))
        rows = np.concatenate([next(sides), tokens, next(sides)], axis=1).astype(np.int32)
        chunks.append(np.asarray(vectors(state, rows), np.float32)[: len(chunk)])
    return np.concatenate(chunks)
