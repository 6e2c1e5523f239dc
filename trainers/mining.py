r"""Hard negatives: texts of a corpus that a model takes for answers and that are none.

For each pair of a query and a positive, the corpus is ranked by the query (exactly, in blocks on
the device). What is a known positive, or the same text as the query or a positive, is no candidate;
the others have the ranks 0, 1, 2, ... . Of those within the rank range, a candidate with score
``s`` is kept beside a positive with score ``p`` when::

    s <= p - absolute_margin        s <= p - |p| relative_margin        min_score <= s <= max_score

and the negatives of the pair are the highest ranked of them, or some at random.

References:
    Relative margin ("positive-aware" mining, where 0.05 was best): NV-Retriever, Moreira et al.
    2024, section 3. Rank range, because the very first are often unmarked positives: e.g. Xiong et
    al. 2021 (ANCE), Wang et al. 2022 (E5).

Notes:
    - A query with several positives makes several pairs, each with the margins of its own positive.
    - Among rows of the corpus with equal keys only the first is ever a candidate, so no text
      comes twice. Without keys, texts count as different.
    - sentence-transformers' ``mine_hard_negatives`` counts ranks after all filters, not only after
      positives are taken out, and measures margins from the lowest positive of a query.
"""

import dataclasses
import math
from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, UInt

from textzoo.errors import ConfigError, DataError, closest
from textzoo.modules.nearest import nearest, pair_scores
from textzoo.settings import SIMILARITIES

FILTERS = (
    "known positive", "text of the query", "rank", "absolute margin", "relative margin",
    "max_score", "min_score",
)  # fmt: skip
"""Why a candidate falls out, in the order in which it is asked."""

