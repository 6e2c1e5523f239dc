"""Words cut by one of two tokenizers, at random."""

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

from textzoo.modules.tokenizers.base import Tokenized, starts_of
from textzoo.modules.tokenizers.subword import SubwordTokenizer

_LONG = 1 << 20
_AT_THE_END = np.int64(1) << 40


class MixedVocabularyTokenizer:
    """Cuts every word of a text with the first tokenizer or the second, at random.

    Ids of the second come after those of the first. For the first stage of mixed-vocabulary
    training, see :class:`~textzoo.modules.MixedVocabularyEmbedding`. Special tokens are all of
    one vocabulary in a text, also at random.

    Args:
        first, second: tokenizers that find the same words, such as WordPiece with the same
            normalizer; their own ``max_length`` does not matter.
        max_length: longer texts are cut to this many tokens, special tokens included.
        second_share: of the words, how many the second tokenizer cuts.
        seed: of the draws, which follow from seed, text and number of the word alone: a text is
            cut the same way in every process and every epoch. To have others, use another seed.

    Raises:
        ValueError: when called with a text whose words the two do not agree on.
    """

    def __init__(
        self, first: SubwordTokenizer, second: SubwordTokenizer, *, max_length: int = 512,
        second_share: float = 0.5, seed: int = 0,
    ) -> None:  # fmt: skip
        for name, inner in (("first", first), ("second", second)):
            if inner.units is not None or inner.drop_unknown:
                raise ValueError(
                    f"the {name} tokenizer gives units or drops tokens; use one of ids alone, all "
                    "of them"
                )
        if not 0 <= second_share <= 1:
            raise ValueError(f"second_share={second_share}; use a share from 0 to 1")
        self.first = first.with_options(max_length=_LONG)
        self.second = second.with_options(max_length=_LONG)
        self.max_length = max_length
        self.second_share = second_share
        self.seed = seed
        self.vocab_size = first.vocab_size + second.vocab_size
        longest = int(max(inner([""]).lengths[0] for inner in (self.first, self.second)))
        if max_length <= longest:
            raise ValueError(
                f"max_length={max_length} leaves no room for text beside {longest} special tokens; "
                f"use {longest + 1} or more"
            )

    def __call__(
        self, texts: Sequence[str], *, return_offsets: bool = False, return_words: bool = False
    ) -> Tokenized:
        """Tokenizes texts.

        Args:
            texts: what to tokenize.
            return_offsets: also find the characters of each token.
            return_words: also number the words.

        Raises:
            TypeError: an item is not a string.
            ValueError: a string has a lone surrogate, or the tokenizers find other words in it.
        """
        options = {"return_offsets": return_offsets, "return_words": True}
        both = [inner(texts, **options) for inner in (self.first, self.second)]
        self._check(texts, both)
        seeds = np.array([zlib.crc32(text.encode()) for text in texts], np.int64)
        kept = [self._kept(tokenized, seeds, bool(k)) for k, tokenized in enumerate(both)]
        kept[1] = (*kept[1][:2], kept[1][2] + len(both[0].ids))
        text, slot, tokens = (np.concatenate([part[field] for part in kept]) for field in range(3))
        # Stable, and tokens of a word are all of one tokenizer: they stay in their order.
        order = np.lexsort((slot, text))
        text, slot = text[order], slot[order]
        counts = np.bincount(text, minlength=len(texts))
        last = np.bincount(text[slot == _AT_THE_END], minlength=len(texts))
        rank = np.arange(len(text)) - starts_of(counts)[text]
        keep = (rank < (self.max_length - last)[text]) | (slot == _AT_THE_END)

        def column(of_first: np.ndarray, of_second: np.ndarray) -> np.ndarray:
            return np.concatenate([of_first, of_second])[tokens[order][keep]]

        words = [tokenized.words for tokenized in both]
        offsets = [tokenized.offsets for tokenized in both]
        shifted = both[1].ids + np.int32(self.first.vocab_size)
        return Tokenized(
            ids=column(both[0].ids, shifted),
            starts=starts_of(np.bincount(text[keep], minlength=len(texts))),
            truncated=counts > self.max_length,
            offsets=column(offsets[0], offsets[1]) if return_offsets else None,  # type: ignore[arg-type]
            words=column(words[0], words[1]) if return_words else None,  # type: ignore[arg-type]
        )

    def save(self, directory: Path) -> None:
        """Writes the files of both tokenizers into folders of their own."""
        for name, inner in (("first", self.first), ("second", self.second)):
            folder = Path(directory) / name
            folder.mkdir(exist_ok=True)
            inner.save(folder)

    def _kept(
        self, tokenized: Tokenized, seeds: Int[np.ndarray, "B"], is_second: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of the tokens whose word a tokenizer cuts: text, place, and number."""
        assert tokenized.words is not None
        text = np.repeat(np.arange(len(tokenized)), tokenized.lengths)
        word = tokenized.words.astype(np.int64)
        # What is before the first word is at 0, words count from 1, all else is behind them.
        seen = np.maximum.accumulate(np.where(word >= 0, text + 1, 0))
        behind = (word < 0) & (seen == text + 1)
        slot = np.where(behind, _AT_THE_END, word + 1)
        draws = _uniform(seeds[text], np.where(word < 0, -1, word), self.seed)
        mine = np.flatnonzero((draws < self.second_share) == is_second)
        return text[mine], slot[mine], mine

    @staticmethod
    def _check(texts: Sequence[str], both: list[Tokenized]) -> None:
        counts = [_words_of_texts(tokenized) for tokenized in both]
        different = np.flatnonzero(counts[0] != counts[1])
        if len(different):
            row = int(different[0])
            raise ValueError(
                f"the first tokenizer finds {counts[0][row]} words in texts[{row}] "
                f"({texts[row]!r:.40}), the second {counts[1][row]}; use two with the same "
                "normalizer and pre-tokenizer"
            )


def _words_of_texts(tokenized: Tokenized) -> Int[np.ndarray, "B"]:
    assert tokenized.words is not None
    text = np.repeat(np.arange(len(tokenized)), tokenized.lengths)
    found = np.zeros(len(tokenized), np.int64)
    np.maximum.at(found, text, tokenized.words.astype(np.int64) + 1)
    return found


def _uniform(texts: Int[np.ndarray, "T"], words: Int[np.ndarray, "T"], seed: int) -> np.ndarray:
    """A number from 0 to 1 for every word, from hashes alone (the finalizer of MurmurHash3)."""
    mask = np.uint64(0xFFFFFFFF)
    h = texts.astype(np.uint64) + (words + 2).astype(np.uint64) * np.uint64(0x9E3779B9)
    h = (h + np.uint64(seed) * np.uint64(0x85EBCA77)) & mask
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = ((h ^ (h >> np.uint64(shift))) * np.uint64(factor)) & mask
    return (h ^ (h >> np.uint64(16))).astype(np.float64) / 2**32
