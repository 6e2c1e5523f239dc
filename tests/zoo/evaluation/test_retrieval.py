import math

import numpy as np
import pytest
from fake_encoders import TableEncoder, TwoSidedEncoder

from textzoo.errors import DataError
from textzoo.evaluation import rank, retrieval, score_ranking

QUERIES = {"q1": "east", "q2": "north"}
CORPUS = {"d1": "east-ish", "d2": "north-ish", "d3": "west"}
TABLE = {
    "east": [1, 0],
    "north": [0, 1],
    "east-ish": [1, 0.2],
    "north-ish": [0.2, 1],
    "west": [-1, 0.1],
}


def test_perfect_retrieval_scores_one():
    result = retrieval(
        TableEncoder(TABLE), QUERIES, CORPUS, {"q1": {"d1": 1}, "q2": {"d2": 1}}, recall_at=(1,)
    )
    assert (result.ndcg_at_10, result.mrr_at_10, result.recall_at) == (1, 1, {1: 1})
    assert (result.queries, result.documents) == (2, 3)


def test_retrieval_by_hand_with_several_relevant_documents():
    # q1 ranks d1 d2 d3; relevant are d2 (2) and d3 (1), at ranks 2 and 3.
    qrels = {"q1": {"d2": 2, "d3": 1}}
    result = retrieval(TableEncoder(TABLE), QUERIES, CORPUS, qrels, recall_at=(1, 2, 3))
    dcg = 2 / math.log2(3) + 1 / math.log2(4)
    assert result.ndcg_at_10 == pytest.approx(dcg / (2 + 1 / math.log2(3)))
    assert result.mrr_at_10 == pytest.approx(0.5)
    assert result.recall_at == {1: 0, 2: 0.5, 3: 1}


def test_queries_and_documents_are_encoded_by_their_own_methods():
    encoder = TwoSidedEncoder(TABLE)
    result = retrieval(encoder, QUERIES, CORPUS, {"q1": {"d3": 1}})
    assert result.mrr_at_10 == 1  # documents are mirrored, so west is nearest to east
    assert [name for name, _, _ in encoder.calls] == ["encode_query", "encode_document"]


def test_equal_scores_are_ranked_by_descending_id():
    corpus = {"d1": "west", "d3": "west", "d2": "west"}
    for document, rank_of_it in {"d3": 1, "d2": 2, "d1": 3}.items():
        result = retrieval(TableEncoder(TABLE), QUERIES, corpus, {"q1": {document: 1}})
        assert result.mrr_at_10 == pytest.approx(1 / rank_of_it)


def test_order_of_the_inputs_does_not_matter():
    qrels = {"q1": {"d2": 1}, "q2": {"d1": 1, "d2": 2}}
    forward = retrieval(TableEncoder(TABLE), QUERIES, CORPUS, qrels)
    backward = retrieval(
        TableEncoder(TABLE),
        dict(reversed(QUERIES.items())),
        dict(reversed(CORPUS.items())),
        dict(reversed(qrels.items())),
    )
    assert forward.ndcg_at_10 == pytest.approx(backward.ndcg_at_10)
    assert forward.recall_at == backward.recall_at


def test_queries_without_a_relevant_document_are_left_out():
    encoder = TableEncoder(TABLE)
    result = retrieval(encoder, QUERIES, CORPUS, {"q1": {"d1": 1}, "q2": {"d1": 0}})
    assert result.queries == 1
    assert encoder.calls[0][1] == ["east"]


def test_relevant_documents_missing_from_the_corpus_are_counted_as_not_found():
    result = retrieval(TableEncoder(TABLE), QUERIES, CORPUS, {"q1": {"d1": 1, "gone": 1}})
    assert result.missing_documents == 1
    assert result.recall_at[10] == 0.5


def test_a_document_with_the_id_of_its_query_can_be_left_out():
    queries, corpus = {"x": "east"}, {"x": "east", "y": "east-ish"}
    qrels = {"x": {"y": 1}}
    encoder = TableEncoder(TABLE)
    assert retrieval(encoder, queries, corpus, qrels).mrr_at_10 == 0.5
    assert retrieval(encoder, queries, corpus, qrels, skip_same_id=True).mrr_at_10 == 1


def test_rank_returns_k_ids_also_where_one_is_left_out():
    vectors = np.eye(3, dtype=np.float32)
    ids = ["a", "b", "c"]
    assert rank(vectors, vectors, ids, ids, k=2, skip_same_id=True)["b"] == ["a", "c"]


def test_score_ranking_takes_any_order():
    result = score_ranking({"q": ["b", "a"]}, {"q": {"a": 1}}, documents=["a", "b"])
    assert result.mrr_at_10 == 0.5


@pytest.mark.parametrize(
    ("corpus", "qrels", "message"),
    [
        ({}, {"q1": {"d1": 1}}, "corpus is empty"),
        (CORPUS, {"q1": {"d1": 0}}, "no query has a relevant"),
        (CORPUS, {"q9": {"d1": 1}}, "'q9' is judged but has no text"),
    ],
)
def test_retrieval_without_anything_to_find_is_an_error(corpus, qrels, message):
    with pytest.raises(DataError, match=message):
        retrieval(TableEncoder(TABLE), QUERIES, corpus, qrels)
