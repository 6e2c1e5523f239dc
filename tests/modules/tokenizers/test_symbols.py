"""Bytes and code points as tokens: ids, special tokens, offsets, truncation."""

import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textzoo.config import Part
from textzoo.modules import ByteTokenizer, CodePointTokenizer
from textzoo.modules.tokenizers.fingerprint import tokenizer_fingerprint
from textzoo.modules.tokenizers.symbols import is_white_space
from textzoo.parts import build_tokenizer

TOKENIZERS = (ByteTokenizer, CodePointTokenizer)
both = pytest.mark.parametrize("make", TOKENIZERS, ids=lambda make: make.__name__)
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def by_hand(make, text):
    """Ids of a text alone, and the character of each."""
    if make is CodePointTokenizer:
        return [ord(c) for c in text], list(range(len(text)))
    pairs = [(byte + 3, i) for i, c in enumerate(text) for byte in c.encode()]
    return [byte for byte, _ in pairs], [i for _, i in pairs]


@both
@given(texts=st.lists(any_text, max_size=5), max_length=st.integers(3, 40))
def test_ids_and_offsets_are_those_of_the_characters(make, texts, max_length):
    tokenized = make(max_length=max_length)(texts, return_offsets=True)
    room = max_length - len(make.before) - len(make.after)
    assert len(tokenized) == len(texts)
    for row, text in enumerate(texts):
        ids, characters = by_hand(make, text)
        start, end = tokenized.starts[row], tokenized.starts[row + 1]
        assert tokenized.ids[start:end].tolist() == [*make.before, *ids[:room], *make.after]
        assert tokenized.truncated[row] == (len(ids) > room)
        own = tokenized.offsets_of(row)[len(make.before) : len(make.before) + len(ids[:room])]
        for (left, right), character in zip(own.tolist(), characters, strict=False):
            is_space = text[character].isspace()
            assert text[left:right] == ("" if is_space else text[character])
        outside = np.delete(
            tokenized.offsets_of(row), np.arange(len(own)) + len(make.before), axis=0
        )
        np.testing.assert_array_equal(outside, 0)


def test_special_tokens_are_those_of_byt5_and_canine():
    # transformers 5: ByT5Tokenizer()("aé\U0001f600") and CanineTokenizer()("aé\U0001f600").
    text = "aé\U0001f600"
    assert ByteTokenizer()([text]).ids.tolist() == [100, 198, 172, 243, 162, 155, 131, 1]
    assert CodePointTokenizer()([text]).ids.tolist() == [57344, 97, 233, 128512, 57345]
    assert (ByteTokenizer.mask_id, CodePointTokenizer.mask_id) == (259, 0xE003)
    assert ByteTokenizer(add_special_tokens=False)(["a"]).ids.tolist() == [100]
    assert CodePointTokenizer()(["", " "]).ids.tolist() == [57344, 57345, 57344, 32, 57345]


@both
@given(text=any_text)
def test_a_text_comes_back_from_its_ids(make, text):
    special = "\0\ue000\ue001\ue002\ue003\ue004"  # Code points of special tokens are not text.
    text = "".join(c for c in text if c not in special)
    assert make(max_length=400).decode(make(max_length=400)([text]).ids.tolist()) == text


def test_a_character_that_is_cut_is_left_out_of_decoded_text():
    tokenizer = ByteTokenizer(max_length=4)
    assert tokenizer.decode(tokenizer(["aé\U0001f600"]).ids.tolist()) == "aé"
    assert tokenizer(["aé", "aéb"]).truncated.tolist() == [False, True]


@both
def test_options_change_in_a_copy(make):
    tokenizer = make(max_length=9)
    changed = tokenizer.with_options(max_length=5, add_special_tokens=False)
    assert (tokenizer.max_length, tokenizer.add_special_tokens) == (9, True)
    assert changed(["abcdefg"]).lengths.tolist() == [5]
    assert tokenizer_fingerprint(changed) != tokenizer_fingerprint(tokenizer)


@both
def test_a_config_is_enough_to_build_it_again(make, tmp_path):
    make(max_length=7).save(tmp_path)
    assert list(tmp_path.iterdir()) == []
    again = build_tokenizer(Part(make.__name__, max_length=7), tmp_path)
    assert isinstance(again, make) and again.max_length == 7
    assert build_tokenizer(Part(make.__name__, max_length=7))(["ab"]).lengths.sum() > 2


@both
def test_what_is_no_text_is_refused(make):
    with pytest.raises(ValueError, match=r"texts\[1\] has a lone surrogate"):
        make()(["fine", "not \ud800 fine"])
    with pytest.raises(ValueError, match="lone surrogate"):  # Also behind what is kept.
        make(max_length=5)(["a" * 50 + "\udfff"])
    with pytest.raises(TypeError, match=r"texts\[0\] is bytes"):
        make()([b"bytes"])
    with pytest.raises(ValueError, match="leaves no room for text"):
        make(max_length=len(make.before) + len(make.after))


def test_white_space_is_what_python_calls_so():
    codes = np.arange(sys.maxunicode + 1, dtype=np.uint32)
    expected = [code for code in codes.tolist() if chr(code).isspace()]
    assert codes[is_white_space(codes)].tolist() == expected


@both
def test_a_long_text_costs_what_is_kept_of_it(make):
    text = "\u00e9 " * 5_000_000
    begin = time.perf_counter()
    assert make(max_length=32)([text], return_offsets=True).lengths.tolist() == [32]
    assert time.perf_counter() - begin < 2
