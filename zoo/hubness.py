"""Hubs are rows that are near everything; here are measures of them, and similarities without.

Reduction acts on similarities to one corpus, so its statistics belong to that corpus and not to
the model: they are fitted here, beside the index, and ``TextEncoder.search`` stays what it is. (To
reduce hubness in the vectors themselves, see ``Centering`` and ``Standardization``, which are
saved with a model.)

Sources: CSLS, Conneau et al. 2018, equation 5; mutual proximity, Schnitzer et al. 2012, with
independent Gaussians; both for sentence vectors, Nielsen and Hansen 2023.
"""

import dataclasses
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from textzoo.errors import ConfigError, TextInputError, closest
from textzoo.search import SearchResult
from textzoo.search import search as search_exactly
from textzoo.similarity import similarity_matrix

METHODS = ("csls", "mutual_proximity")
_BLOCK_CELLS = 1 << 24


@dataclasses.dataclass(frozen=True)
class Neighborhoods:
    """How similar each of N vectors is to a reference set.

    Attributes:
        mean, deviation: of its similarities to the whole set, float32 ``[N]``.
        local: mean of its similarities to the k nearest of them, float32 ``[N]``.
    """

    mean: Float[np.ndarray, "N"]
    deviation: Float[np.ndarray, "N"]
    local: Float[np.ndarray, "N"]

    def __len__(self) -> int:
        return len(self.mean)


