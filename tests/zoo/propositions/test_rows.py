import json

import pytest

from textzoo.errors import DataError
from textzoo.propositions import (
    ClaimPair,
    annotated_pairs,
    entailment_pairs,
    rows_of,
    split_pairs,
)
from textzoo.propositions.prop_segment import read_entailments, read_sentences


def said(row, side):
    text = row[f"sentence{side}"]
    return [" ".join(text[a:b] for a, b in claim) for claim in row[f"spans{side}"]]


def write_tsv(path, header, *rows):
    path.write_text("\n".join("\t".join(row) for row in (header, *rows)) + "\n", encoding="utf-8")
    return path


def pair(sentence1, sentence2, same, claims=2, source="x"):
    spans = tuple(((2 * i, 2 * i + 1),) for i in range(claims))
    return ClaimPair(
        sentence1=sentence1, claims1=spans, sentence2=sentence2, claims2=spans, same=same,
        source=source, origin="here",
    )  # fmt: skip


def test_claims_that_a_chain_connects_share_a_label():
    rows = list(rows_of([pair("a b", "c d", [(0, 1)]), pair("c d", "e f", [(1, 0)])]))
    assert rows[0]["labels1"][0] == rows[0]["labels2"][1] == rows[1]["labels2"][0]
    assert rows[0]["labels2"] == rows[1]["labels1"]
    labels = {label for row in rows for side in "12" for label in row[f"labels{side}"]}
    assert len(labels) == 4 and all(label.startswith("x:") for label in labels)
    assert rows[0]["origin"] == "here" and rows[0]["source"] == "x"


def test_pairs_without_equal_claims_or_with_too_many_are_left_out():
    assert list(rows_of([pair("a b", "c d", [])])) == []
    assert list(rows_of([pair("a b c", "d e f", [(0, 0)], claims=3)], max_spans=2)) == []


def test_a_split_sentence_has_the_claims_of_its_parts(tmp_path):
    path = write_tsv(
        tmp_path / "tune.tsv", ("sentence", "part1", "part2"),
        ("He was ill , so he left early .", "He was ill .", "He left early ."),
        ("Nothing fits .", "Cats sleep .", "Dogs bark ."),
        ("He was ill .", "He was ill .", "He was very ill ."),
    )  # fmt: skip
    (row,) = rows_of(split_pairs(path))
    assert said(row, 1) == ["He was ill", "he left early"]
    assert row["sentence2"] == "He was ill . He left early ."
    assert said(row, 2) == ["He was ill .", "He left early ."]
    assert row["labels1"] == row["labels2"] and len(set(row["labels1"])) == 2
    assert row["origin"] == "tune.tsv:2"


def test_an_entailed_sentence_is_one_claim_of_its_premise(tmp_path):
    path = write_tsv(
        tmp_path / "train.tsv", ("premise", "hypothesis", "label", "source"),
        ("Mary slept, and Tom, who was a cook, left.", "Tom left.", "entailment", "mnli"),
        ("Mary slept.", "A woman was resting.", "entailment", "mnli"),
        ("Mary slept, and Tom left.", "Nobody spoke.", "entailment", "mnli"),
        ("Mary slept.", "Mary left.", "contradiction", "mnli"),
        ("Who slept?", "Mary slept.", "entailment", "qnli"),
    )  # fmt: skip
    first, second = rows_of(entailment_pairs(path))
    assert said(first, 1)[0] == "Tom left" and "Tom was a cook" in said(first, 1)
    assert said(first, 2) == ["Tom left."]
    assert first["labels2"] == first["labels1"][:1]
    assert first["source"] == "nli_mnli" and first["origin"] == "train.tsv:2"
    assert said(second, 1) == ["Mary slept"] and second["labels1"] == second["labels2"]


@pytest.fixture
def annotated(tmp_path):
    def sentence(document, text, *propositions, topic="t"):
        tokens = text.split()
        starts = [sum(len(t) + 1 for t in tokens[:i]) for i in range(len(tokens))]
        return {
            "cluster_id": topic, "document_id": document, "sentence_index": 0, "sentence": text,
            "tokens": tokens, "token_offsets": starts,
            "reference_propositions": [list(p) for p in propositions] or None,
        }  # fmt: skip

    def response(index, *words, relationship="RELATIONSHIP_ENTAILS"):
        premise = {"sentence_index": index, "proposition": {"token_indices": list(words)}}
        return {"relationship": relationship, "premise": premise if words else None}

    sentences = [
        sentence("a", "He was ill , so he left early", (0, 1, 2), (5, 6, 7)),
        sentence("b", "The man left early in May", (0, 1, 2, 3), (0, 1, 2, 4, 5)),
        sentence("c", "Nothing here", topic="u"),
    ]
    entailments = [
        {
            "premise_document_id": "a", "hypothesis_document_id": "b", "sentence_index": 0,
            "token_indices": [0, 1, 2, 3],
            "responses": [response(0, 5, 6, 7), response(0, 6, 7), response(0)],
        },
        {
            "premise_document_id": "a", "hypothesis_document_id": "b", "sentence_index": 0,
            "token_indices": [0, 1, 2, 4, 5],
            "responses": [response(0, 5, 6), response(0, relationship="RELATIONSHIP_NEITHER")],
        },
    ]  # fmt: skip
    for name, rows in (("segmentation", sentences), ("entailment", entailments)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{name}.dev.jsonl").write_text(text, encoding="utf-8")
    return tmp_path


def test_annotations_become_sentences_and_entailments(annotated):
    sentences = read_sentences(annotated / "segmentation.dev.jsonl")
    assert [item.document for item in sentences] == ["a", "b"]
    pieces = sentences[1].pieces((0, 1, 2, 4, 5))
    assert [sentences[1].text[a:b] for a, b in pieces] == ["The man left", "in May"]
    (entailment,) = read_entailments(annotated / "entailment.dev.jsonl")
    assert entailment.words == (0, 1, 2, 3)
    assert entailment.premises == (("a", 0, (5, 6, 7)), ("a", 0, (6, 7)))
    assert len(read_entailments(annotated / "entailment.dev.jsonl", agreement=1)) == 2


def test_annotated_entailments_are_pairs_of_sentences(annotated):
    (row,) = rows_of(annotated_pairs(annotated))
    assert said(row, 1) == ["The man left early", "The man left in May"]
    assert said(row, 2) == ["He was ill", "he left early"]
    assert row["labels1"][0] == row["labels2"][1]
    assert len({*row["labels1"], *row["labels2"]}) == 3
    assert list(rows_of(annotated_pairs(annotated, topics=["u"]))) == []


def test_offsets_that_do_not_fit_are_named(annotated):
    path = annotated / "segmentation.dev.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace("[0, 3,", "[0, 2,"), encoding="utf-8")
    with pytest.raises(DataError, match="token_offsets do not fit the sentence 'He was ill"):
        read_sentences(path)


def test_rows_are_what_training_reads(annotated):
    from tiny_encoder import tiny_tokenizer

    from textzoo.trainers.data import Column, TextData

    rows = [json.loads(json.dumps(row)) for row in rows_of(annotated_pairs(annotated))]
    columns = [
        Column(name=f"sentence{n}", spans=f"spans{n}", span_labels=f"labels{n}") for n in "12"
    ]
    data = TextData(rows, tiny_tokenizer(), columns=columns, batch_size=1)
    stream = data.stream()
    batch = next(stream).batch
    stream.close()
    assert [(labels >= 0).sum() for labels in batch.span_labels] == [2, 2]
