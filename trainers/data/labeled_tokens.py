"""Tokenizers that say more of a token than a model reads: its pieces, or what it was before.

Labels travel as the first units of each token, and :func:`split_labels` takes them off again.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

from textzoo.errors import ConfigError
from textzoo.modules import SubwordTokenizer, TextBatch, Tokenized, WordTokenizer
from textzoo.modules.tokenizers.base import ragged_sources
from textzoo.modules.tokenizers.murmur import hash_string
from textzoo.modules.tokenizers.word_spans import find_words
from textzoo.modules.types import AnyArray

NO_LABEL = -1
_SHORT = 4  # Words of fewer letters are not made shorter.


def with_labels(tokenized: Tokenized, labels: Int[np.ndarray, "T S"]) -> Tokenized:
    """The same texts, S labels before the units of every token."""
    if tokenized.units is None or tokenized.unit_starts is None:
        raise ConfigError("labels stand before the units of tokens, and these have none")
    size = labels.shape[1]
    starts = tokenized.unit_starts + size * np.arange(len(tokenized.unit_starts))
    units = np.empty(int(starts[-1]), np.int32)
    first, _ = ragged_sources(starts[:-1], np.full(len(labels), size))
    is_label = np.zeros(len(units), bool)
    is_label[first] = True
    units[is_label] = labels.ravel()
    units[~is_label] = tokenized.units
    sizes = tuple(size + count for count in tokenized.unit_sizes)
    return tokenized.with_units(units, starts, sizes)


def split_labels(texts: TextBatch, count: int) -> tuple[TextBatch, Int[AnyArray, "B L S"]]:
    """What a model reads of a batch, and the labels of its tokens.

    Args:
        texts: of a tokenizer of this module.
        count: S, labels of a token.

    Raises:
        ValueError: tokens have not so many units.
    """
    if texts.units is None or texts.unit_mask is None or texts.units.shape[-1] <= count:
        raise ValueError(
            f"the first {count} units of a token should be its labels; tokenize with a "
            "WordPiecesTokenizer or a MisspellingTokenizer"
        )
    own = texts.replace(units=texts.units[..., count:], unit_mask=texts.unit_mask[..., count:])
    return own, texts.units[..., :count]


class WordPiecesTokenizer:
    """Words with their bytes, and the pieces that they would be in another vocabulary as labels.

    Args:
        words: makes the tokens.
        pieces: makes the labels, without special tokens.
        num_pieces: S; a word of more pieces is known by its first ones.
    """

    def __init__(
        self, words: WordTokenizer, pieces: SubwordTokenizer, *, num_pieces: int = 4
    ) -> None:
        if num_pieces < 1:
            raise ConfigError(f"num_pieces={num_pieces}; use 1 or more")
        self.words = words
        self.pieces = pieces.with_options(add_special_tokens=False)
        self.num_pieces = num_pieces
        self.vocab_size = words.vocab_size
        self.max_length = words.max_length

    def __call__(self, texts: Sequence[str], *, return_offsets: bool = False) -> Tokenized:
        """Tokenizes texts into words."""
        texts = list(texts)
        found = self.words(texts, return_offsets=True)
        offsets = found.offsets
        assert offsets is not None
        row = np.repeat(np.arange(len(found)), found.lengths)
        spelled = [texts[r][a:b] for r, (a, b) in zip(row, offsets.tolist(), strict=True)]
        places: dict[str, int] = {}
        inverse = np.array([places.setdefault(word, len(places)) for word in spelled], np.int64)
        cut = self.pieces(list(places))
        table = np.full((len(places), self.num_pieces), NO_LABEL, np.int32)
        kept = np.minimum(cut.lengths, self.num_pieces)
        source, _ = ragged_sources(cut.starts[:-1], kept)
        table[np.arange(self.num_pieces) < kept[:, None]] = cut.ids[source]
        labeled = with_labels(found, table[inverse].reshape(-1, self.num_pieces))
        return labeled if return_offsets else _without_offsets(labeled)

    def save(self, directory: Path) -> None:
        """Writes the vocabulary of the pieces."""
        self.pieces.save(directory)


class MisspellingTokenizer:
    """Pieces of texts of which some words are misspelled, labeled with what they were.

    CharBERT's noise (Ma et al. 2020, and its code): a word of fewer than four letters gets one
    more; of longer ones, half lose a letter and half have two neighbors swapped, but never the
    first. All pieces of a misspelled word have its number in a list of words as label, in small
    letters, or the number behind the last, if it is not in the list; other pieces have none.

    Args:
        pieces: makes the tokens, with units.
        words: the list.
        rate: share of the words.
        alphabet: letters that come in.
        seed: another seed makes other mistakes. The mistakes of a text follow from it and the text.

    Notes:
        Words are runs of letters and digits. The reference draws anew in every pass.
    """

    def __init__(
        self, pieces: SubwordTokenizer, words: Sequence[str], *, rate: float = 0.1,
        alphabet: str = "abcdefghijklmnopqrstuvwxyz", seed: int = 0,
    ) -> None:  # fmt: skip
        if not 0 < rate <= 1:
            raise ConfigError(f"rate={rate}; use a share above 0, up to 1")
        if isinstance(words, str) or not words or not alphabet:
            raise ConfigError("give a list of words, and an alphabet that is not empty")
        if pieces.units is None:
            raise ConfigError("pieces have no units; build the tokenizer with units='characters'")
        self.pieces = pieces
        self.numbers = {word: number for number, word in enumerate(words)}
        self.num_labels = len(words) + 1
        self.rate = rate
        self.alphabet = alphabet
        self.seed = seed
        self.vocab_size = pieces.vocab_size
        self.max_length = pieces.max_length

    def __call__(
        self, texts: Sequence[str], *, return_offsets: bool = False, return_words: bool = False
    ) -> Tokenized:
        """Misspells and tokenizes texts; offsets are those of the misspelled ones."""
        changed, spans = [], []
        for text in texts:
            noisy, where = self._misspell(text)
            changed.append(noisy)
            spans.append(where)
        found = self.pieces(changed, return_offsets=True, return_words=return_words)
        labels = np.full((len(found.ids), 1), NO_LABEL, np.int32)
        for row, where in enumerate(spans):
            own = labels[found.starts[row] : found.starts[row + 1], 0]
            offsets = found.offsets_of(row)
            for start, end, label in where:
                inside = (offsets[:, 0] >= start) & (offsets[:, 1] <= end)
                own[inside & (offsets[:, 0] < offsets[:, 1])] = label
        labeled = with_labels(found, labels)
        return labeled if return_offsets else _without_offsets(labeled)

    def _misspell(self, text: str) -> tuple[str, list[tuple[int, int, int]]]:
        """The text with mistakes, where they are in it, and the labels of the words."""
        spans = find_words([text], max_words=len(text) + 1)
        rng = np.random.default_rng([self.seed, hash_string(text)])
        parts, where, done, length = [], [], 0, 0
        for start, end in spans.offsets.tolist():
            word = text[start:end]
            if not word[0].isalnum() or rng.random() >= self.rate:
                continue
            wrong = self._edit(word, rng)
            parts += [text[done:start], wrong]
            begin = length + start - done
            length = begin + len(wrong)
            where.append((begin, length, self.numbers.get(word.lower(), len(self.numbers))))
            done = end
        return "".join([*parts, text[done:]]), where

    def _edit(self, word: str, rng: np.random.Generator) -> str:
        if len(word) < _SHORT:
            place = int(rng.integers(len(word) + 1))
            return word[:place] + self.alphabet[rng.integers(len(self.alphabet))] + word[place:]
        if rng.random() < 0.5:
            place = int(rng.integers(len(word)))
            return word[:place] + word[place + 1 :]
        place = int(rng.integers(1, len(word) - 1))
        return word[:place] + word[place + 1] + word[place] + word[place + 2 :]

    def save(self, directory: Path) -> None:
        """Writes the vocabulary of the pieces."""
        self.pieces.save(directory)


def _without_offsets(tokenized: Tokenized) -> Tokenized:
    return dataclasses.replace(tokenized, offsets=None)
