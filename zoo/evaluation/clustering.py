"""Do clusters of vectors agree with labels?"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from textzoo.evaluation.classification import LabeledTexts
from textzoo.evaluation.results import Result
from textzoo.evaluation.scoring import SupportsEncode, encode_texts

Labels = Sequence[int] | Int[np.ndarray, " N"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusteringData:
    """Texts and the groups they belong to."""

    texts: LabeledTexts


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusteringResult(Result):
    """Agreement of k-means clusters, as many as labels, with the labels.

    Attributes:
        nmi: mutual information over the mean of the two entropies, 0 to 1.
        accuracy: share of texts in the right cluster, for the best one-to-one match of clusters
            and labels.
        texts, clusters: how many.
    """

    nmi: float
    accuracy: float
    texts: int
    clusters: int


def clustering(
    encoder: SupportsEncode, data: ClusteringData, *, seed: int = 0, restarts: int = 10,
    prompt: str | None = None, truncate_dim: int | None = None,
) -> ClusteringResult:  # fmt: skip
    """Clusters the vectors of texts by k-means, k the number of labels.

    Args:
        encoder: anything with ``encode(list[str]) -> [N, E]``.
        data: texts with labels.
        seed: of the first centers.
        restarts: the best of so many runs counts.
        prompt: given to ``encode`` when not ``None``.
        truncate_dim: the same.
    """
    texts = data.texts
    vectors = encode_texts(encoder, texts.texts, prompt=prompt, truncate_dim=truncate_dim)
    names = sorted(set(texts.labels))
    numbers = np.array([names.index(label) for label in texts.labels])
    clusters = k_means(vectors, len(names), seed=seed, restarts=restarts)
    return ClusteringResult(
        nmi=normalized_mutual_information(clusters, numbers),
        accuracy=matched_accuracy(clusters, numbers),
        texts=len(texts), clusters=len(names),
    )  # fmt: skip


def k_means(
    vectors: Float[np.ndarray, "N E"], clusters: int, *, seed: int = 0, restarts: int = 10,
    steps: int = 300,
) -> Int[np.ndarray, " N"]:  # fmt: skip
    """Lloyd's algorithm from k-means++ centers; the run with the smallest distances counts."""
    if not 1 <= clusters <= len(vectors):
        raise ValueError(f"clusters={clusters} of {len(vectors)} vectors; use 1 to {len(vectors)}")
    x = vectors.astype(np.float32)
    x = x - x.mean(axis=0)
    squares = np.einsum("ne,ne->n", x, x)
    rng = np.random.default_rng(seed)
    best, best_cost = np.zeros(len(x), np.int64), math.inf
    for _ in range(restarts):
        centers = _first_centers(x, squares, clusters, rng)
        assigned = np.full(len(x), -1)
        for _ in range(steps):
            distances = _distances(x, squares, centers)
            nearest = distances.argmin(axis=1)
            if (nearest == assigned).all():
                break
            assigned = nearest
            for cluster in range(clusters):
                own = assigned == cluster
                # An empty cluster begins again at the vector that is farthest from its center.
                centers[cluster] = (
                    x[own].mean(axis=0) if own.any() else x[distances.min(axis=1).argmax()]
                )
        cost = float(_distances(x, squares, centers).min(axis=1).sum(dtype=np.float64))
        if cost < best_cost:
            best, best_cost = assigned, cost
    return best


def normalized_mutual_information(first: Labels, second: Labels) -> float:
    """``I(a; b) / ((H(a) + H(b)) / 2)``; 1 where both are one group."""
    table = _contingency(first, second) / len(first)
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    outer = rows[:, None] * columns[None, :]
    there = table > 0
    information = float((table[there] * np.log(table[there] / outer[there])).sum())
    entropy = -float((rows * np.log(rows)).sum() + (columns * np.log(columns)).sum()) / 2
    return information / entropy if entropy > 0 else 1.0


def matched_accuracy(clusters: Labels, labels: Labels) -> float:
    """Share of items on which clusters and labels agree, for the best one-to-one match."""
    import scipy.optimize

    table = _contingency(clusters, labels)
    rows, columns = scipy.optimize.linear_sum_assignment(table, maximize=True)
    return float(table[rows, columns].sum() / len(labels))


def _contingency(first: Labels, second: Labels) -> np.ndarray:
    _, a = np.unique(np.asarray(first), return_inverse=True)
    _, b = np.unique(np.asarray(second), return_inverse=True)
    table = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(table, (a, b), 1)
    return table


def _first_centers(
    x: np.ndarray, squares: np.ndarray, clusters: int, rng: np.random.Generator
) -> np.ndarray:
    """k-means++: each next center with a chance that grows with its distance squared."""
    centers = [x[rng.integers(len(x))]]
    nearest = _distances(x, squares, np.stack(centers))[:, 0]
    for _ in range(1, clusters):
        total = nearest.sum(dtype=np.float64)
        chance = nearest.astype(np.float64) / total if total > 0 else None
        centers.append(x[rng.choice(len(x), p=chance)])
        nearest = np.minimum(nearest, _distances(x, squares, centers[-1][None])[:, 0])
    return np.stack(centers)


def _distances(x: np.ndarray, squares: np.ndarray, centers: np.ndarray) -> np.ndarray:
    own = np.einsum("ke,ke->k", centers, centers)
    return np.maximum(squares[:, None] + own - 2 * x @ centers.T, 0)
