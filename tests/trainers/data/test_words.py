import pytest
from tiny_encoder import KINDS, tiny_tokenizer

from textzoo.trainers.data.words import tokenize_with_words


class WithoutWords:
    """A tokenizer that knows offsets and no words."""

    max_length, vocab_size = 32, 400

    def __init__(self, kind):
        self._inner = tiny_tokenizer(kind)

    def __call__(self, texts, *, return_offsets=False):
        return self._inner(texts, return_offsets=return_offsets)


def test_a_tokenizer_that_knows_its_words_is_asked():
    text = ["don't sleep"]
    expected = tiny_tokenizer()(text, return_words=True).words.tolist()
    assert tokenize_with_words(tiny_tokenizer(), text).words.tolist() == expected


@pytest.mark.parametrize("kind", KINDS)
def test_other_words_stand_between_white_space(kind):
    texts = ["jumping over", "", "  a\u2003na\u00efve-fox!  \n dog "]
    tokenized = tokenize_with_words(WithoutWords(kind), texts)
    offsets = WithoutWords(kind)(texts, return_offsets=True)
    assert len(tokenized.words) == len(tokenized.ids)
    for row, text in enumerate(texts):
        found = {}
        words = tokenized.words[tokenized.starts[row] : tokenized.starts[row + 1]]
        for word, (start, end) in zip(words.tolist(), offsets.offsets_of(row), strict=True):
            assert (word == -1) == (start == end)
            found.setdefault(word, []).append(text[start:end])
        found.pop(-1)
        assert ["".join(dict.fromkeys(parts)) for parts in found.values()] == [
            "".join(dict.fromkeys(found[word])) for word in range(len(text.split()))
        ]
        for word, whole in enumerate(text.split()):
            assert all(part in whole for part in found[word])
