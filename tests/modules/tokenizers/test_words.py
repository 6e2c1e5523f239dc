"""Words and subword pieces with their bytes or characters."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_encoder import KINDS, SENTENCES, tiny_tokenizer
from tokenizers import Tokenizer as LibraryTokenizer
from tokenizers import models, pre_tokenizers

from textzoo.modules import SubwordTokenizer, Tokenizer, WordTokenizer
from textzoo.modules.tokenizers.fingerprint import tokenizer_fingerprint
from textzoo.modules.tokenizers.units import UnitVocabulary

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
BYTES = UnitVocabulary()


def units_of(tokenizer, text):
    tokenized = tokenizer([text])
    return [tokenized.units_of(token).tolist() for token in range(len(tokenized.ids))]


def characterbert(words):
    """Units as CharacterBERT's code has them (CharacterMapper), before it adds one."""
    inner = [[256], *(list(word.encode()[:48]) for word in words), [257]]
    return [[258, *units, 259] for units in inner]


@pytest.mark.parametrize(
    "words", [["hello"], ["naïve", "😀"], ["x" * 10_000, "é" * 24, "é" * 25], []]
)
def test_bytes_and_marks_are_those_of_characterbert(words):
    assert units_of(WordTokenizer(), " ".join(words)) == characterbert(words)


@given(ANY_TEXT)
def test_the_bytes_of_the_words_between_spaces_are_the_text(text):
    tokenizer = WordTokenizer(
        split="spaces", mark_words=False, add_special_tokens=False, max_units=1000, max_length=1000
    )
    found = [bytes(units).decode() for units in units_of(tokenizer, text)]
    assert found == text.split()


@given(st.lists(ANY_TEXT, max_size=4), st.booleans(), st.booleans())
def test_texts_are_tokenized_alone_as_together(texts, add_special_tokens, mark_words):
    tokenizer = WordTokenizer(
        max_length=6, units="characters", num_characters=100, max_units=5, lowercase=True,
        add_special_tokens=add_special_tokens, mark_words=mark_words,
    )  # fmt: skip
    together = tokenizer(texts, return_offsets=True)
    for row, text in enumerate(texts):
        alone, own = tokenizer([text], return_offsets=True), together.select(np.array([row]))
        for name in ("ids", "truncated", "offsets", "units", "unit_starts"):
            np.testing.assert_array_equal(getattr(own, name), getattr(alone, name), err_msg=name)
        assert len(alone.ids) <= 6 and alone.units.max(initial=0) < tokenizer.unit_vocab_size
        assert np.diff(alone.unit_starts).max(initial=0) <= 5


def test_characters_are_code_points_modulo_their_number():
    tokenizer = WordTokenizer(units="characters", num_characters=300, mark_words=False)
    assert units_of(tokenizer, "aé😀") == [[300], [97, 233], [0x1F600 % 300], [301]]
    assert tokenizer.unit_vocab_size == 307


def test_offsets_are_of_the_words_and_special_words_have_none():
    tokenized = WordTokenizer(lowercase=True)(["İ Éa, b", ""], return_offsets=True)
    expected = [[0, 0], [0, 1], [2, 4], [4, 5], [6, 7], [0, 0]]
    assert tokenized.offsets_of(0).tolist() == expected
    assert tokenized.offsets_of(1).tolist() == [[0, 0], [0, 0]]