def fit_neighborhoods(
    vectors: Float[np.ndarray, "N E"],
    reference: Float[np.ndarray, "M _"] | None = None,
    *,
    k: int = 10,
    kind: str = "cosine",
) -> Neighborhoods:
    """Compares every vector with a reference set, block by block.

    Args:
        vectors: the corpus, or the queries.
        reference: what they are compared with: for the corpus, queries like those to come; for
            queries, the corpus. ``None``: the vectors themselves, each without itself.
        k: nearest ones that ``local`` looks at; the paper of CSLS uses 10.
        kind: see :func:`textzoo.similarity.similarity_matrix`.
    """
    others = vectors if reference is None else reference
    available = len(others) - (reference is None)
    if not 1 <= k <= available:
        raise TextInputError(f"k={k} nearest of {available} vectors; use 1 to {available}")
    found = np.zeros((3, len(vectors)), np.float32)
    rows = max(1, _BLOCK_CELLS // len(others))
    for start in range(0, len(vectors), rows):
        block = slice(start, start + rows)
        scores = similarity_matrix(vectors[block], others, kind).astype(np.float64)
        if reference is None:
            here = np.arange(len(scores))
            keep = np.ones(scores.shape, bool)
            keep[here, start + here] = False
            scores = scores[keep].reshape(len(scores), available)
        found[0, block] = scores.mean(axis=1)
        found[1, block] = scores.std(axis=1)
        found[2, block] = np.partition(scores, available - k, axis=1)[:, -k:].mean(axis=1)
    return Neighborhoods(*found)


def csls(
    similarities: Float[np.ndarray, "Q N"], queries: Neighborhoods, corpus: Neighborhoods
) -> Float[np.ndarray, "Q N"]:
    """``2 s(x, y) - r(x) - r(y)`` with ``r`` the mean similarity to the k nearest.

    Args:
        similarities: of every query to every row of the corpus.
        queries: fitted with the corpus as reference.
        corpus: fitted with queries as reference, or with itself.
    """
    return _csls(similarities, queries, corpus)


def mutual_proximity(
    similarities: Float[np.ndarray, "Q N"], queries: Neighborhoods, corpus: Neighborhoods
) -> Float[np.ndarray, "Q N"]:
    """Logarithm of ``P(X < s) P(Y < s)``: would others be further from either of the two?

    ``X`` and ``Y`` are Gaussians with the mean and deviation of the query and of the row, taken as
    independent. It is the logarithm, because float32 cannot tell probabilities near 1 apart; the
    order is the same.

    Args:
        similarities: of every query to every row of the corpus.
        queries: fitted with the corpus as reference.
        corpus: fitted with queries as reference, or with itself.
    """
    return _mutual_proximity(similarities, queries, corpus)


def search(
    queries: Float[np.ndarray, "Q E"],
    corpus: Float[np.ndarray, "N E"],
    neighborhoods: Neighborhoods,
    *,
    k: int = 10,
    method: str = "csls",
    kind: str = "cosine",
    local: int = 10,
    candidates: int = 1000,
) -> SearchResult:
    """Finds the nearest rows of a corpus, with hubs held back.

    Args:
        queries: vectors.
        corpus: vectors.
        neighborhoods: of the corpus, from :func:`fit_neighborhoods`.
        k: results per query.
        method: ``"csls"`` or ``"mutual_proximity"``.
        kind: see :func:`textzoo.similarity.similarity_matrix`.
        local: nearest rows whose mean similarity to a query CSLS subtracts.
        candidates: the nearest rows by plain similarity, which are put into a new order; with as
            many as the corpus has rows the result is exact.

    Returns:
        As :func:`textzoo.search.search`, with scores of the method.
    """
    if method not in METHODS:
        raise ConfigError(f"method={method!r} is unknown; {closest(method, METHODS)}")
    if len(neighborhoods) != len(corpus):
        raise TextInputError(
            f"neighborhoods of {len(neighborhoods)} rows for a corpus of {len(corpus)}; fit them "
            "on this corpus"
        )
    if k < 1:
        raise TextInputError(f"k={k}; ask for 1 or more results")
    near = search_exactly(queries, corpus, k=max(k, candidates), kind=kind)
    rows = near.indices
    of_queries = fit_neighborhoods(queries, corpus, k=min(local, len(corpus)), kind=kind)
    reduce = _csls if method == "csls" else _mutual_proximity
    scores = reduce(near.scores, of_queries, neighborhoods, rows)
    # Equal scores stand in the order of the corpus, as they do without reduction.
    order = np.stack([np.lexsort((r, -s)) for r, s in zip(rows, scores, strict=True)])[:, :k]
    return SearchResult(
        np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
    )


@dataclasses.dataclass(frozen=True)
class Hubness:
    """How unevenly rows of a corpus occur among the nearest of queries.

    Attributes:
        skewness: third standardized moment of the occurrences; 0 when none are hubs.
        robin_hood: share of occurrences that would have to be moved to make them equal, 0..1.
        antihubs: share of rows that occur nowhere.
        largest: occurrences of the greatest hub.
    """

    skewness: float
    robin_hood: float
    antihubs: float
    largest: int


def measure_hubness(indices: Int[np.ndarray, "Q k"], rows: int) -> Hubness:
    """Counts how often each of ``rows`` rows is among the results of a search."""
    if indices.size == 0:
        raise TextInputError("no results to count; search with one query or more")
    counts = np.bincount(indices.ravel(), minlength=rows).astype(np.float64)
    centered = counts - counts.mean()
    deviation = centered.std()
    skewness = 0.0 if deviation == 0 else float(np.mean((centered / deviation) ** 3))
    return Hubness(
        skewness=skewness,
        robin_hood=float(np.abs(centered).sum() / (2 * counts.sum())),
        antihubs=float((counts == 0).mean()),
        largest=int(counts.max()),
    )


def _csls(
    similarities: np.ndarray, queries: Neighborhoods, corpus: Neighborhoods, rows: Any = slice(None)
) -> np.ndarray:
    return 2 * similarities - queries.local[:, None] - corpus.local[rows]


def _mutual_proximity(
    similarities: np.ndarray, queries: Neighborhoods, corpus: Neighborhoods, rows: Any = slice(None)
) -> np.ndarray:
    from_query = (similarities - queries.mean[:, None]) / _positive(queries.deviation)[:, None]
    from_row = (similarities - corpus.mean[rows]) / _positive(corpus.deviation[rows])
    return np.asarray(_sum_of_log_probabilities(from_query, from_row))


def _positive(deviation: np.ndarray) -> np.ndarray:
    return np.maximum(deviation, np.finfo(np.float32).tiny ** 0.5)


@jax.jit
def _sum_of_log_probabilities(a: Float[Array, "Q N"], b: Float[Array, "Q N"]) -> Array:
    return jax.scipy.special.log_ndtr(a) + jax.scipy.special.log_ndtr(b)
