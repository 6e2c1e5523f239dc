"""MaxSim and BERTScore on what encode_tokens returns."""

from pathlib import Path

import numpy as np
import pytest
from tiny_encoder import tiny_encoder
from tiny_models import write_tiny_model

import textzoo
from textzoo.errors import TextInputError
from textzoo.late_interaction import (
    TokenWeights,
    _blocks,
    bert_score,
    score_tokens,
    search_tokens,
    span_tokens,
)
from textzoo.spans import TokenVectors

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "late_interaction.npz")


def make_tokens(vectors, numbers=None) -> TokenVectors:
    """Tokens of one letter each."""
    numbers = range(len(vectors)) if numbers is None else numbers
    text = "".join(chr(ord("a") + number) for number in numbers)
    starts = np.arange(len(vectors))
    return TokenVectors(
        text, np.asarray(vectors, np.float32), np.stack([starts, starts + 1], 1).astype(np.int64)
    )


def golden_tokens(name) -> list[TokenVectors]:
    masks = GOLDEN[f"{name}_mask"]
    return [make_tokens(rows[mask]) for rows, mask in zip(GOLDEN[name], masks, strict=True)]


QUERIES, DOCUMENTS = golden_tokens("queries"), golden_tokens("documents")
NOTHING = make_tokens(np.zeros((0, 6)))


@pytest.mark.parametrize("cells", [1, 100, 1 << 24])
def test_scores_equal_those_of_sentence_transformers_in_blocks_of_any_size(monkeypatch, cells):
    monkeypatch.setattr("textzoo.late_interaction._BLOCK_CELLS", cells)
    np.testing.assert_allclose(
        score_tokens(QUERIES, DOCUMENTS), GOLDEN["scores"], rtol=1e-5, atol=1e-6
    )


def test_lengths_count_only_when_they_are_meant_to():
    longer = [make_tokens(3 * item.vectors) for item in DOCUMENTS]
    np.testing.assert_allclose(score_tokens(QUERIES, longer), GOLDEN["scores"], rtol=1e-5)
    plain = score_tokens(QUERIES, DOCUMENTS, normalize=False)
    np.testing.assert_allclose(score_tokens(QUERIES, longer, normalize=False), 3 * plain, rtol=1e-5)


def test_texts_without_tokens_are_scored_and_found_last():
    scores = score_tokens([QUERIES[0], NOTHING], [NOTHING, *DOCUMENTS])
    np.testing.assert_allclose(scores[0, 1:], GOLDEN["scores"][0], rtol=1e-5)
    assert (scores[:, 0] == -np.inf).all() and (scores[1, 1:] == 0).all()
    found = search_tokens([QUERIES[0]], [NOTHING, *DOCUMENTS])
    assert found.indices[0, -1] == 0
    assert score_tokens([], DOCUMENTS).shape == (0, 4)
    assert score_tokens([NOTHING], [NOTHING])[0, 0] == -np.inf


def test_search_is_the_order_of_the_scores():
    found = search_tokens(QUERIES, DOCUMENTS, k=2)
    np.testing.assert_array_equal(found.indices, np.argsort(-GOLDEN["scores"], axis=1)[:, :2])
    np.testing.assert_allclose(found.scores, -np.sort(-GOLDEN["scores"], axis=1)[:, :2], rtol=1e-5)
    # Many, because sorts that do not keep the order keep it for few.
    same = search_tokens(QUERIES[:1], [DOCUMENTS[1], DOCUMENTS[0]] * 40, k=80)
    assert (np.diff(same.indices[0, :40]) == 2).all() and (np.diff(same.indices[0, 40:]) == 2).all()


def test_blocks_hold_no_more_tokens_than_they_may():
    # Lengths 5, 2, 7 and 1; a text of 7 stands alone in a block of 6.
    assert list(_blocks(DOCUMENTS, [0, 1, 2, 3], 7)) == [[0, 1], [2], [3]]
    assert list(_blocks(DOCUMENTS, [1, 2, 3], 6)) == [[1], [2], [3]]
    assert list(_blocks(DOCUMENTS, [0, 3, 1], 8)) == [[0, 3, 1]]
    assert list(_blocks(DOCUMENTS, [0, 1, 3], 7)) == [[0, 1], [3]]
    assert list(_blocks(DOCUMENTS, [2, 0, 1], 7)) == [[2], [0, 1]]


