"""The nearest rows of a corpus, exactly: scores in blocks on the device, and the best of all."""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

# Scores of one block, and numbers of corpus read at once.
_SCORE_CELLS = 1 << 24
_CORPUS_CELLS = 1 << 25
_QUERIES = 1024


def nearest(
    queries: Float[np.ndarray, "Q E"],
    corpus: np.ndarray,
    *,
    k: int,
    kind: str,
    allowed: Bool[np.ndarray, "N"] | None = None,
) -> tuple[Int[np.ndarray, "Q k"], Float[np.ndarray, "Q k"]]:
    """Finds the ``k`` rows of the corpus that are nearest to each query.

    Args:
        queries: float32.
        corpus: ``[N, E]``, of any float type; may be memory-mapped, is read block by block.
        k: results per query; all of them when the corpus is smaller.
        kind: ``"cosine"``, ``"dot"``, or ``"euclidean"`` and ``"manhattan"`` with the sign turned.
        allowed: False for rows that are to be passed over; they come last, with a score of minus
            infinity, where ``k`` exceeds the number of the others.

    Returns:
        Rows of the corpus, the nearest first, int64; equal scores stand in the order of the
        corpus. And their scores, float32; larger is nearer.
    """
    k = min(k, len(corpus))
    if k == 0 or len(queries) == 0:
        empty = (len(queries), k)
        return np.zeros(empty, np.int64), np.zeros(empty, np.float32)
    parts = [
        _search(queries[start : start + _QUERIES], corpus, k, kind, allowed)
        for start in range(0, len(queries), _QUERIES)
    ]
    scores, indices = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return indices.astype(np.int64), scores


def pair_scores(
    left: Float[np.ndarray, "M E"], right: Float[np.ndarray, "M E"], *, kind: str
) -> Float[np.ndarray, "M"]:
    """The score of each row of ``left`` with the same row of ``right``; see :func:`nearest`."""
    scores = _pair_scores(jnp.asarray(left, jnp.float32), jnp.asarray(right, jnp.float32), kind)
    return np.asarray(scores)


def _search(
    queries: np.ndarray, corpus: np.ndarray, k: int, kind: str, allowed: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    count = len(queries)
    # Few shapes: rows are padded to powers of two.
    padded = np.zeros((_power_of_two(count), queries.shape[1]), np.float32)
    padded[:count] = queries
    limit = min(_SCORE_CELLS // len(padded), _CORPUS_CELLS // corpus.shape[1])
    block_rows = _power_of_two(max(k, min(len(corpus), limit)))
    best: tuple[Array, Array] | None = None
    before: tuple[Array, Array] | None = None
    on_device = jax.device_put(padded)
    for start, block, real in _blocks(corpus, block_rows, allowed):
        found = _top(on_device, block, real, start, k=k, kind=kind)
        # Wait for the block before last, so that reading does not run ahead of the device.
        jax.block_until_ready(before)
        before, best = best, found if best is None else _merge(best, found)
    assert best is not None
    return np.asarray(best[0])[:count], np.asarray(best[1])[:count]


def _blocks(
    corpus: np.ndarray, rows: int, allowed: np.ndarray | None
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    for start in range(0, len(corpus), rows):
        block = np.asarray(corpus[start : start + rows], np.float32)
        count = len(block)
        real = np.zeros(rows, bool)
        real[:count] = True if allowed is None else allowed[start : start + rows]
        if count < rows:
            block = np.concatenate([block, np.zeros((rows - count, block.shape[1]), np.float32)])
        yield start, block, real


def _power_of_two(number: int) -> int:
    return 1 << max(0, number - 1).bit_length()


@functools.partial(jax.jit, static_argnames=("k", "kind"))
def _top(
    queries: Array, block: Array, real: Array, start: Array, *, k: int, kind: str
) -> tuple[Array, Array]:
    scores = _SCORES[kind](queries, block)
    # A vector with NaN is near nothing; rows that fill the block up come after all others.
    scores = jnp.where(jnp.isnan(scores), -jnp.inf, scores)
    scores = jnp.where(scores == 0, 0.0, scores)  # -0.0 would come after 0.0
    scores = jnp.where(real, scores, -jnp.inf)
    values, indices = jax.lax.top_k(scores, k)
    return values, indices + start


@jax.jit
def _merge(best: tuple[Array, Array], found: tuple[Array, Array]) -> tuple[Array, Array]:
    # Earlier rows stand first, and top_k keeps the order of equal values.
    values = jnp.concatenate([best[0], found[0]], axis=1)
    indices = jnp.concatenate([best[1], found[1]], axis=1)
    values, chosen = jax.lax.top_k(values, best[0].shape[1])
    return values, jnp.take_along_axis(indices, chosen, axis=1)


@functools.partial(jax.jit, static_argnames="kind")
def _pair_scores(left: Array, right: Array, kind: str) -> Array:
    if kind == "cosine":
        left, right = _unit(left), _unit(right)
    if kind in ("cosine", "dot"):
        return (left * right).sum(axis=1)
    if kind == "euclidean":
        return -jnp.sqrt(jnp.square(left - right).sum(axis=1))
    return -jnp.abs(left - right).sum(axis=1)


def _dot(queries: Array, block: Array) -> Array:
    return jnp.matmul(queries, block.T, precision=jax.lax.Precision.HIGHEST)


def _cosine(queries: Array, block: Array) -> Array:
    return _dot(_unit(queries), _unit(block))


def _unit(x: Array) -> Array:
    return x / jnp.maximum(jnp.sqrt(jnp.square(x).sum(axis=1, keepdims=True)), 1e-12)


# Distances from differences rather than from squares and products: float32 could not tell near
# vectors apart otherwise.
def _euclidean(queries: Array, block: Array) -> Array:
    return -jax.lax.map(lambda q: jnp.sqrt(jnp.square(block - q).sum(axis=1)), queries)


def _manhattan(queries: Array, block: Array) -> Array:
    return -jax.lax.map(lambda q: jnp.abs(block - q).sum(axis=1), queries)


_SCORES = {"cosine": _cosine, "dot": _dot, "euclidean": _euclidean, "manhattan": _manhattan}
