import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from fake_encoders import TableEncoder

from textzoo.errors import ConfigError, WeightsError
from textzoo.evaluation import scoring
from textzoo.evaluation.scoring import encode_texts, pair_scores, similarity_of, top_k
from textzoo.settings import SIMILARITIES, EncoderSettings

A = np.array([[3, 4], [1, 0], [0, 0]], np.float32)
B = np.array([[4, 3], [0, 2], [1, 1]], np.float32)


@pytest.mark.parametrize(
    ("similarity", "expected"),
    [
        ("cosine", [24 / 25, 0, 0]),
        ("dot", [24, 0, 0]),
        ("euclidean", [-np.sqrt(2), -np.sqrt(5), -np.sqrt(2)]),
        ("manhattan", [-2, -3, -2]),
    ],
)
def test_pair_scores_by_hand(similarity, expected):
    np.testing.assert_allclose(pair_scores(A, B, similarity), expected, atol=1e-12)


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_top_k_agrees_with_sorting_all_pair_scores(similarity):
    generator = np.random.default_rng(0)
    queries = generator.normal(size=(7, 5)).astype(np.float32)
    corpus = generator.normal(size=(40, 5)).astype(np.float32)
    rows, scores = top_k(queries, corpus, 6, similarity)
    for query, found, values in zip(queries, rows, scores, strict=True):
        every = pair_scores(np.tile(query, (40, 1)), corpus, similarity)
        np.testing.assert_array_equal(found, np.argsort(-every)[:6])
        np.testing.assert_allclose(values, every[found], rtol=1e-4)


@hypothesis.given(st.lists(st.integers(0, 3), min_size=1, max_size=25), st.integers(1, 30))
def test_equal_scores_keep_the_order_of_the_corpus(values, k):
    corpus = np.array(values, np.float32)[:, None]
    rows, _ = top_k(np.ones((1, 1), np.float32), corpus, k, "dot")
    expected = sorted(range(len(values)), key=lambda row: (-values[row], row))[:k]
    np.testing.assert_array_equal(rows[0], expected)


def test_top_k_does_not_depend_on_the_block_size(monkeypatch):
    generator = np.random.default_rng(0)
    queries = generator.normal(size=(9, 4)).astype(np.float32)
    corpus = generator.normal(size=(20, 4)).astype(np.float32)
    whole, _ = top_k(queries, corpus, 5)
    monkeypatch.setattr(scoring, "_BLOCK_SCORES", 45)  # two queries at a time
    np.testing.assert_array_equal(top_k(queries, corpus, 5)[0], whole)


def test_equal_texts_are_encoded_once():
    encoder = TableEncoder({"a": [1, 0], "b": [0, 1]})
    vectors = encode_texts(encoder, ["b", "a", "b"], prompt=None, truncate_dim=2)
    np.testing.assert_array_equal(vectors, [[0, 1], [1, 0], [0, 1]])
    assert encoder.calls == [("encode", ["b", "a"], {"truncate_dim": 2})]


def test_vectors_with_nan_are_refused_with_the_text_that_has_them():
    encoder = TableEncoder({"good": [1, 0], "bad": [0, np.nan]})
    with pytest.raises(WeightsError, match="'bad' holds NaN"):
        encode_texts(encoder, ["good", "bad"])


def test_an_encoder_that_returns_another_shape_is_refused():
    class Flat:
        def encode(self, texts):
            return np.zeros(len(texts))

    with pytest.raises(ValueError, match=r"shape \(2,\); expected \(2, E\)"):
        encode_texts(Flat(), ["a", "b"])


def test_the_encoder_decides_how_it_is_compared_unless_told():
    class Dotted:
        settings = EncoderSettings(similarity="dot")

    assert similarity_of(Dotted(), None) == "dot"
    assert similarity_of(Dotted(), "cosine") == "cosine"
    assert similarity_of(object(), None) == "cosine"
    with pytest.raises(ConfigError, match="did you mean 'cosine'"):
        similarity_of(object(), "cosin")