_PAIRS = 4096  # worked on at once


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MiningConfig:
    """Which candidates become negatives; see the equations of this module.

    Attributes:
        num_negatives: of each pair.
        first_rank, last_rank: the range of ranks, ``first_rank <= rank < last_rank``.
        absolute_margin, relative_margin: to the score of the positive; ``None`` for no such limit.
        max_score, min_score: of a candidate; ``None`` for no such limit.
        sampling: ``"top"`` or ``"random"``.
        similarity: how vectors are compared, as in ``EncoderSettings``.
        seed: of random sampling.
    """

    num_negatives: int = 5
    first_rank: int = 0
    last_rank: int = 100
    absolute_margin: float | None = None
    relative_margin: float | None = 0.05
    max_score: float | None = None
    min_score: float | None = None
    sampling: str = "top"
    similarity: str = "cosine"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in (("sampling", ("top", "random")), ("similarity", SIMILARITIES)):
            value = getattr(self, name)
            if value not in known:
                raise ConfigError(f"mining: {name}={value!r}; {closest(value, known)}")
        if self.num_negatives < 1:
            raise ConfigError(f"mining: num_negatives={self.num_negatives}; use 1 or more")
        if not 0 <= self.first_rank <= self.last_rank - self.num_negatives:
            raise ConfigError(
                f"mining: ranks from {self.first_rank} to below {self.last_rank} have no room for "
                f"{self.num_negatives} negatives; write last_rank="
                f"{max(0, self.first_rank) + 10 * self.num_negatives}"
            )
        for name in ("absolute_margin", "relative_margin", "max_score", "min_score"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ConfigError(f"mining: {name}={value}; use a number, or null for no limit")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MinedNegatives:
    """M pairs of a query and a positive, each with up to N negatives.

    Attributes:
        queries: which query, ``[M]``.
        positives: row of the corpus, ``[M]``.
        negatives: rows of the corpus, the nearest to the query first, ``[M, N]``; -1 where there
            are no more.
        positive_scores: ``[M]``.
        negative_scores: ``[M, N]``; NaN where there is no negative.
        removed: candidates that each of ``FILTERS`` has taken out of a pair, ``[M, 7]``.
        duplicates: rows of the corpus that were passed over because an earlier one is the same.
    """

    queries: Int[np.ndarray, "M"]
    positives: Int[np.ndarray, "M"]
    negatives: Int[np.ndarray, "M N"]
    positive_scores: Float[np.ndarray, "M"]
    negative_scores: Float[np.ndarray, "M N"]
    removed: Int[np.ndarray, "M filters"]
    duplicates: int

    def __len__(self) -> int:
        return len(self.queries)

    def is_complete(self) -> Bool[np.ndarray, "M"]:
        """Whether a pair has all of its negatives."""
        return np.all(self.negatives >= 0, axis=1)

    def summary(self) -> dict[str, int]:
        """Pairs, negatives, and what each filter has removed."""
        return {
            "pairs": len(self),
            "complete pairs": int(self.is_complete().sum()),
            "negatives": int((self.negatives >= 0).sum()),
            "duplicates in the corpus": self.duplicates,
            **dict(zip(FILTERS, self.removed.sum(axis=0).tolist(), strict=True)),
        }


def mine_negatives(
    queries: Float[np.ndarray, "Q E"],
    corpus: np.ndarray,
    positives: Sequence[Sequence[int]],
    config: MiningConfig,
    *,
    query_keys: UInt[np.ndarray, "Q"] | None = None,
    corpus_keys: UInt[np.ndarray, "R"] | None = None,
) -> MinedNegatives:
    """Finds negatives for every query and each of its positives.

    Args:
        queries: vectors, float32.
        corpus: vectors, ``[R, E]``, of any float type; may be memory-mapped and larger than the
            memory of the device.
        positives: rows of the corpus that are right for each query.
        config: what makes a negative.
        query_keys: equal for equal texts, and comparable with ``corpus_keys``.
        corpus_keys: see ``query_keys``.

    Raises:
        DataError: shapes or rows do not fit together.
    """
    _check(queries, corpus, positives, query_keys, corpus_keys)
    first = _first_of_its_key(len(corpus), corpus_keys)
    allowed = first == np.arange(len(corpus))
    counts = np.array([len(rows) for rows in positives], np.int64)
    pair_queries = np.repeat(np.arange(len(queries)), counts)
    pair_rows = np.array([row for rows in positives for row in rows], np.int64)
    own = _rows_of_queries(query_keys, corpus_keys)
    # At most these can stand between the ranked ones.
    most = int(counts.max(initial=0)) + (own is not None)
    rows, scores = nearest(
        queries, corpus, k=min(config.last_rank + most, len(corpus)), kind=config.similarity,
        allowed=allowed,
    )  # fmt: skip
    known = np.unique(pair_queries * len(corpus) + first[pair_rows])
    parts = [
        _mine(config, queries, corpus, pair_queries[part], pair_rows[part], rows, scores, known,
              own, jax.random.fold_in(jax.random.key(config.seed), index))
        for index, part in enumerate(
            slice(start, start + _PAIRS) for start in range(0, max(1, len(pair_rows)), _PAIRS)
        )
    ]  # fmt: skip
    negatives, negative_scores, positive_scores, removed = (
        np.concatenate(arrays) for arrays in zip(*parts, strict=True)
    )
    return MinedNegatives(
        queries=pair_queries, positives=pair_rows, negatives=negatives,
        positive_scores=positive_scores, negative_scores=negative_scores, removed=removed,
        duplicates=int((~allowed).sum()),
    )  # fmt: skip


def _mine(
    config: MiningConfig, queries: np.ndarray, corpus: np.ndarray, pair_queries: np.ndarray,
    pair_rows: np.ndarray, all_rows: np.ndarray, all_scores: np.ndarray, known: np.ndarray,
    own: np.ndarray | None, key: jax.Array,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Filters and samples for some of the pairs."""
    rows, scores = all_rows[pair_queries], all_scores[pair_queries]
    positive_scores = pair_scores(
        queries[pair_queries], np.asarray(corpus[pair_rows], np.float32), kind=config.similarity
    )
    kept = scores > -np.inf  # a row that is passed over, or whose vector has NaN
    removed = np.zeros((len(rows), len(FILTERS)), np.int64)

    def remove(name: str, bad: np.ndarray) -> None:
        nonlocal kept
        removed[:, FILTERS.index(name)] = (kept & bad).sum(axis=1)
        kept = kept & ~bad

    remove("known positive", np.isin(pair_queries[:, None] * len(corpus) + rows, known))
    if own is not None:
        remove("text of the query", rows == own[pair_queries][:, None])
    ranks = np.cumsum(kept, axis=1) - 1
    kept &= ranks < config.last_rank  # never looked at, so not removed either
    remove("rank", ranks < config.first_rank)
    limit = positive_scores[:, None]
    if config.absolute_margin is not None:
        remove("absolute margin", scores > limit - config.absolute_margin)
    if config.relative_margin is not None:
        remove("relative margin", scores > limit - np.abs(limit) * config.relative_margin)
    if config.max_score is not None:
        remove("max_score", scores > config.max_score)
    if config.min_score is not None:
        remove("min_score", scores < config.min_score)

    order = -np.asarray(jax.random.uniform(key, rows.shape)) if config.sampling == "random" else (
        np.broadcast_to(np.arange(rows.shape[1], dtype=np.float32), rows.shape)
    )  # fmt: skip
    order = np.where(kept, order, np.inf)
    missing = max(0, config.num_negatives - rows.shape[1])
    order = np.pad(order, ((0, 0), (0, missing)), constant_values=np.inf)
    chosen = np.argsort(order, axis=1, kind="stable")[:, : config.num_negatives]
    is_real = np.take_along_axis(order, chosen, axis=1) < np.inf
    # The nearest first, and what is missing last.
    chosen = np.sort(np.where(is_real, chosen, order.shape[1]), axis=1)
    is_real = chosen < order.shape[1]
    places = np.where(is_real, chosen, 0)
    return (
        np.where(is_real, np.take_along_axis(rows, places, axis=1), -1),
        np.where(is_real, np.take_along_axis(scores, places, axis=1), np.float32(np.nan)),
        positive_scores,
        removed,
    )


def _first_of_its_key(count: int, keys: np.ndarray | None) -> np.ndarray:
    """For each row of the corpus the first row with the same key, ``[R]``."""
    if keys is None:
        return np.arange(count)
    _, firsts, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return firsts[inverse]


def _rows_of_queries(
    query_keys: np.ndarray | None, corpus_keys: np.ndarray | None
) -> np.ndarray | None:
    """The first row of the corpus with the text of each query, -1 for none, ``[Q]``."""
    if query_keys is None or corpus_keys is None or not len(corpus_keys):
        return None
    known, firsts = np.unique(corpus_keys, return_index=True)
    places = np.minimum(np.searchsorted(known, query_keys), len(known) - 1)
    return np.where(known[places] == query_keys, firsts[places], -1)


def _check(
    queries: np.ndarray, corpus: np.ndarray, positives: Sequence[Sequence[int]],
    query_keys: np.ndarray | None, corpus_keys: np.ndarray | None,
) -> None:  # fmt: skip
    if corpus.ndim != 2 or corpus.shape[1] != queries.shape[1] or not len(corpus):
        raise DataError(
            f"the corpus has shape {corpus.shape}, expected [R, {queries.shape[1]}] with R above "
            "0; encode queries and corpus with the same model"
        )
    for name, found, expected in (
        ("positives", len(positives), len(queries)),
        ("query_keys", len(queries) if query_keys is None else len(query_keys), len(queries)),
        ("corpus_keys", len(corpus) if corpus_keys is None else len(corpus_keys), len(corpus)),
    ):
        if found != expected:
            raise DataError(f"{name} has {found} entries, expected {expected}, one for each row")
    if (query_keys is None) != (corpus_keys is None):
        raise DataError("keys of queries and corpus are compared; give both, or neither")
    for query, rows in enumerate(positives):
        for row in rows:
            if not 0 <= row < len(corpus):
                raise DataError(
                    f"query {query} has the positive {row}, and the corpus has the rows 0 to "
                    f"{len(corpus) - 1}"
                )