def test_ids_follow_from_the_units_alone_and_are_the_same_in_another_process():
    texts = ["Fox fox " + "x" * 100, "x" * 10_000 + " fox"]
    ids = WordTokenizer(vocab_size=1000)(texts).ids.tolist()
    assert ids[0] == ids[5] == 1 and ids[4] == ids[8] == 2 and ids[1] != ids[2]
    assert ids[3] == ids[6] and ids[2] == ids[7]
    assert all(4 <= number < 1000 for number in ids[1:4])
    code = (
        "from textzoo.modules import WordTokenizer\n"
        f"print(WordTokenizer(vocab_size=1000)({texts!r}).ids.tolist())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(other.stdout) == ids


def test_different_words_seldom_share_an_id():
    words = [f"{a}{b}{c}" for a in "abcdefghij" for b in "klmnopqrst" for c in range(100)]
    tokenizer = WordTokenizer(max_length=20_000, add_special_tokens=False, vocab_size=1 << 30)
    # 10,000^2 / 2 pairs among 2^30 ids are 0.05 that collide.
    assert len(np.unique(tokenizer([" ".join(words)]).ids)) == len(words)


def test_batches_are_as_wide_as_their_longest_word():
    tokenizer = WordTokenizer()
    for word, width in (("a", 8), ("abcdef", 8), ("abcdefg", 16), ("x" * 1000, 50)):
        tokenized = tokenizer([word])
        assert tokenized.batch(np.array([0]), 3).units.shape == (1, 3, width)


def test_options_are_kept_when_the_length_changes_and_seen_in_the_fingerprint():
    options = dict(units="characters", max_units=9, num_characters=500, split="spaces",
                   lowercase=True, mark_words=False, vocab_size=77)  # fmt: skip
    tokenizer = WordTokenizer(**options, max_length=9)
    assert isinstance(tokenizer, Tokenizer)
    changed = tokenizer.with_options(max_length=5, add_special_tokens=False)
    expected = WordTokenizer(**options, max_length=5, add_special_tokens=False)
    assert vars(changed) == vars(expected)
    for name, value in options.items():
        assert getattr(changed, name) == value
    others = (WordTokenizer(**{**options, "max_units": 10}, max_length=9), tokenizer)
    assert len({tokenizer_fingerprint(t) for t in others}) == 2


def test_bad_input_is_explained():
    with pytest.raises(ValueError, match="lone surrogate"):
        WordTokenizer()(["a \udfff"])
    for options, message in (
        ({"units": "letters"}, "use 'bytes' or 'characters'"),
        ({"split": "lines"}, "use 'words' or 'spaces'"),
        ({"max_length": 2}, "max_length=2; use 3 or more"),
        ({"max_units": 2}, "max_units=2; use 3 or more"),
        ({"vocab_size": 4}, "use 5 or more"),
        ({"num_characters": 0}, "use 1 or more"),
    ):
        with pytest.raises(ValueError, match=message):
            WordTokenizer(**options)


SPELLED = {
    "wordpiece": ("naive x ##y [CLS] [UNK]", ["naive", "x", "y", 256, 262], [1, 1, 0, 0, 0]),
    "bpe": ("ĠcafÃ© the Ġ Ł </s>", ["café", "the", " ", b"\x9f", 257], [1, 0, 1, 0, 0]),
    "unigram": ("▁ca é ▁ <s> <unk>", ["ca", "é", " ", 256, 262], [1, 0, 1, 0, 0]),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mark_words", [False, True])
def test_units_of_a_piece_are_its_bytes_without_the_signs_of_the_vocabulary(kind, mark_words):
    tokenizer = tiny_tokenizer(kind, units="bytes", mark_words=mark_words)
    units, starts = tokenizer._unit_table
    names, spelled, begins = SPELLED[kind]
    for name, expected, is_first in zip(names.split(), spelled, begins, strict=True):
        number = tokenizer.token_to_id(name)
        found = units[starts[number] : starts[number + 1]].tolist()
        if isinstance(expected, int):
            assert found == [expected]
        else:
            data = expected.encode() if isinstance(expected, str) else expected
            assert found == [258] * (is_first and mark_words) + list(data)


def test_characters_of_half_a_character_are_what_stands_for_such():
    tokenizer = tiny_tokenizer("bpe", units="characters")
    units = tokenizer([SENTENCES[0] + "é😀"])
    assert units.units.max() == tokenizer.unit_vocab_size - 6  # </s>: a text ends
    assert 0xFFFD in units.units


@pytest.mark.parametrize("kind", KINDS)
def test_units_follow_the_ids_of_every_call(kind):
    tokenizer = tiny_tokenizer(kind, units="characters", max_units=4)
    tokenized = tokenizer([*SENTENCES, ""], return_offsets=True, return_words=True)
    plain = tiny_tokenizer(kind)([*SENTENCES, ""])
    np.testing.assert_array_equal(tokenized.ids, plain.ids)
    sizes = np.diff(tokenized.unit_starts)
    assert len(sizes) == len(plain.ids) and 1 <= sizes.min() and sizes.max() == 4
    assert tokenized.unit_sizes == (4,)
    shorter = tokenizer.with_options(max_length=5)(SENTENCES)
    assert shorter.units is not None and shorter.unit_sizes == (4,)


def test_dropped_tokens_take_their_units_with_them():
    library = LibraryTokenizer(models.WordLevel({"[UNK]": 0, "ab": 1}, unk_token="[UNK]"))
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = SubwordTokenizer(library, drop_unknown=True, units="bytes")
    tokenized = tokenizer(["zz ab zz"])
    assert tokenized.ids.tolist() == [1] and tokenized.units.tolist() == [97, 98]


def test_subword_options_are_saved_and_checked(tmp_path):
    tokenizer = tiny_tokenizer(units="bytes", max_units=3, mark_words=True)
    tokenizer.save(tmp_path)
    options = {"max_length": 32, "units": "bytes", "max_units": 3, "mark_words": True}
    again = SubwordTokenizer.from_directory(tmp_path, **options)
    assert tokenizer_fingerprint(again) == tokenizer_fingerprint(tokenizer)
    assert tokenizer_fingerprint(tiny_tokenizer()) != tokenizer_fingerprint(tokenizer)
    with pytest.raises(ValueError, match="use 'bytes', 'characters' or 'n_grams'"):
        tiny_tokenizer(units="words")
    with pytest.raises(ValueError, match="max_units=1; use 2 or more"):
        tiny_tokenizer(units="bytes", max_units=1, mark_words=True)
