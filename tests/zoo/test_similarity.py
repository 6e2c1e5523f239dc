import numpy as np
import pytest
from tiny_encoder import tiny_encoder

from textzoo import similarity as similarity_module
from textzoo.errors import TextInputError
from textzoo.settings import SIMILARITIES
from textzoo.similarity import similarity_matrix, similarity_pairs

RANDOM = np.random.default_rng(0)
A = RANDOM.normal(size=(7, 5)).astype(np.float32)
B = RANDOM.normal(size=(4, 5)).astype(np.float32)

every_kind = pytest.mark.parametrize("kind", SIMILARITIES)


def by_hand(a, b, kind):
    a, b = a.astype(np.float64), b.astype(np.float64)
    if kind == "cosine":
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    if kind == "dot":
        return a @ b
    return -np.linalg.norm(a - b, ord={"euclidean": 2, "manhattan": 1}[kind])


@every_kind
def test_similarities_are_those_worked_out_one_by_one(kind):
    expected = [[by_hand(a, b, kind) for b in B] for a in A]
    result = similarity_matrix(A, B, kind)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, atol=1e-5)
    np.testing.assert_allclose(similarity_pairs(A[:4], B, kind), np.diag(expected), atol=1e-5)


@every_kind
def test_blocks_do_not_change_the_result(kind, monkeypatch):
    whole = similarity_matrix(A, B, kind)
    monkeypatch.setattr(similarity_module, "_BLOCK_CELLS", 15)
    np.testing.assert_allclose(similarity_matrix(A, B, kind), whole, atol=1e-6)


def test_near_vectors_of_large_norm_have_exact_distances():
    a = np.full((1, 4), 1000, np.float32)
    b = a + np.float32([0.5, 0, 0, 0])
    np.testing.assert_allclose(similarity_matrix(a, b, "euclidean"), [[-0.5]], atol=1e-6)


def test_a_zero_vector_is_at_cosine_zero():
    assert similarity_matrix(np.zeros((1, 5), np.float32), B, "cosine").tolist() == [[0, 0, 0, 0]]


@every_kind
def test_an_encoder_compares_as_its_settings_say(kind):
    encoder = tiny_encoder(similarity=kind)
    texts = ["the fox", "a dog", "café"]
    vectors = encoder.encode(texts)
    expected = similarity_matrix(vectors, vectors[:2], kind)
    for a, b in ((texts, texts[:2]), (vectors, texts[:2]), (vectors.tolist(), vectors[:2])):
        np.testing.assert_allclose(encoder.similarity(a, b), expected, atol=1e-5)
    pairs = encoder.similarity_pairwise(texts[:2], vectors[1:])
    np.testing.assert_allclose(pairs, similarity_pairs(vectors[:2], vectors[1:], kind), atol=1e-5)


def test_one_text_or_vector_counts_as_a_list():
    encoder = tiny_encoder()
    assert encoder.similarity("the fox", "a dog").shape == (1, 1)
    assert encoder.similarity(encoder.encode("the fox"), ["a", "b"]).shape == (1, 2)


def test_half_precision_vectors_are_compared_in_float32():
    half = A.astype(np.float16)
    result = tiny_encoder().similarity(half, half)
    assert result.dtype == np.float32
    assert len(np.unique(result)) > 20


def test_widths_and_counts_that_differ_are_refused():
    encoder = tiny_encoder()
    with pytest.raises(TextInputError, match="width 5 and 3"):
        encoder.similarity(A, A[:, :3])
    with pytest.raises(TextInputError, match="7 and 4 vectors"):
        encoder.similarity_pairwise(A, B)
    with pytest.raises(TextInputError, match=r"a has shape \(1, 7, 5\)"):
        encoder.similarity(A[None], B)
    with pytest.raises(TextInputError, match=r"texts\[1\] is NoneType"):
        encoder.similarity(["a", None], B)
