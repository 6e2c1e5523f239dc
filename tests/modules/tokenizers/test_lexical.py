import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textzoo.modules import LexicalTokenizer, Tokenizer
from textzoo.modules.tokenizers.fingerprint import tokenizer_fingerprint
from textzoo.modules.tokenizers.lexical import FEATURES
from textzoo.modules.tokenizers.murmur import hash_number, hash_string
from textzoo.modules.tokenizers.word_spans import find_words

# From spaCy and thinc, by tests/golden/make_multi_hash.py.
GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "lexical.json").read_text("utf-8"))
WORDS = GOLDEN["words"]


def words_of(text, **options):
    return find_words([text], max_words=100, **options).words()


@pytest.mark.parametrize("word", WORDS)
def test_hashes_and_features_of_a_word_are_spacys(word):
    expected = WORDS[word]
    assert hash_string(word) == expected["hash"]
    found = [list(hash_number(expected["hash"], seed)) for seed in GOLDEN["seeds"]]
    assert found == expected["hashes"]
    assert [feature(word) for feature in FEATURES.values()] == expected["features"]


def test_units_are_the_hashes_of_each_feature_with_the_seeds_from_eight_on():
    units = LexicalTokenizer(features=["shape", "norm"])(["Hello"]).units.view(np.uint32)
    expected = [*hash_number(hash_string("Xxxxx"), 8), *hash_number(hash_string("hello"), 9)]
    assert units.tolist() == expected


def test_units_are_the_same_in_another_process():
    text = "Der Fuchs 😀 e\u0301"
    code = (
        "from textzoo.modules import LexicalTokenizer\n"
        f"print(LexicalTokenizer()([{text!r}]).units.tolist())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(other.stdout) == LexicalTokenizer()([text]).units.tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, world!", ["Hello", ",", "world", "!"]),
        ("don't 'quote' rock'n'roll '", ["don't", "'", "quote", "'", "rock'n'roll", "'"]),
        ("o''clock s’", ["o", "'", "'", "clock", "s", "’"]),
        ("e\u0301té नमस्ते a_b", ["e\u0301té", "नमस्ते", "a_b"]),
        ("👩\u200d👩 3.14\n\t.", ["👩", "\u200d", "👩", "3", ".", "14", "."]),
        ("", []),
        (" \u3000\n", []),
    ],
)
def test_words_are_runs_of_letters_and_single_signs(text, expected):
    assert words_of(text) == expected


def test_words_between_spaces_keep_their_signs():
    assert words_of(" Hello,\u00a0world! ", split="spaces") == ["Hello,", "world!"]


def test_lower_case_is_made_letter_by_letter():
    assert words_of("ÀB İx ΑΣ", lowercase=True) == ["àb", "İx", "ασ"]
    assert words_of("AB", lowercase=True) == ["ab"]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5))
def test_offsets_cut_every_text_into_its_words(texts):
    spans = find_words(texts, max_words=3)
    words, offsets = spans.words(), spans.offsets
    for row, text in enumerate(texts):
        own = slice(*spans.starts[row : row + 2])
        assert [text[a:b] for a, b in offsets[own].tolist()] == words[own]
        alone = words_of(text)
        assert words[own] == alone[:3] and spans.truncated[row] == (len(alone) > 3)
        assert "".join(alone) == "".join(text.split())


def test_many_texts_are_tokenized_in_pieces_with_the_same_result():
    tokenizer = LexicalTokenizer(max_length=4)
    texts = [f"Word {number} of some, more" for number in range(3000)]
    tokenized = tokenizer(texts, return_offsets=True)
    assert len(tokenized) == 3000 and tokenized.truncated.all()
    one = tokenizer(texts[2999:], return_offsets=True)
    np.testing.assert_array_equal(tokenized.select(np.array([2999])).units, one.units)
    np.testing.assert_array_equal(tokenized.offsets_of(2999), one.offsets)


def test_ids_are_of_the_norm():
    ids = LexicalTokenizer(vocab_size=50)(["Hello hello HELLO other"]).ids
    assert len(set(ids[:3].tolist())) == 1 and ids.max() < 50


def test_options_change_the_fingerprint_and_are_kept_when_the_length_changes():
    tokenizer = LexicalTokenizer(features=("norm", "shape"), vocab_size=9)
    assert isinstance(tokenizer, Tokenizer)
    assert tokenizer_fingerprint(tokenizer) != tokenizer_fingerprint(LexicalTokenizer(vocab_size=9))
    changed = tokenizer.with_options(max_length=2)
    assert (changed.max_length, changed.features, changed.vocab_size) == (2, ("norm", "shape"), 9)


def test_bad_input_is_explained():
    with pytest.raises(ValueError, match="lone surrogate"):
        LexicalTokenizer()(["fine", "a \ud800"])
    with pytest.raises(TypeError, match="expected str"):
        LexicalTokenizer()([b"bytes"])
    for options in ({"max_length": 0}, {"vocab_size": 0}, {"features": "norm"}, {"features": []},
                    {"features": ["lemma"]}):  # fmt: skip
        with pytest.raises(ValueError, match="use 1 or more|give a list of some of norm"):
            LexicalTokenizer(**options)
