"""Semantic textual similarity: do similarities order sentence pairs as people do?"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from textzoo.evaluation.metrics import Interval, bootstrap_interval, pearson, spearman
from textzoo.evaluation.results import Result
from textzoo.evaluation.scoring import SupportsEncode, encode_texts, pair_scores, similarity_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class StsPairs:
    """Sentence pairs and how similar people find them.

    Attributes:
        first, second: the sentences of each pair.
        scores: larger is more similar, on any scale, ``[N]``.
    """

    first: Sequence[str]
    second: Sequence[str]
    scores: Float[np.ndarray, " N"]

    def __post_init__(self) -> None:
        if not len(self.first) == len(self.second) == len(self.scores) or len(self.first) < 2:
            raise ValueError(
                f"pairs need equally many sentences and scores, at least 2; got {len(self.first)} "
                f"first, {len(self.second)} second, {len(self.scores)} scores"
            )

    def __len__(self) -> int:
        return len(self.first)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StsResult(Result):
    """Correlations between similarities and human scores, in -1..1.

    Attributes:
        spearman: rank correlation over all pairs together, equal values sharing a rank.
        spearman_interval: 95% bootstrap over the pairs.
        pearson: linear correlation.
        pairs: how many.
        similarity: how vectors were compared.
    """

    spearman: float
    spearman_interval: Interval
    pearson: float
    pairs: int
    similarity: str


def sts(
    encoder: SupportsEncode,
    pairs: StsPairs,
    *,
    similarity: str | None = None,
    prompt: str | None = None,
    truncate_dim: int | None = None,
) -> StsResult:
    """Correlates the similarities an encoder gives to sentence pairs with human scores.

    Args:
        encoder: anything with ``encode(list[str]) -> [N, E]``.
        pairs: all pairs of the test set.
        similarity: how to compare vectors; the encoder's own way when ``None``.
        prompt: given to ``encode`` when not ``None``.
        truncate_dim: the same.
    """
    similarity = similarity_of(encoder, similarity)
    texts = [*pairs.first, *pairs.second]
    vectors = encode_texts(encoder, texts, prompt=prompt, truncate_dim=truncate_dim)
    return score_sts(
        vectors[: len(pairs)], vectors[len(pairs) :], pairs.scores, similarity=similarity
    )


def score_sts(
    first: Float[np.ndarray, "N E"],
    second: Float[np.ndarray, "N E"],
    scores: Float[np.ndarray, " N"],
    *,
    similarity: str = "cosine",
) -> StsResult:
    """The same as :func:`sts` for vectors that exist already."""
    gold = np.asarray(scores, np.float64)
    ours = pair_scores(first, second, similarity)
    return StsResult(
        spearman=spearman(ours, gold),
        spearman_interval=bootstrap_interval(
            lambda chosen: spearman(ours[chosen], gold[chosen]), len(gold)
        ),
        pearson=pearson(ours, gold),
        pairs=len(gold),
        similarity=similarity,
    )
