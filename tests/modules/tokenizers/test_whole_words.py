"""Words of several pieces as one token of letters."""

import functools

import numpy as np
import pytest
import tokenizers
from tiny_encoder import library_tokenizer

from textzoo import Part
from textzoo.modules import WholeWordTokenizer
from textzoo.parts import build_tokenizer
from textzoo.trainers.objectives.token_masking import Vocabulary

PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "cat",
    "##s",
    "##ty",
    "dog",
    "a",
    ".",
    "##.",
]


@functools.cache
def library():
    ids = {piece: index for index, piece in enumerate(PIECES)}
    found = tokenizers.Tokenizer(tokenizers.models.WordPiece(ids, unk_token="[UNK]"))
    found.normalizer = tokenizers.normalizers.BertNormalizer()
    found.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    found.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    found.add_special_tokens(PIECES[:5])
    return found


def make(**options):
    return WholeWordTokenizer(library(), num_characters=200, **options)


def spelled(tokenized, token):
    units = tokenized.units_of(token).tolist()
    if not units:
        return None
    assert (units[0], units[-1]) == (202, 203)
    return "".join(map(chr, units[1:-1]))


def test_pieces_of_a_word_collapse_to_one_token_with_their_letters():
    text = "A Cats' dog.  Cattys zé"
    tokenized = make()([text], return_offsets=True, return_words=True)
    # [CLS] a cats ' dog . cattys ze [SEP]; the sign and the last word are unknown.
    assert tokenized.ids.tolist() == [2, 9, 1, 1, 8, 10, 1, 1, 3]
    found = [spelled(tokenized, token) for token in range(9)]
    assert found == [None, None, "cats", "'", None, None, "cattys", "z" + chr(0xE9 % 200), None]
    parts = [text[left:right] for left, right in tokenized.offsets_of(0)]
    assert parts == ["", "A", "Cats", "'", "dog", ".", "Cattys", "zé", ""]
    assert tokenized.words.tolist() == [-1, 0, 1, 2, 3, 4, 5, 6, -1]


def test_easy_words_stay_and_all_words_may_be_spelled():
    easy = make(easy_suffixes=["s", "unheard"])(["cats catty"])
    assert easy.ids.tolist() == [2, 5, 6, 1, 3] and spelled(easy, 3) == "catty"
    every = make(select="all", units="bytes")(["dog cats"])
    assert every.ids.tolist() == [2, 1, 1, 3]
    assert every.units_of(1).tolist() == [258, *b"dog", 259]


def test_texts_are_tokenized_alone_as_together_and_long_words_are_cut():
    texts = ["cats", "", "a catsss dog", "dog. " * 30]
    tokenizer = make(max_length=9, max_units=5)
    together = tokenizer(texts, return_offsets=True)
    assert together.truncated.tolist() == [False, False, False, True]
    assert spelled(together, 1) == "cat"
    for row, text in enumerate(texts):
        alone, same = tokenizer([text], return_offsets=True), together.select(np.array([row]))
        for name in ("ids", "offsets", "units", "unit_starts"):
            np.testing.assert_array_equal(getattr(alone, name), getattr(same, name))
    assert len(tokenizer([])) == 0
    batch = together.batch(np.arange(4), 9)
    assert batch.units.shape == (4, 9, 5) and batch.unit_mask.any(axis=-1).sum() == 2


def test_it_is_read_from_its_file_and_keeps_its_options(tmp_path):
    make().save(tmp_path)
    options = {"max_length": 16, "num_characters": 200, "easy_suffixes": ("s",), "max_units": 6}
    again = build_tokenizer(Part("WholeWordTokenizer", **options), tmp_path)
    assert again(["cats cattys"]).ids.tolist() == [2, 5, 6, 1, 3]
    cut = again.with_options(max_length=4)
    assert (cut.max_length, cut.easy_suffixes, cut.max_units) == (4, ("s",), 6)
    assert cut.unit_vocab_size == 207


def test_masking_knows_that_units_give_nothing_away():
    vocabulary = Vocabulary.of(make())
    assert vocabulary.has_special_units and 1 in vocabulary.special_ids


def test_what_does_not_fit_is_explained():
    for options, message in (
        ({"select": "some"}, "use 'pieces' or 'all'"),
        ({"units": "n_grams"}, "use 'bytes' or 'characters'"),
        ({"max_units": 2}, "use 3 or more"),
        ({"easy_suffixes": "s"}, "give a list"),
    ):
        with pytest.raises(ValueError, match=message):
            make(**options)
    with pytest.raises(ValueError, match="has no unknown token"):
        WholeWordTokenizer(library_tokenizer("bpe"))
