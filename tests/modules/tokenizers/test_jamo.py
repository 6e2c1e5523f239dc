"""Letters of Hangul and bytes as tokens."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textzoo.modules import JamoTokenizer
from textzoo.trainers.objectives.token_masking import Vocabulary

TOKENIZER = JamoTokenizer(max_length=1000)


def expected(text):
    """The ids of a text, one character after the other, as NFKD has it."""
    ids, places = [], []
    for place, character in enumerate(text):
        code = ord(character)
        hangul = 0xAC00 <= code <= 0xD7A3 or 0x1100 <= code < 0x1200 or 0x3130 <= code < 0x3190
        letters = unicodedata.normalize("NFKD", character) if hangul else ""
        if letters and all(0x1100 <= ord(letter) < 0x1200 for letter in letters):
            own = [ord(letter) - 0x1100 + 4 for letter in letters]
        else:
            own = [byte + 260 for byte in character.encode()]
        ids += own
        places += [place] * len(own)
    return ids, places


HANGUL = st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3)
LETTERS = st.characters(min_codepoint=0x3131, max_codepoint=0x318E)
ANY = st.characters(exclude_categories=["Cs"])


@given(st.text(st.one_of(HANGUL, LETTERS, ANY), max_size=20))
def test_ids_are_the_letters_of_nfkd_and_bytes_of_all_else_in_place(text):
    tokenized = TOKENIZER([text], return_offsets=True)
    ids, places = expected(text)
    assert tokenized.ids.tolist() == [1, *ids, 2]
    ends = np.array(places, np.int64).reshape(-1) + 1
    offsets = tokenized.offsets_of(0)[1:-1]
    np.testing.assert_array_equal(offsets[:, 1], ends)
    spaces = [text[place].isspace() for place in places]
    np.testing.assert_array_equal(offsets[:, 0], ends - 1 + np.array(spaces, bool))


@given(st.text(st.one_of(HANGUL, st.characters(max_codepoint=0x2FF)), max_size=20))
def test_texts_of_syllables_come_back(text):
    assert TOKENIZER.decode(TOKENIZER([text]).ids) == text


def test_texts_are_tokenized_alone_as_together_and_cut_within_a_syllable():
    texts = ["뱃사람", "", "a가 é", "각" * 50]
    tokenizer = JamoTokenizer(max_length=7)
    together = tokenizer(texts, return_offsets=True)
    assert together.lengths.tolist() == [7, 2, 7, 7]
    assert together.truncated.tolist() == [True, False, True, True]
    assert together.offsets_of(3).tolist() == [[0, 0], *[[0, 1]] * 3, *[[1, 2]] * 2, [0, 0]]
    for row, text in enumerate(texts):
        alone, same = tokenizer([text], return_offsets=True), together.select(np.array([row]))
        np.testing.assert_array_equal(alone.ids, same.ids)
        np.testing.assert_array_equal(alone.offsets, same.offsets)
    assert tokenizer.decode(together.select(np.array([3])).ids) == "각가"


def test_letters_that_stand_alone_are_letters_of_syllables():
    assert TOKENIZER(["ㅋㅏ"]).ids.tolist() == [1, 0x0F + 4, 0x61 + 4, 2]
    assert TOKENIZER.decode(TOKENIZER(["ㅋㅏ"]).ids) == "카"


def test_it_can_be_masked_and_refuses_what_is_no_text():
    vocabulary = Vocabulary.of(TOKENIZER)
    assert (vocabulary.mask_id, vocabulary.vocab_size) == (3, 516)
    with pytest.raises(ValueError, match="lone surrogate"):
        TOKENIZER(["\ud83d"])
    with pytest.raises(ValueError, match="max_length=2 leaves no room"):
        JamoTokenizer(max_length=2)
