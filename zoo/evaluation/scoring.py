"""Similarity of vectors in numpy: row by row, and the nearest rows of a corpus."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float, Int

from textzoo.errors import ConfigError, WeightsError, closest
from textzoo.settings import SIMILARITIES

_BLOCK_SCORES = 1 << 24  # scores held at once: 64 MB


class SupportsEncode(Protocol):
    """Anything that turns a list of texts into vectors ``[N, E]``."""

    def encode(self, texts: list[str], /) -> Any:
        """Encodes texts, in their order."""
        ...


def encode_texts(
    encoder: SupportsEncode, texts: Sequence[str], *, method: str = "encode", **options: Any
) -> Float[np.ndarray, "N E"]:
    """Encodes texts, equal ones once, and checks what comes back.

    Args:
        encoder: has :meth:`SupportsEncode.encode`.
        texts: at least one.
        method: another method to use instead, where the encoder has it (``"encode_query"``).
        options: given to the method; ``None`` is left out.
    """
    encode = getattr(encoder, method, None) or encoder.encode
    unique = list(dict.fromkeys(texts))
    given = {name: value for name, value in options.items() if value is not None}
    vectors = np.asarray(encode(unique, **given), np.float32)
    if vectors.ndim != 2 or len(vectors) != len(unique):
        raise ValueError(
            f"encoding {len(unique)} texts returned shape {vectors.shape}; expected "
            f"({len(unique)}, E), one row per text"
        )
    if not np.isfinite(vectors).all():
        row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
        raise WeightsError(
            f"the vector of {unique[row]!r:.60} holds NaN or infinity; the model's weights or its "
            "dtype are broken"
        )
    if len(unique) == len(texts):
        return vectors
    index = {text: position for position, text in enumerate(unique)}
    return vectors[[index[text] for text in texts]]


def similarity_of(encoder: object, similarity: str | None) -> str:
    """The similarity to use: the one asked for, else the encoder's own, else cosine."""
    own = getattr(getattr(encoder, "settings", None), "similarity", None)
    chosen = similarity or own or "cosine"
    if chosen not in SIMILARITIES:
        raise ConfigError(f"similarity={chosen!r} is unknown; {closest(chosen, SIMILARITIES)}")
    return chosen


def pair_scores(
    first: Float[np.ndarray, "N E"], second: Float[np.ndarray, "N E"], similarity: str = "cosine"
) -> Float[np.ndarray, " N"]:
    """Similarity of each row of ``first`` to the same row of ``second``; larger is closer.

    Distances are negated. The cosine with a zero vector is zero.
    """
    first, second = first.astype(np.float64), second.astype(np.float64)
    if similarity == "euclidean":
        return -np.linalg.norm(first - second, axis=1)
    if similarity == "manhattan":
        return -np.abs(first - second).sum(axis=1)
    if similarity == "cosine":
        first, second = _unit(first), _unit(second)
    return np.einsum("ne,ne->n", first, second)


def top_k(
    queries: Float[np.ndarray, "Q E"],
    corpus: Float[np.ndarray, "N E"],
    k: int,
    similarity: str = "cosine",
) -> tuple[Int[np.ndarray, "Q K"], Float[np.ndarray, "Q K"]]:
    """The ``k`` nearest corpus rows of every query, nearest first, by comparing with all of them.

    Rows with equal scores are ranked in corpus order, also at the border of the ``k``.

    Returns:
        Row numbers and scores, ``K = min(k, N)``. Distances are negated.
    """
    k = min(k, len(corpus))
    if similarity == "cosine":
        queries, corpus = _unit(queries), _unit(corpus)
    squares = np.einsum("ne,ne->n", corpus, corpus) if similarity == "euclidean" else None
    rows = np.zeros((len(queries), k), np.int64)
    scores = np.zeros((len(queries), k), np.float32)
    step = max(1, _BLOCK_SCORES // max(1, len(corpus)))
    for start in range(0, len(queries), step):
        block = queries[start : start + step]
        for offset, line in enumerate(_score_block(block, corpus, squares, similarity)):
            border = np.partition(line, len(line) - k)[len(line) - k]
            candidates = np.flatnonzero(line >= border)
            best = candidates[np.argsort(-line[candidates], kind="stable")[:k]]
            rows[start + offset], scores[start + offset] = best, line[best]
    return rows, scores


def _score_block(
    block: np.ndarray, corpus: np.ndarray, squares: np.ndarray | None, similarity: str
) -> np.ndarray:
    if similarity == "manhattan":
        return np.stack([-np.abs(corpus - row).sum(axis=1) for row in block])
    products = block @ corpus.T
    if squares is None:
        return products
    own = np.einsum("qe,qe->q", block, block)
    return -np.sqrt(np.maximum(own[:, None] + squares - 2 * products, 0))


def _unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1)
