"""Retrieval: are the relevant documents of a query ranked first?"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from textzoo.errors import DataError
from textzoo.evaluation.metrics import (
    Interval,
    bootstrap_interval,
    ndcg,
    recall,
    reciprocal_rank,
)
from textzoo.evaluation.results import Result
from textzoo.evaluation.scoring import SupportsEncode, encode_texts, similarity_of, top_k

Judgments = Mapping[str, Mapping[str, float]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RetrievalData:
    """Queries, documents, and which documents answer which query.

    Attributes:
        queries: text by id.
        corpus: text by id; for BEIR data the title, a space and the text.
        qrels: by query id, the judgment of each judged document; relevant above zero.
    """

    queries: Mapping[str, str]
    corpus: Mapping[str, str]
    qrels: Judgments


@dataclasses.dataclass(frozen=True, kw_only=True)
class RetrievalResult(Result):
    """Means over the queries that have a relevant document, in 0..1.

    Attributes:
        ndcg_at_10: see :func:`textzoo.evaluation.metrics.ndcg`.
        ndcg_interval: 95% bootstrap over the queries.
        mrr_at_10: reciprocal rank of the first relevant document.
        recall_at: share of relevant documents among the first k, by k.
        queries, documents: how many.
        missing_documents: relevant documents that the corpus lacks; they count as not found.
        similarity: how vectors were compared.
    """

    ndcg_at_10: float
    ndcg_interval: Interval
    mrr_at_10: float
    recall_at: Mapping[int, float]
    queries: int
    documents: int
    missing_documents: int
    similarity: str


def retrieval(
    encoder: SupportsEncode,
    queries: Mapping[str, str],
    corpus: Mapping[str, str],
    qrels: Judgments,
    *,
    similarity: str | None = None,
    recall_at: Sequence[int] = (1, 2, 5, 10, 100),
    skip_same_id: bool = False,
    truncate_dim: int | None = None,
) -> RetrievalResult:
    """Ranks the whole corpus for every judged query and scores the order.

    The ranking is exact. Documents with equal scores are ranked as trec_eval ranks them: the
    larger id (compared as strings) first.

    Args:
        encoder: anything with ``encode``; ``encode_query`` and ``encode_document`` are used
            where it has them.
        queries: text by id; queries without a relevant document are left out.
        corpus: text by id.
        qrels: judgments by query id and document id; relevant above zero.
        similarity: how to compare vectors; the encoder's own way when ``None``.
        recall_at: the k for which to report recall.
        skip_same_id: leave out the document with the query's own id (ArguAna, Quora).
        truncate_dim: given to the encoder when not ``None``.

    Raises:
        DataError: the corpus is empty, a judged query is missing, or nothing is relevant.
    """
    similarity = similarity_of(encoder, similarity)
    judged = judged_queries(queries, corpus, qrels)
    # In this order, ranking equal scores by position is ranking them by descending id.
    documents = sorted(corpus, reverse=True)
    asked = [queries[query] for query in judged]
    answers = [corpus[document] for document in documents]
    query_vectors = encode_texts(encoder, asked, method="encode_query", truncate_dim=truncate_dim)
    document_vectors = encode_texts(
        encoder, answers, method="encode_document", truncate_dim=truncate_dim
    )
    ranked = rank(
        query_vectors, document_vectors, list(judged), documents,
        k=max(10, *recall_at), similarity=similarity, skip_same_id=skip_same_id,
    )  # fmt: skip
    return score_ranking(
        ranked, judged, documents=documents, recall_at=recall_at, similarity=similarity
    )


def rank(
    query_vectors: Float[np.ndarray, "Q E"],
    document_vectors: Float[np.ndarray, "N E"],
    query_ids: Sequence[str],
    document_ids: Sequence[str],
    *,
    k: int,
    similarity: str = "cosine",
    skip_same_id: bool = False,
) -> dict[str, list[str]]:
    """Ids of the ``k`` best documents of every query, best first; ties in the given order."""
    wanted = k + 1 if skip_same_id else k
    rows, _ = top_k(query_vectors, document_vectors, wanted, similarity)
    ranked = {}
    for query, best in zip(query_ids, rows, strict=True):
        ids = [document_ids[row] for row in best]
        ranked[query] = [d for d in ids if not (skip_same_id and d == query)][:k]
    return ranked


def score_ranking(
    ranked: Mapping[str, Sequence[str]],
    qrels: Judgments,
    *,
    documents: Sequence[str],
    recall_at: Sequence[int] = (1, 2, 5, 10, 100),
    similarity: str = "",
) -> RetrievalResult:
    """Scores an order of documents that exists already; every query needs a relevant document."""
    known = set(documents)
    ndcgs, reciprocals, missing = [], [], 0
    recalls: dict[int, list[float]] = {k: [] for k in recall_at}
    for query, judgments in qrels.items():
        relevant = [gain for gain in judgments.values() if gain > 0]
        missing += sum(gain > 0 and d not in known for d, gain in judgments.items())
        gains = [judgments.get(document, 0) for document in ranked[query]]
        ndcgs.append(ndcg(gains, relevant, 10))
        reciprocals.append(reciprocal_rank(gains, 10))
        for k, values in recalls.items():
            values.append(recall(gains, len(relevant), k))
    per_query = np.array(ndcgs)
    return RetrievalResult(
        ndcg_at_10=float(per_query.mean()),
        ndcg_interval=bootstrap_interval(
            lambda chosen: float(per_query[chosen].mean()), len(per_query)
        ),
        mrr_at_10=float(np.mean(reciprocals)),
        recall_at={k: float(np.mean(values)) for k, values in recalls.items()},
        queries=len(per_query),
        documents=len(documents),
        missing_documents=missing,
        similarity=similarity,
    )


def judged_queries(
    queries: Mapping[str, str], corpus: Mapping[str, str], qrels: Judgments
) -> dict[str, Mapping[str, float]]:
    """The judgments of the queries that have a relevant document."""
    if not corpus:
        raise DataError("the corpus is empty; retrieval needs at least one document")
    judged = {query: gains for query, gains in qrels.items() if max(gains.values(), default=0) > 0}
    if not judged:
        raise DataError("no query has a relevant document (a judgment above zero)")
    for query in judged:
        if query not in queries:
            raise DataError(
                f"query {query!r} is judged but has no text; the judgments belong to other queries"
            )
    return judged
