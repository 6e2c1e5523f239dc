import collections
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textzoo.errors import ConfigError
from textzoo.phrases import (
    CHANGES,
    PHRASE_TYPES,
    PhraseAugmentation,
    augmented_rows,
    paraphrase_rows,
    paraphrases_of,
    phrase_type,
    read_pairs,
    read_synonyms,
)
from textzoo.phrases.augmentation import edit_character


def only(change, **options):
    shares = tuple(float(change == name) for name in CHANGES)
    return PhraseAugmentation(shares=shares, **options)


def test_each_granularity_changes_what_it_says():
    words = only("synonym", synonyms={"active": ["busy"]})
    assert words("play an Active role") == "play an busy role"
    whole = only("paraphrase", paraphrases={"take part": ["join in"]})
    assert (whole("take part"), whole("take parts")) == ("join in", "take parts")
    assert only("order")("one two") == "two one"
    assert only("none")("one two") == "one two"
    edited = only("character")("active")
    assert edited != "active" and abs(len(edited) - 6) <= 1


def test_changes_are_drawn_as_often_as_shares_say():
    augmentation = PhraseAugmentation(paraphrases={"a b": ["P"]}, synonyms={"a": ["S"]})
    found = collections.Counter(augmentation("a b", copy=copy) for copy in range(4000))
    assert found["P"] / 4000 == pytest.approx(0.5, abs=0.04)
    assert found["S b"] / 4000 == pytest.approx(0.3, abs=0.04)
    assert found["b a"] / 4000 == pytest.approx(0.05, abs=0.02)


def test_the_same_seed_copy_and_phrase_make_the_same_change():
    first, second = only("character", seed=3), only("character", seed=4)
    phrases = [f"phrase number {i}" for i in range(30)]
    assert [first(p) for p in phrases] == [first(p) for p in phrases[::-1]][::-1]
    assert [first(p) for p in phrases] != [second(p) for p in phrases]
    assert [first(p) for p in phrases] != [first(p, copy=1) for p in phrases]


def distance(a, b):
    """Damerau-Levenshtein with neighbors that change places."""
    table = np.zeros((len(a) + 1, len(b) + 1), int)
    table[:, 0], table[0] = range(len(a) + 1), range(len(b) + 1)
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            table[i, j] = min(
                table[i - 1, j] + 1,
                table[i, j - 1] + 1,
                table[i - 1, j - 1] + (a[i - 1] != b[j - 1]),
            )
            if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                table[i, j] = min(table[i, j], table[i - 2, j - 2] + 1)
    return table[-1, -1]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), st.integers(0, 99))
def test_an_edit_is_one_edit_and_leaves_something(phrase, seed):
    edited = edit_character(phrase, np.random.default_rng(seed))
    assert distance(phrase, edited) <= 1
    if any(character.isalnum() for character in phrase):
        assert any(character.isalnum() for character in edited)
    else:
        assert edited == phrase


@pytest.mark.parametrize("shares", [(1,), (0,) * 5, (1, 1, 1, 1, -1)])
def test_shares_that_are_none_are_refused(shares):
    with pytest.raises(ConfigError, match="shares="):
        PhraseAugmentation(shares=shares)


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("play an active role", "verb_other"), ("to leave", "verb_other"),
        ("Toshiki Kadomatsu", "noun_name"), ("in 1897", "preposition_number"),
        ("particularly", "adverb_other"), ("very comfortable", "adjective_other"),
        ("comfortable chair", "noun_other"), ("in", "noun_other"), ("", "noun_other"),
    ],
)  # fmt: skip
def test_types_of_phrases(phrase, expected):
    assert phrase_type(phrase) == expected
    assert expected in PHRASE_TYPES


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_text(
        "phrase1\tphrase2\tlabel\tppdb_score\na\tb\tpos\t1\na\tc\tneg\t\na\td\tpos\t2\n"
        "a\te\tneg\t\nx\ty\tpos\t3\nF\tg\tpos\t4\nf\th\tneg\t\nF\ti\tneg\t\n",
        encoding="utf-8",
    )
    return path


def test_paraphrases_are_triples_with_the_negatives_of_the_same_phrase(table):
    rows = list(paraphrase_rows(table))
    triples = [(row["phrase"], row["other"], row["negative"]) for row in rows]
    assert triples == [("a", "b", "c"), ("a", "d", "e"), ("F", "g", "i")]
    assert [row["origin"] for row in rows] == ["train.tsv:2", "train.tsv:4", "train.tsv:7"]
    assert {row["source"] for row in rows} == {"ppdb"}
    assert rows[0]["type"] == "noun_other"
    assert paraphrases_of(iter(rows))["a"] == ["b", "d"]
    assert paraphrases_of(iter(rows))["d"] == ["a"]


def test_pairs_that_are_measured_are_left_out_in_either_order_and_case(table, tmp_path):
    other = tmp_path / "dev.tsv"
    other.write_text("phrase1\tphrase2\tlabel\nG\tf\tpos\nD\tA\tneg\nc\ta\tneg\n", encoding="utf-8")
    rows = list(paraphrase_rows(table, exclude=read_pairs(other)))
    assert [(row["phrase"], row["other"], row["negative"]) for row in rows] == [("a", "b", "e")]


def test_augmented_rows_have_other_forms_of_phrases_and_of_look_alikes(tmp_path):
    path = tmp_path / "synonyms.tsv"
    path.write_text("word1\tword2\nbig\tlarge\nbig\thuge\n", encoding="utf-8")
    synonyms = read_synonyms(path)
    assert synonyms == {"big": ["large", "huge"], "large": ["big"], "huge": ["big"]}
    augmentation = only("synonym", synonyms=synonyms)
    rows = list(
        augmented_rows(
            {"big dog": "here:1", "cat": "here:2"}, augmentation, copies=2,
            negatives={"big dog": ["large hog", "fog"]},
        )
    )  # fmt: skip
    assert [(r["phrase"], r["negative"], r["negative_other"]) for r in rows] == [
        ("big dog", "large hog", "big hog"), ("big dog", "fog", "fog"),
    ]  # fmt: skip
    assert all(row["other"] in ("large dog", "huge dog") for row in rows)
    assert rows[0]["origin"] == "here:1"
    plain = list(augmented_rows({"cat": "here:2"}, augmentation))
    assert "negative" not in plain[0] and json.dumps(plain[0])
