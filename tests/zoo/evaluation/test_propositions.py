import json

import numpy as np
import pytest
from tiny_encoder import tiny_encoder

from textzoo.errors import ConfigError, DataError
from textzoo.evaluation import (
    PropositionData,
    evaluate,
    proposition_retrieval,
    read_task,
)
from textzoo.late_interaction import score_tokens, span_tokens
from textzoo.spans import SpanVectors

TEXTS = ["ab cd", "ab ef", "gh ab", "cd"]
FIRST, SECOND = ((0, 2),), ((3, 5),)
DATA = PropositionData(
    texts=TEXTS, documents=["x", "x", "y", "y"],
    claims=[(0, FIRST), (0, SECOND), (1, FIRST), (2, SECOND), (2, FIRST), (3, FIRST)],
    relevant={0: frozenset([2, 3]), 1: frozenset([5]), 5: frozenset([1])},
)  # fmt: skip


class Table:
    """Gives claims the vectors of a table, by text and span."""

    def __init__(self, vectors, lost=()):
        self.vectors, self.lost = vectors, lost

    def encode_propositions(self, texts, spans):
        results = []
        for text, of_text in zip(texts, spans, strict=True):
            names = [(text, pieces) for pieces in of_text]
            rows = np.array([self.vectors[name] for name in names], np.float32)
            kept = np.array([name not in self.lost for name in names])
            results.append(SpanVectors(rows, kept, ~kept))
        return results


VECTORS = {
    ("ab cd", FIRST): [1, 0], ("ab cd", SECOND): [0.8, 0.6],
    ("ab ef", FIRST): [0.6, 0.8], ("gh ab", SECOND): [-1, 0.1],
    ("gh ab", FIRST): [0, 1], ("cd", FIRST): [0.8, 0.61],
}  # fmt: skip


def test_shares_by_hand():
    """Nearest: of 0 it is 1 or 5 (a sibling, then another), of 1 it is 5, and of 5 it is 1."""
    found = proposition_retrieval(Table(VECTORS), DATA)
    assert found.precision_at_1 == pytest.approx(2 / 3)
    # Of 0: 1, 5, 2, 4, 3 in this order; all answers are among five.
    assert found.recall_at == {5: 1.0, 10: 1.0, 20: 1.0}
    # Within: 0 in x (1 before 2: no), 0 in y (5, 4, 3: no), 1 in y (yes), 5 in x (yes).
    assert found.within_precision_at_1 == pytest.approx(2 / 4)
    assert found.within_recall_at_5 == 1
    assert found.sibling_cosine == pytest.approx((0.8 + 0.1 / np.hypot(1, 0.1)) / 2, abs=1e-6)
    cosine = (0.8 * 0.8 + 0.6 * 0.61) / np.hypot(0.8, 0.61)
    same = [0.6, -1 / np.hypot(1, 0.1), cosine, cosine]
    assert found.same_cosine == pytest.approx(np.mean(same), abs=1e-6)
    assert (found.queries, found.claims, found.texts, found.lost) == (3, 6, 4, 0)
    assert found.maxsim_precision_at_1 is None


def test_claims_that_are_lost_are_neither_asked_for_nor_found():
    found = proposition_retrieval(Table(VECTORS, lost={("cd", FIRST)}), DATA)
    assert (found.queries, found.lost) == (2, 1)
    assert found.precision_at_1 == 0
    assert found.recall_at[5] == pytest.approx((1 + 0) / 2)


def test_only_one_query_at_a_time_changes_nothing(monkeypatch):
    plain = proposition_retrieval(Table(VECTORS), DATA)
    monkeypatch.setattr("textzoo.evaluation.propositions._BLOCK_SCORES", 1)
    assert proposition_retrieval(Table(VECTORS), DATA) == plain


def test_maxsim_compares_the_tokens_of_the_same_claims():
    encoder = tiny_encoder(layers=1)
    texts = ["the fox jumps", "a lazy fox", "cats are pets"]
    claims = [(0, ((4, 7),)), (0, ((8, 13),)), (1, ((7, 10),)), (2, ((0, 4), (9, 13)))]
    data = PropositionData(
        texts=texts, documents=list("abc"), claims=claims, relevant={0: frozenset([2])}
    )
    found = proposition_retrieval(encoder, data)
    tokens = encoder.encode_tokens(texts)
    parts = [span_tokens(tokens[text], [pieces])[0] for text, pieces in claims]
    scores = score_tokens(parts[:1], parts)[0]
    assert found.maxsim_precision_at_1 == float(np.argmax(scores[1:]) == 1)
    assert found.maxsim_recall_at_5 == found.maxsim_within_recall_at_5 == 1


