import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_encoder import tiny_encoder

from textzoo.errors import TextInputError
from textzoo.modules import nearest as nearest_module
from textzoo.search import search
from textzoo.settings import SIMILARITIES
from textzoo.similarity import similarity_matrix

RANDOM = np.random.default_rng(0)
QUERIES = RANDOM.normal(size=(3, 6)).astype(np.float32)
CORPUS = RANDOM.normal(size=(50, 6)).astype(np.float32)


def sorted_fully(queries, corpus, k, kind):
    scores = similarity_matrix(queries, corpus, kind)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(scores, order, axis=1)


@pytest.mark.parametrize("kind", SIMILARITIES)
@pytest.mark.parametrize("cells", [1 << 24, 64])
def test_search_finds_what_sorting_everything_finds(kind, cells, monkeypatch):
    monkeypatch.setattr(nearest_module, "_SCORE_CELLS", cells)
    result = search(QUERIES, CORPUS, k=5, kind=kind)
    indices, scores = sorted_fully(QUERIES, CORPUS, 5, kind)
    np.testing.assert_array_equal(result.indices, indices)
    np.testing.assert_allclose(result.scores, scores, atol=1e-5)
    assert result.indices.dtype == np.int64 and result.scores.dtype == np.float32


@settings(max_examples=20)
@given(
    corpus=st.lists(st.integers(-1, 1), min_size=1, max_size=40),
    k=st.integers(1, 45),
    cells=st.sampled_from([1, 8, 1 << 20]),
)
def test_equal_scores_stand_in_the_order_of_the_corpus(corpus, k, cells):
    rows = np.array(corpus, np.float32)[:, None]
    old = nearest_module._SCORE_CELLS
    nearest_module._SCORE_CELLS = cells
    try:
        result = search(np.ones((1, 1), np.float32), rows, k=k, kind="dot")
    finally:
        nearest_module._SCORE_CELLS = old
    indices, _ = sorted_fully(np.ones((1, 1), np.float32), rows, k, "dot")
    assert result.indices.tolist() == indices.tolist()


def test_zero_and_minus_zero_are_equal_scores():
    queries, corpus = np.float32([[-1]]), np.float32([[0], [-0.0], [0], [-0.0]])
    assert search(queries, corpus, k=4, kind="dot").indices.tolist() == [[0, 1, 2, 3]]


def test_a_small_corpus_gives_all_of_its_rows():
    result = search(QUERIES, CORPUS[:4], k=10, kind="cosine")
    assert result.indices.shape == (3, 4)
    assert all(sorted(row) == [0, 1, 2, 3] for row in result.indices.tolist())


@pytest.mark.parametrize(("queries", "rows"), [(0, 50), (3, 0)])
def test_no_queries_or_no_corpus_give_an_empty_result(queries, rows):
    result = search(QUERIES[:queries], CORPUS[:rows], k=5, kind="dot")
    assert result.indices.shape == result.scores.shape == (queries, min(5, rows))


def test_vectors_with_nan_come_last():
    corpus = CORPUS[:5].copy()
    corpus[0] = np.nan
    result = search(QUERIES, corpus, k=5, kind="dot")
    assert (result.indices[:, -1] == 0).all()


def test_many_queries_are_searched_in_blocks(monkeypatch):
    whole = search(CORPUS, CORPUS, k=2, kind="dot")
    monkeypatch.setattr(nearest_module, "_QUERIES", 8)
    blocks = search(CORPUS, CORPUS, k=2, kind="dot")
    np.testing.assert_array_equal(blocks.indices, whole.indices)


def test_a_memory_mapped_half_precision_corpus_is_searched_without_loading_it(tmp_path):
    np.save(tmp_path / "corpus.npy", CORPUS.astype(np.float16))
    corpus = np.load(tmp_path / "corpus.npy", mmap_mode="r")
    result = search(QUERIES, corpus, k=3, kind="cosine")
    indices, _ = sorted_fully(QUERIES, CORPUS.astype(np.float16).astype(np.float32), 3, "cosine")
    np.testing.assert_array_equal(result.indices, indices)


def test_an_encoder_searches_texts_and_vectors():
    texts = ["the fox jumps", "stock markets fell", "a lazy dog"]
    encoder = tiny_encoder(prompts={"query": "query: ", "document": "passage: "})
    vectors = encoder.encode_document(texts)
    by_text = encoder.search("the fox", texts, k=2)
    by_vector = encoder.search(encoder.encode_query(["the fox"]), vectors, k=2)
    assert by_text.indices.shape == (1, 2) and len(by_text) == 1
    np.testing.assert_array_equal(by_text.indices, by_vector.indices)
    np.testing.assert_allclose(by_text.scores, by_vector.scores, atol=1e-6)


@pytest.mark.parametrize("k", [0, -3])
def test_k_below_one_is_refused(k):
    with pytest.raises(TextInputError, match=f"k={k}; ask for 1"):
        search(QUERIES, CORPUS, k=k, kind="dot")


def test_a_corpus_of_another_width_is_refused():
    with pytest.raises(TextInputError, match=r"shape \(50, 6\), expected \[N, 8\]"):
        tiny_encoder().search("the fox", CORPUS)
