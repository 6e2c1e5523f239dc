"""WordPiece from both ends, over characters and over letters of Hangul."""

import functools
import unicodedata

import numpy as np
import pytest
import tokenizers
from tiny_encoder import KINDS, SENTENCES, library_tokenizer

from textzoo import Part
from textzoo.modules import BidirectionalWordPieceTokenizer, SubwordTokenizer
from textzoo.parts import build_tokenizer
from textzoo.trainers.objectives.token_masking import Vocabulary

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def library(pieces):
    ids = {piece: index for index, piece in enumerate((*SPECIAL, *pieces))}
    found = tokenizers.Tokenizer(tokenizers.models.WordPiece(ids, unk_token="[UNK]"))
    found.normalizer = tokenizers.normalizers.BertNormalizer(strip_accents=False)
    found.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    found.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    found.add_special_tokens(SPECIAL)
    return found


def pieces_of(tokenizer, text):
    return [tokenizer.id_to_token(number) for number in tokenizer([text]).ids[1:-1]]


def cut(pieces, text, **options):
    return pieces_of(BidirectionalWordPieceTokenizer(library(pieces), **options), text)


def test_forward_is_the_usual_wordpiece():
    inner = library_tokenizer("wordpiece")
    texts = [*SENTENCES, "Jumping cafés, xylophone 漢字!", "", "a" * 101]
    ours = BidirectionalWordPieceTokenizer(inner, directions="forward", max_length=12)
    theirs = SubwordTokenizer(inner, max_length=12)
    found, expected = (t(texts, return_offsets=True, return_words=True) for t in (ours, theirs))
    for name in ("ids", "starts", "truncated", "offsets", "words"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


def test_the_cut_with_the_most_frequent_piece_is_taken():
    # Forward: abc ##d; backward: ab ##cd. Ids count from 5 on, in the order of the list.
    assert cut(["abc", "##d", "ab", "##cd"], "abcd") == ["abc", "##d"]
    assert cut(["ab", "##cd", "abc", "##d"], "abcd") == ["ab", "##cd"]
    # The sorted lists of ids are compared number by number: 5 8 and 6 7.
    assert cut(["##d", "ab", "##cd", "abc"], "abcd") == ["abc", "##d"]
    assert cut(["abc", "##d", "ab", "##cd"], "abcd", directions="backward") == ["ab", "##cd"]
    # Backward pieces are as long as can be from the right.
    assert cut(["x", "##a", "##b", "##ab", "xa"], "xab", directions="backward") == ["x", "##ab"]


def test_fewer_pieces_may_count_first():
    pieces = ["ab", "##c", "##d", "a", "##bcd"]
    assert cut(pieces, "abcd") == ["ab", "##c", "##d"]
    assert cut(pieces, "abcd", prefer="fewest") == ["a", "##bcd"]


def test_a_cut_that_fails_never_wins_over_one_that_does_not():
    pieces = ["ab", "a", "##bc"]  # From the left, ab leaves a c that is no piece.
    assert cut(pieces, "abc") == ["a", "##bc"]
    assert cut(pieces, "abc", directions="forward") == ["[UNK]"]
    assert cut(pieces, "abd a") == ["[UNK]", "a"]


def jamo(text):
    return unicodedata.normalize("NFKD", text)


@functools.cache
def korean():
    pieces = [jamo("배"), "##" + jamo("밧")[2:], "##" + jamo("사람"), jamo("사람"), "a", "##b"]
    return BidirectionalWordPieceTokenizer(library(pieces), decompose=True)


def test_letters_of_a_syllable_are_told_apart_and_have_its_offsets():
    text = "😀 뱃사람, ab 사람"
    tokenized = korean()([text], return_offsets=True, return_words=True)
    found = [korean().id_to_token(number) for number in tokenized.ids]
    # 뱃사람 "seaman" is 배 + ㅅ + 사람 (KR-BERT's README).
    assert found == [
        "[CLS]", "[UNK]", jamo("배"), "##\u11ba", "##" + jamo("사람"), "[UNK]", "a", "##b",
        jamo("사람"), "[SEP]",
    ]  # fmt: skip
    parts = [text[left:right] for left, right in tokenized.offsets_of(0)]
    assert parts == ["", "😀", "뱃", "뱃", "사람", ",", "a", "b", "사람", ""]
    assert tokenized.words.tolist() == [-1, 0, 1, 1, 1, 2, 3, 3, 4, -1]


def test_a_syllable_whose_letters_fall_apart_is_told_letter_by_letter():
    pieces = [jamo("가")[0], "##" + jamo("가")[1]]
    tokenizer = BidirectionalWordPieceTokenizer(library(pieces), decompose=True)
    tokenized = tokenizer(["가"], return_offsets=True)
    assert tokenized.offsets_of(0).tolist() == [[0, 0], [0, 1], [0, 1], [0, 0]]
    assert cut(["가"], "가") == ["가"] and cut(["가"], "가", decompose=True) == ["[UNK]"]


def test_texts_are_tokenized_alone_as_together_and_cut():
    texts = ["뱃사람 " * 9, "", "ab"]
    tokenizer = korean().with_options(max_length=6)
    together = tokenizer(texts, return_offsets=True)
    assert together.truncated.tolist() == [True, False, False]
    assert together.lengths.tolist() == [6, 2, 4]
    for row, text in enumerate(texts):
        alone, same = tokenizer([text], return_offsets=True), together.select(np.array([row]))
        np.testing.assert_array_equal(alone.ids, same.ids)
        np.testing.assert_array_equal(alone.offsets, same.offsets)
    bare = tokenizer.with_options(add_special_tokens=False)
    assert bare(["ab", ""]).lengths.tolist() == [2, 0]


def test_it_is_read_from_its_file_and_has_units_and_masks(tmp_path):
    korean().save(tmp_path)
    part = Part("BidirectionalWordPieceTokenizer", max_length=16, decompose=True, units="bytes")
    again = build_tokenizer(part, tmp_path)
    assert again(["뱃사람"]).ids.tolist() == korean()(["뱃사람"]).ids.tolist()
    assert bytes(again(["ab"]).units_of(1).astype(np.uint8)) == b"a"
    assert Vocabulary.of(again).mask_id == 4


def test_what_does_not_fit_is_explained():
    for options, message in (
        ({"directions": "left"}, "use 'both', 'forward' or 'backward'"),
        ({"prefer": "long"}, "use 'ranks' or 'fewest'"),
    ):
        with pytest.raises(ValueError, match=message):
            cut(["a"], "a", **options)
    for kind in KINDS[1:]:
        with pytest.raises(ValueError, match="needs the pieces of a WordPiece"):
            BidirectionalWordPieceTokenizer(library_tokenizer(kind))
