"""Words cut by one of two tokenizers."""

import numpy as np
import pytest
import tokenizers
from tiny_encoder import SENTENCES, library_tokenizer, tiny_tokenizer
from tokenizers import models, trainers

from textzoo.modules import SubwordTokenizer
from textzoo.modules.tokenizers.mixed import MixedVocabularyTokenizer

TEXTS = [*SENTENCES, "", "   ", "Café, CAFÉ! 🙂 x"]


@pytest.fixture(scope="module")
def small() -> SubwordTokenizer:
    """WordPiece of letters and little more, over the same words."""
    library = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    library.normalizer = library_tokenizer("wordpiece").normalizer
    library.pre_tokenizer = library_tokenizer("wordpiece").pre_tokenizer
    trainer = trainers.WordPieceTrainer(
        vocab_size=70, special_tokens=["[SEP]", "[UNK]", "[CLS]", "[PAD]"], show_progress=False
    )
    library.train_from_iterator(SENTENCES * 4, trainer)
    ids = [(token, library.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    library.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=ids
    )
    return SubwordTokenizer(library, max_length=9)


def mixed(small, **options) -> MixedVocabularyTokenizer:
    return MixedVocabularyTokenizer(tiny_tokenizer(), small, **options)


def pieces(tokenizer, tokenized, row) -> list[str]:
    ids = tokenized.ids[tokenized.starts[row] : tokenized.starts[row + 1]]
    size = tokenizer.first.vocab_size
    return [
        tokenizer.second.id_to_token(i - size) if i >= size else tokenizer.first.id_to_token(i)
        for i in ids.tolist()
    ]


def test_every_word_is_cut_by_one_of_them(small):
    tokenizer = mixed(small)
    found = tokenizer(TEXTS, return_words=True, return_offsets=True)
    both = [t(TEXTS, return_words=True, return_offsets=True) for t in
            (tokenizer.first, tokenizer.second)]  # fmt: skip
    assert tokenizer.vocab_size == tiny_tokenizer().vocab_size + small.vocab_size
    seen = set()
    for row in range(len(TEXTS)):
        stretch = slice(found.starts[row], found.starts[row + 1])
        ids, words = found.ids[stretch], found.words[stretch]
        assert (np.diff(words[words >= 0]) >= 0).all()
        for word in {-1, *words.tolist()}:
            own = words == word
            second = ids[own] >= tokenizer.first.vocab_size
            assert second.all() or not second.any()
            k = int(second.any())
            inner = both[k]
            there = slice(inner.starts[row], inner.starts[row + 1])
            same = inner.words[there] == word
            expected = inner.ids[there][same] + k * tokenizer.first.vocab_size
            assert ids[own].tolist() == expected.tolist()
            assert np.array_equal(found.offsets[stretch][own], inner.offsets[there][same])
            seen.add((k, word == -1))
        assert pieces(tokenizer, found, row)[0] == "[CLS]"
        assert pieces(tokenizer, found, row)[-1] == "[SEP]"
    assert len(seen) == 4


def test_shares_of_none_and_all_are_the_tokenizers_themselves(small):
    for share, inner, shift in ((0.0, tiny_tokenizer(), 0), (1.0, small, 1)):
        tokenizer = mixed(small, second_share=share)
        expected = inner.with_options(max_length=512)(TEXTS)
        found = tokenizer(TEXTS)
        assert found.starts.tolist() == expected.starts.tolist()
        size = tokenizer.first.vocab_size
        assert found.ids.tolist() == (expected.ids + shift * size).tolist()


def test_draws_follow_from_seed_and_text_alone(small):
    first = mixed(small)(TEXTS)
    again = mixed(small)(TEXTS[::-1])
    for row in range(len(TEXTS)):
        assert np.array_equal(
            first.select(np.array([row])).ids, again.select(np.array([len(TEXTS) - 1 - row])).ids
        )
    assert not np.array_equal(first.ids, mixed(small, seed=1)(TEXTS).ids)
    many = [f"{text} {number}" for number in range(100) for text in SENTENCES]
    found = mixed(small, second_share=0.3)(many, return_words=True)
    size = tiny_tokenizer().vocab_size
    new = np.diff(found.words, prepend=-1) != 0
    share = (found.ids[new & (found.words >= 0)] >= size).mean()
    assert 0.27 < share < 0.33


def test_long_texts_keep_what_ends_them(small):
    tokenizer = mixed(small, max_length=7)
    found = tokenizer(TEXTS)
    whole = mixed(small)(TEXTS)
    assert found.lengths.tolist() == np.minimum(whole.lengths, 7).tolist()
    assert found.truncated.tolist() == (whole.lengths > 7).tolist()
    for row in range(len(TEXTS)):
        assert pieces(tokenizer, found, row)[-1] == "[SEP]"
        assert (
            pieces(tokenizer, found, row)[:-1]
            == pieces(tokenizer, whole, row)[: found.lengths[row] - 1]
        )


def test_both_are_saved(small, tmp_path):
    mixed(small).save(tmp_path)
    again = MixedVocabularyTokenizer(
        *(SubwordTokenizer.from_directory(tmp_path / name) for name in ("first", "second"))
    )
    assert np.array_equal(again(TEXTS).ids, mixed(small)(TEXTS).ids)


def test_what_does_not_go_together_is_refused(small):
    other = MixedVocabularyTokenizer(tiny_tokenizer("bpe"), small)
    with pytest.raises(ValueError, match="with the same normalizer and pre-tokenizer"):
        other(["it's"])
    with pytest.raises(ValueError, match="use 3 or more"):
        mixed(small, max_length=2)
    with pytest.raises(ValueError, match="second_share=2"):
        mixed(small, second_share=2)
    with pytest.raises(ValueError, match="the first tokenizer gives units"):
        MixedVocabularyTokenizer(tiny_tokenizer(units="bytes"), small)
    with pytest.raises(TypeError, match="expected str"):
        mixed(small)([None])