@pytest.fixture
def rows(tmp_path):
    lines = [
        {"text": "ab cd", "document": "x", "spans": [[0, 2], [[3, 5]]], "labels": ["p", 1]},
        {"text": "ab ef", "document": 7, "spans": [[0, 2], [[0, 1], [3, 5]]], "labels": ["p", 2]},
        {"text": "gh", "document": "y", "spans": [], "labels": []},
    ]
    path = tmp_path / "dev.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_rows_of_your_own(rows):
    for data in (read_task("propositions", rows), read_task("propositions", rows.parent, "dev")):
        assert data.texts == ["ab cd", "ab ef", "gh"]
        assert data.documents == ["x", "7", "y"]
        assert data.claims[3] == (1, ((0, 1), (3, 5)))
        assert data.relevant == {0: {2}, 2: {0}}
        assert [len(spans) for spans in data.spans] == [2, 2, 0]


def test_annotated_documents(tmp_path):
    def sentence(document, text, *propositions):
        tokens = text.split()
        starts = [len(" ".join(tokens[:i])) + bool(i) for i in range(len(tokens))]
        return {
            "cluster_id": "t", "document_id": document, "sentence_index": 0, "sentence": text,
            "tokens": tokens, "token_offsets": starts, "reference_propositions": propositions,
        }  # fmt: skip

    premise = {"sentence_index": 0, "proposition": {"token_indices": [5, 6]}}
    far = {"sentence_index": 0, "proposition": {"token_indices": [3, 4]}}
    entails = "RELATIONSHIP_ENTAILS"
    entailment = {
        "premise_document_id": "a", "hypothesis_document_id": "b", "sentence_index": 0,
        "token_indices": [0, 1, 2, 3],
        "responses": [{"relationship": entails, "premise": p} for p in (premise, premise, far)],
    }  # fmt: skip
    files = {
        "segmentation": [
            sentence("a", "He was ill , so he left early", [0, 1, 2], [5, 6, 7]),
            sentence("b", "The man left early in May", [0, 1, 2, 3], [0, 1, 2, 4, 5]),
        ],
        "entailment": [entailment],
    }
    for name, lines in files.items():
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (tmp_path / f"{name}.dev.jsonl").write_text(text, encoding="utf-8")
    data = read_task("propsegment", tmp_path, "dev")
    # The premise is nearly one of the sentence's claims; what is like none of them is one more.
    assert len(data.claims) == 5 and data.relevant == {2: {1, 4}}
    text, pieces = data.claims[4]
    assert [data.texts[text][a:b] for a, b in pieces] == [", so"]
    with pytest.raises(DataError, match=r"has no segmentation\.test\.jsonl.*it holds: entailment"):
        read_task("propsegment", tmp_path, "test")


def test_what_cannot_be_measured_is_named(rows, tmp_path):
    with pytest.raises(ConfigError, match="list has no encode_propositions"):
        evaluate([], "propositions", rows)
    with pytest.raises(DataError, match="nothing to ask for"):
        proposition_retrieval(
            Table({}), PropositionData(texts=[], documents=[], claims=[], relevant={})
        )
    path = tmp_path / "one.jsonl"
    path.write_text(rows.read_text(encoding="utf-8").splitlines()[0], encoding="utf-8")
    with pytest.raises(DataError, match="no label stands in two rows"):
        read_task("propositions", path)
    path.write_text('{"text": "a", "document": "x", "spans": [[0, 1]], "labels": []}')
    with pytest.raises(DataError, match="1 spans and 0 labels"):
        read_task("propositions", path)


def test_noise_is_not_for_claims(rows):
    from textzoo.evaluation import noise_curve
    from textzoo.noise import CharacterNoise

    with pytest.raises(ConfigError, match="mistakes are not made in PropositionData"):
        noise_curve(Table({}), read_task("propositions", rows), {"edits": CharacterNoise()})
