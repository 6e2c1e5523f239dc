"""Text to vectors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from textzoo.batching import plan
from textzoo.checkpoints.bundle import Bundle
from textzoo.checkpoints.directory import write_directory


class TextEncoder:
    """Wraps a model and its tokenizer."""

    def __init__(self, bundle: Bundle, *, tokens_per_batch: int = 1024) -> None:
        self.bundle = bundle
        self.tokens_per_batch = tokens_per_batch
        graphdef, self._state = nnx.split(bundle.model)

        def vectors(state: nnx.State, batch: Any) -> jax.Array:
            return nnx.merge(graphdef, state)(batch).vectors

        self._vectors = jax.jit(vectors)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Encodes texts to float32 vectors ``[N, E]``, in their order."""
        tokenized = self.bundle.tokenizer(texts)
        result = None
        pending = []
        for shape in plan(
            tokenized.lengths,
            tokens_per_batch=self.tokens_per_batch,
            max_length=self.bundle.tokenizer.max_length,
        ):
            batch = tokenized.batch(shape.rows, shape.length, shape.size)
            pending.append((shape.rows, self._vectors(self._state, batch)))
        for rows, vectors in pending:
            vectors = np.asarray(vectors)
            if result is None:
                result = np.zeros((len(texts), vectors.shape[-1]), np.float32)
            result[rows] = vectors[: len(rows)]
        return result

    def save(self, directory: str | Path) -> None:
        """Writes the model directory."""
        write_directory(Path(directory), self.bundle)
