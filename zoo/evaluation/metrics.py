"""Metrics as pure functions: rank correlation, ranking quality, confidence intervals."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int

Interval = tuple[float, float]


def average_ranks(values: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """Ranks from 1, smallest first; equal values share the mean of their ranks."""
    values = np.asarray(values, np.float64)
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def pearson(x: Float[np.ndarray, " N"], y: Float[np.ndarray, " N"]) -> float:
    """Linear correlation, ``cov(x, y) / sqrt(var(x) var(y))``; NaN when one side is constant."""
    x, y = _same_length(x, y)
    x, y = x - x.mean(), y - y.mean()
    # Scaling first keeps tiny and huge values away from the ends of the number range.
    largest = np.abs(x).max(), np.abs(y).max()
    if 0.0 in largest:
        return math.nan
    x, y = x / largest[0], y / largest[1]
    return float(np.clip(x @ y / math.sqrt((x @ x) * (y @ y)), -1.0, 1.0))


def spearman(x: Float[np.ndarray, " N"], y: Float[np.ndarray, " N"]) -> float:
    """Rank correlation: :func:`pearson` of :func:`average_ranks`; NaN when one side is constant."""
    x, y = _same_length(x, y)
    return pearson(average_ranks(x), average_ranks(y))


def ndcg(ranked: Sequence[float], relevant: Sequence[float], k: int) -> float:
    r"""Normalized discounted cumulative gain at ``k``, as trec_eval and BEIR compute it.

    ``DCG = sum_i gain_i / log2(i + 1)`` over ranks ``i = 1..k``, divided by the same sum for the
    best possible order. The gain is the judgment itself; judgments below zero count as zero.

    Args:
        ranked: judgment of the document at each rank, zero for documents without one.
        relevant: all judgments of the query, retrieved or not.
        k: how many ranks count.
    """
    ideal = _dcg(sorted(relevant, reverse=True)[:k])
    return _dcg(ranked[:k]) / ideal if ideal > 0 else 0.0


def reciprocal_rank(ranked: Sequence[float], k: int) -> float:
    """One over the rank of the first relevant document among the first ``k``, else zero."""
    for rank, gain in enumerate(ranked[:k], start=1):
        if gain > 0:
            return 1.0 / rank
    return 0.0


def recall(ranked: Sequence[float], num_relevant: int, k: int) -> float:
    """Share of the relevant documents that are among the first ``k``."""
    return sum(gain > 0 for gain in ranked[:k]) / num_relevant


def bootstrap_interval(
    statistic: Callable[[Int[np.ndarray, " N"]], float],
    size: int,
    *,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Percentile bootstrap: how a statistic of ``size`` examples varies over samples of them.

    Args:
        statistic: value for the examples with these indices, drawn with replacement.
        size: number of examples.
        resamples: how often to draw.
        seed: of the draws; equal seeds give equal intervals.
        level: share of the draws inside the interval.
    """
    generator = np.random.default_rng(seed)
    draws = [statistic(generator.integers(0, size, size)) for _ in range(resamples)]
    defined = [value for value in draws if not math.isnan(value)]
    if not defined:
        return math.nan, math.nan
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def wilson_interval(successes: int, trials: int, *, z: float = 1.959964) -> Interval:
    """Wilson's 95% interval of a proportion; unlike the plain one it is right near 0 and 1."""
    share = successes / trials
    center = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (center - spread) / scale), min(1.0, (center + spread) / scale)


def _dcg(gains: Sequence[float]) -> float:
    return sum(max(gain, 0.0) / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))


def _same_length(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.shape != y.shape or x.ndim != 1 or len(x) < 2:
        raise ValueError(
            f"a correlation needs two lists of the same length, at least 2; got shapes {x.shape} "
            f"and {y.shape}"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("a correlation needs finite numbers; got NaN or infinity")
    return x, y
