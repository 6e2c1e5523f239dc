"""Texts compared token by token: MaxSim scores and search, and BERTScore.

All of it takes what ``TextEncoder.encode_tokens`` returns, of any model.
"""

import collections
import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from textzoo.errors import TextInputError
from textzoo.search import SearchResult
from textzoo.similarity import normalized
from textzoo.spans import Span, TokenVectors, read_spans

# Products of one block of documents with all queries are kept to about this many.
_BLOCK_CELLS = 1 << 24


def score_tokens(
    queries: Sequence[TokenVectors], documents: Sequence[TokenVectors], *, normalize: bool = True
) -> Float[np.ndarray, "Q N"]:
    """``sum_i max_j q_i . d_j`` of every query with every document (ColBERT's MaxSim).

    Args:
        queries: from ``encode_tokens``.
        documents: from ``encode_tokens``.
        normalize: compare by cosine; False for vectors whose lengths mean something.

    Returns:
        float32. A query without tokens scores 0 everywhere, a document without tokens minus
        infinity.
    """
    scores = np.full((len(queries), len(documents)), -np.inf, np.float32)
    ours = [row for row, item in enumerate(queries) if len(item)]
    scores[[row for row, item in enumerate(queries) if not len(item)]] = 0
    theirs = [row for row, item in enumerate(documents) if len(item)]
    scores[:, [row for row, item in enumerate(documents) if not len(item)]] = -np.inf
    if not ours or not theirs:
        return scores
    _check_widths(queries[ours[0]], documents[theirs[0]])
    left = _matrix([queries[row] for row in ours], normalize)
    first = _starts([queries[row] for row in ours])
    for block in _blocks(documents, theirs, max(1, _BLOCK_CELLS // len(left))):
        chosen = [documents[row] for row in block]
        products = left @ _matrix(chosen, normalize).T
        best = np.maximum.reduceat(products, _starts(chosen), axis=1)
        scores[np.ix_(ours, block)] = np.add.reduceat(best, first, axis=0)
    return scores


def span_tokens(text: TokenVectors, spans: Sequence[Span]) -> list[TokenVectors]:
    """The tokens of each span of a text, in the context of all of it.

    With them :func:`score_tokens` and :func:`search_tokens` compare phrases or propositions token
    by token, after one encoding of each text: ``sum_{i in s} max_{j in t} q_i . d_j`` for spans s
    and t. It needs no training for spans (AGRaME, Reddy et al. 2024, masks ColBERT's like this),
    but keeps a vector for every token.

    Args:
        text: from ``encode_tokens``.
        spans: as for ``encode_spans``; tokens that overlap a span are in it.

    Returns:
        As many as there are spans; one that no token overlaps is empty.
    """
    (ranges,) = read_spans([text.text], [spans])
    return [
        TokenVectors(text.text, text.vectors[mask], text.offsets[mask])
        for mask in ranges.token_masks(text.offsets)
    ]


def search_tokens(
    queries: Sequence[TokenVectors],
    documents: Sequence[TokenVectors],
    *,
    k: int = 10,
    normalize: bool = True,
) -> SearchResult:
    """The ``k`` documents with the largest :func:`score_tokens` for each query, exactly.

    Equal scores stand in the order of the documents.
    """
    if k < 1:
        raise TextInputError(f"k={k}; ask for 1 or more results")
    scores = score_tokens(queries, documents, normalize=normalize)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return SearchResult(order.astype(np.int64), np.take_along_axis(scores, order, axis=1))


class BertScore(NamedTuple):
    """Token by token agreement of N candidates with their references, float32 ``[N]`` each.

    Attributes:
        precision: how well the candidate's tokens are found in the reference.
        recall: how well the reference's tokens are found in the candidate.
        f1: their harmonic mean.
    """

    precision: Float[np.ndarray, "N"]
    recall: Float[np.ndarray, "N"]
    f1: Float[np.ndarray, "N"]


@dataclasses.dataclass(frozen=True)
class TokenWeights:
    """``log((n + 1) / (d + 1))`` of tokens that d of n references have (BERTScore's idf).

    Attributes:
        weights: of every token that was seen, by its text in lower case.
        unseen: of the others, ``log(n + 1)``.
    """

    weights: Mapping[str, float]
    unseen: float

    @classmethod
    def fit(cls, references: Sequence[TokenVectors]) -> "TokenWeights":
        """Counts in how many references every token is."""
        found = collections.Counter(
            token for item in references for token in {token.lower() for token in item.tokens}
        )
        total = len(references) + 1
        weights = {token: math.log(total / (count + 1)) for token, count in found.items()}
        return cls(weights, math.log(total))

    def of(self, item: TokenVectors) -> Float[np.ndarray, "T"]:
        """The weight of every token of a text."""
        found = [self.weights.get(token.lower(), self.unseen) for token in item.tokens]
        return np.asarray(found, np.float64)


def bert_score(
    candidates: Sequence[TokenVectors],
    references: Sequence[TokenVectors],
    *,
    weights: TokenWeights | None = None,
    baseline: float = 0.0,
) -> BertScore:
    """Compares candidate i with reference i (Zhang et al. 2020).

    ``P = sum_j w_j max_i S_ij / sum_j w_j`` over tokens j of the candidate, ``R`` the same over
    tokens i of the reference, ``F = 2 P R / (P + R)``, with ``S`` the cosines of their vectors. A
    text without tokens scores 0.

    Args:
        candidates: from ``encode_tokens``. The paper takes a middle layer (9 of BERT base): build
            the model with that many.
        references: the same, as many.
        weights: of the tokens; ``None``: all count the same.
        baseline: b in ``(x - b) / (1 - b)``, which rescales all three.

    Notes:
        ``encode_tokens`` has no special tokens. In the reference code they weigh nothing, but
        other tokens may match them. There padding counts as a similarity of 0, so none is
        negative in a batch of unequal lengths; here only real tokens are compared. Weights are by
        the characters of a token, there by its id.
    """
    if len(candidates) != len(references):
        raise TextInputError(
            f"{len(candidates)} candidates for {len(references)} references; give one for each"
        )
    found = np.zeros((3, len(candidates)))
    for index, (candidate, reference) in enumerate(zip(candidates, references, strict=True)):
        if len(candidate) and len(reference):
            _check_widths(candidate, reference)
            cosines = normalized(reference.vectors) @ normalized(candidate.vectors).T
            precision = _mean(cosines.max(axis=0), weights, candidate)
            recall = _mean(cosines.max(axis=1), weights, reference)
            total = precision + recall
            f1 = 0.0 if total == 0 else 2 * precision * recall / total
            found[:, index] = (np.array([precision, recall, f1]) - baseline) / (1 - baseline)
    return BertScore(*found.astype(np.float32))


def _mean(best: np.ndarray, weights: TokenWeights | None, item: TokenVectors) -> float:
    if weights is None:
        return float(best.mean(dtype=np.float64))
    each = weights.of(item)
    total = each.sum()
    return float((each * best).sum() / total) if total else 0.0


def _matrix(items: Sequence[TokenVectors], normalize: bool) -> np.ndarray:
    vectors = np.concatenate([item.vectors for item in items])
    return normalized(vectors) if normalize else vectors


def _starts(items: Sequence[TokenVectors]) -> np.ndarray:
    return np.cumsum([0, *(len(item) for item in items[:-1])])


def _blocks(
    documents: Sequence[TokenVectors], rows: Sequence[int], tokens: int
) -> Iterator[list[int]]:
    block: list[int] = []
    held = 0
    for row in rows:
        if block and held + len(documents[row]) > tokens:
            yield block
            block, held = [], 0
        block.append(row)
        held += len(documents[row])
    yield block


def _check_widths(a: TokenVectors, b: TokenVectors) -> None:
    if a.vectors.shape[1] != b.vectors.shape[1]:
        raise TextInputError(
            f"token vectors of width {a.vectors.shape[1]} and {b.vectors.shape[1]} cannot be "
            "compared; encode both with the same model"
        )
