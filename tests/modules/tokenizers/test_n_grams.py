"""Character n-grams: fastText's, of words and of pieces."""

import numpy as np
import pytest
from tiny_encoder import library_tokenizer

from textzoo.modules import NGramTokenizer, SubwordTokenizer, WordTokenizer
from textzoo.modules.tokenizers.n_grams import hash_n_gram, piece_n_grams
from textzoo.modules.tokenizers.units import UnitVocabulary

# ``model.get_subwords(word)`` of fasttext-wheel 0.9.2, minn=3, maxn=6, without the word's own row.
GOLDEN = {
    "where": [
        167652, 989715, 1526707, 1071586, 420941, 312621, 969176, 121234, 1473420, 1540811, 114991,
        1529033, 1568469, 867498,
    ],
    "naïve": [
        1806890, 1907692, 878190, 933201, 1590546, 1719404, 832043, 156687, 356832, 1223007,
        1505331, 1711570, 1788548, 1088654,
    ],
    "北京": [1187847, 1502395, 782253],
    "x": [1414917],
    "see😀": [
        hash_n_gram(gram.encode()) % 2_000_000
        for gram in "<se <see <see😀 <see😀> see see😀 see😀> ee😀 ee😀> e😀>".split()
    ],
}  # fmt: skip


def units(tokenizer, text):
    tokenized = tokenizer([text])
    return [tokenized.units_of(token).tolist() for token in range(len(tokenized.ids))]


def test_n_grams_are_those_of_fasttext():
    tokenizer = NGramTokenizer(whole_words=False, split="spaces")
    assert units(tokenizer, " ".join(GOLDEN)) == list(GOLDEN.values())
    short = NGramTokenizer(smallest=1, largest=2, num_rows=1000, whole_words=False)
    assert units(short, "ab") == [[750, 220, 946, 77, 561]]  # <a a ab b b>


def test_a_whole_word_is_the_first_of_its_n_grams_and_what_is_too_much_is_left_out():
    tokenizer = NGramTokenizer(max_units=4)
    (found,) = units(tokenizer, "where")
    assert found == [hash_n_gram(b"<where>") % 2_000_000, *GOLDEN["where"][:3]]
    endless = units(tokenizer, "x" * 100_000)[0]
    assert len(endless) == 4 and endless[0] == hash_n_gram(b"<" + b"x" * 100_000 + b">") % 2_000_000
    batch = NGramTokenizer()(["a where", ""]).batch(np.arange(2), 3)
    assert batch.units.shape == (2, 3, 16) and batch.unit_mask.sum(axis=-1)[0].tolist() == [
        2,
        15,
        0,
    ]


def test_ids_are_the_same_whatever_stands_around():
    found = NGramTokenizer()(["other words", "Naïve cafés"]).select(np.array([1]))
    assert found.ids.tolist() == [455979, 774382]  # Numbers of another process, and of any.
    assert found.units_of(0).tolist() == units(NGramTokenizer(), "Naïve")[0]


def test_words_have_offsets_and_texts_are_cut():
    tokenized = NGramTokenizer(max_length=2, lowercase=True)(
        ["Two  WORDS, more", ""], return_offsets=True
    )
    assert tokenized.offsets_of(0).tolist() == [[0, 3], [5, 10]]
    assert tokenized.truncated.tolist() == [True, False] and len(tokenized.ids) == 2
    assert tokenized.units_of(1).tolist() == units(NGramTokenizer(), "words")[0]


def test_pieces_have_the_set_of_their_n_grams():
    vocabulary = UnitVocabulary(kind="n_grams", num_characters=1 << 30, n_grams=(1, 2))
    expected = [hash_n_gram(gram) % (1 << 30) for gram in (b"a", b"b", b"ab", b"ba")]
    assert piece_n_grams("abab", vocabulary, begins=False) == expected
    marked = [hash_n_gram(gram) % (1 << 30) for gram in (b"<", b"a", b"<a")]
    assert piece_n_grams("a", vocabulary, begins=True) == marked
    half = "é".encode()[:1]
    assert piece_n_grams(half, vocabulary, begins=False) == [hash_n_gram(half) % (1 << 30)]


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "unigram"])
def test_subwords_know_their_n_grams_and_special_tokens_have_units_of_their_own(kind):
    inner = library_tokenizer(kind)
    tokenizer = SubwordTokenizer(
        inner, max_length=16, units="n_grams", num_characters=500, n_grams=[1, 2], max_units=40
    )
    assert tokenizer.unit_vocab_size == 507
    tokenized = tokenizer(["the dogs"])
    vocabulary = UnitVocabulary(kind="n_grams", num_characters=500, n_grams=(1, 2))
    assert tokenized.units_of(0).tolist() == [vocabulary.text_begins]
    assert tokenized.units_of(len(tokenized.ids) - 1).tolist() == [vocabulary.text_ends]
    pieces = [inner.id_to_token(i).strip("#Ġ▁") for i in tokenized.ids[1:-1]]
    for token, piece in enumerate(pieces, start=1):
        assert set(tokenized.units_of(token)) >= {
            hash_n_gram(letter.encode()) % 500 for letter in piece
        }
    again = tokenizer.with_options(n_grams=(2, 2))
    assert (again.n_grams, again.num_characters) == ((2, 2), 500)
    assert len(again(["the dogs"]).units) < len(tokenized.units)


def test_what_does_not_fit_is_explained():
    for options, message in (
        ({"smallest": 0}, "0 to 6 characters"),
        ({"smallest": 4, "largest": 3}, "the largest is not smaller, e.g. 3 and 6"),
        ({"num_rows": 0}, "num_characters=0"),
        ({"max_units": 0}, "max_units=0; use 1 or more"),
        ({"split": "lines"}, "use 'words' or 'spaces'"),
    ):
        with pytest.raises(ValueError, match=message):
            NGramTokenizer(**options)
    with pytest.raises(ValueError, match="give two sizes"):
        SubwordTokenizer(library_tokenizer("bpe"), units="n_grams", n_grams=(3,))
    with pytest.raises(ValueError, match="or an NGramTokenizer for n-grams"):
        WordTokenizer(units="n_grams")