@pytest.mark.parametrize("name", ["plain", "idf"])
def test_bert_score_equals_the_formula_of_its_code(name):
    candidates, references = (
        [make_tokens(v, t) for v, t in zip(GOLDEN["texts"][i], GOLDEN["tokens"][i], strict=True)]
        for i in range(2)
    )
    weights = TokenWeights.fit(references) if name == "idf" else None
    result = bert_score(candidates, references, weights=weights)
    np.testing.assert_allclose(np.stack(result), GOLDEN[f"bert_score_{name}"], rtol=1e-5)
    # Each side at the other's place: precision and recall change places.
    turned = bert_score(references, candidates, weights=weights)
    np.testing.assert_allclose(turned.precision, result.recall, rtol=1e-6)
    rescaled = bert_score(candidates, references, weights=weights, baseline=0.5)
    np.testing.assert_allclose(rescaled.f1, (result.f1 - 0.5) / 0.5, rtol=1e-4, atol=1e-6)


def test_bert_score_of_nothing_is_zero():
    result = bert_score([NOTHING, QUERIES[0]], [QUERIES[0], NOTHING])
    np.testing.assert_array_equal(np.stack(result), 0)


def test_unseen_tokens_weigh_the_most():
    weights = TokenWeights.fit([make_tokens(np.ones((2, 2)), [0, 1]), make_tokens(np.ones((1, 2)))])
    # Of two references both have a, one has b: log(3 / 3), log(3 / 2), log(3 / 1).
    np.testing.assert_allclose(
        weights.of(make_tokens(np.ones((3, 2)))), np.log([1, 1.5, 3]), rtol=1e-12
    )


def test_an_encoder_finds_documents_by_their_tokens(tmp_path):
    encoder = textzoo.load(write_tiny_model(tmp_path))
    texts = ["the red truck", "the cat sat", "a dog"]
    tokens = encoder.encode_tokens(texts)
    found = search_tokens(encoder.encode_tokens(["kitten", "truck"]), tokens, k=1)
    assert found.indices[:, 0].tolist() == [1, 0]
    assert bert_score(tokens, tokens).f1 == pytest.approx([1, 1, 1])


def test_bad_calls_are_refused():
    narrow = make_tokens(np.ones((1, 3)))
    with pytest.raises(TextInputError, match="width 6 and 3"):
        score_tokens(QUERIES, [narrow])
    with pytest.raises(TextInputError, match="width 6 and 3"):
        bert_score(QUERIES[:1], [narrow])
    with pytest.raises(TextInputError, match="k=0"):
        search_tokens(QUERIES, DOCUMENTS, k=0)
    with pytest.raises(TextInputError, match="3 candidates for 4 references"):
        bert_score(QUERIES, DOCUMENTS)


def test_spans_are_compared_by_their_tokens_in_the_context_of_all():
    encoder = tiny_encoder(layers=1)
    texts = ["the quick fox jumps over the lazy dog", "a lazy dog and the fox"]
    first, second = encoder.encode_tokens(texts)
    spans = [(4, 13), [(0, 3), (24, 36)], (3, 4)]
    chosen = span_tokens(first, spans)
    said = ["".join(item.tokens) for item in chosen]
    assert said == ["quickfox", "thethelazydog"[: len(said[1])], ""]
    (whole,) = span_tokens(second, [(0, len(texts[1]))])
    np.testing.assert_array_equal(whole.vectors, second.vectors)
    found = score_tokens(chosen, [second, *span_tokens(second, [(2, 10)])])
    for row, item in enumerate(chosen[:2]):
        a = item.vectors / np.linalg.norm(item.vectors, axis=1, keepdims=True)
        b = second.vectors / np.linalg.norm(second.vectors, axis=1, keepdims=True)
        np.testing.assert_allclose(found[row, 0], (a @ b.T).max(axis=1).sum(), rtol=1e-5)
        inside = (second.offsets[:, 0] < 10) & (second.offsets[:, 1] > 2)
        np.testing.assert_allclose(found[row, 1], (a @ b[inside].T).max(axis=1).sum(), rtol=1e-5)
    assert (found[2] == 0).all()
    with pytest.raises(TextInputError, match="does not lie within its text"):
        span_tokens(first, [(0, 99)])
