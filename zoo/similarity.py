"""How near vectors are to one another."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from textzoo.errors import TextInputError

# Intermediate results are kept to about this many numbers.
_BLOCK_CELLS = 1 << 24


def is_vectors(value: Any) -> bool:
    """Whether an input is vectors rather than texts."""
    if isinstance(value, str):
        return False
    dtype = getattr(value, "dtype", None)
    if dtype is not None:
        return np.dtype(dtype).kind not in "USO"
    if isinstance(value, list | tuple) and value:
        return not isinstance(value[0], str | bytes) and value[0] is not None
    return False


def as_vectors(value: Any, name: str) -> Float[np.ndarray, "N E"]:
    """Vectors as a float32 matrix; one vector becomes one row.

    Raises:
        TextInputError: the input has another number of axes.
    """
    vectors = np.asarray(value)
    if vectors.ndim == 1:
        vectors = vectors[None]
    if vectors.ndim != 2:
        raise TextInputError(
            f"{name} has shape {vectors.shape}, expected vectors [N, E] or one vector [E]"
        )
    return np.asarray(vectors, np.float32)


def similarity_matrix(
    a: Float[np.ndarray, "N E"], b: Float[np.ndarray, "M _"], kind: str
) -> Float[np.ndarray, "N M"]:
    """Similarity of every row of ``a`` to every row of ``b``, float32; larger is nearer.

    Args:
        a: vectors.
        b: vectors.
        kind: ``"cosine"`` (0 for a zero vector), ``"dot"``, or minus the ``"euclidean"`` or
            ``"manhattan"`` distance.
    """
    _check_widths(a, b)
    if kind == "cosine":
        a, b = normalized(a), normalized(b)
    result = np.empty((len(a), len(b)), np.float32)
    width = a.shape[1] if kind == "manhattan" else 1
    columns = max(1, min(len(b), _BLOCK_CELLS // width))
    rows = max(1, _BLOCK_CELLS // (columns * width))
    compare = _MATRIX[kind]
    for top in range(0, len(a), rows):
        for left in range(0, len(b), columns):
            block = slice(top, top + rows), slice(left, left + columns)
            result[block] = compare(a[block[0]], b[block[1]])
    return result


def similarity_pairs(
    a: Float[np.ndarray, "N E"], b: Float[np.ndarray, "_ _"], kind: str
) -> Float[np.ndarray, "N"]:
    """Similarity of row i of ``a`` to row i of ``b``; see :func:`similarity_matrix`."""
    _check_widths(a, b)
    if len(a) != len(b):
        raise TextInputError(
            f"{len(a)} and {len(b)} vectors cannot be compared in pairs; give as many of both, or "
            "use similarity for all pairs"
        )
    if kind == "cosine":
        a, b = normalized(a), normalized(b)
    if kind in ("cosine", "dot"):
        return np.einsum("ne,ne->n", a, b)
    difference = a - b
    if kind == "manhattan":
        return -np.abs(difference).sum(axis=1)
    return -np.sqrt(np.einsum("ne,ne->n", difference, difference))


def normalized(vectors: Float[np.ndarray, "*B E"]) -> Float[np.ndarray, "*B E"]:
    """Vectors of length one; a zero vector stays zero."""
    norms = np.sqrt(np.einsum("...e,...e->...", vectors, vectors))[..., None]
    return vectors / np.maximum(norms, 1e-12)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a @ b.T


def _euclidean(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    # Near vectors are small differences of large squares, for which float32 is too coarse.
    a, b = a.astype(np.float64), b.astype(np.float64)
    squares = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * (a @ b.T)
    return -np.sqrt(np.maximum(squares, 0))


def _manhattan(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return -np.abs(a[:, None] - b).sum(axis=2)


_MATRIX: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "cosine": _dot,
    "dot": _dot,
    "euclidean": _euclidean,
    "manhattan": _manhattan,
}


def _check_widths(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape[1] != b.shape[1]:
        raise TextInputError(
            f"vectors of width {a.shape[1]} and {b.shape[1]} cannot be compared; encode both with "
            "the same model and the same truncate_dim"
        )
