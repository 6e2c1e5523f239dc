"""Words, each with its bytes or characters as units."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt64

from textzoo.modules.tokenizers.base import Tokenized, ragged_sources
from textzoo.modules.tokenizers.units import UnitVocabulary, unit_sizes
from textzoo.modules.tokenizers.word_spans import SPLITS, WordSpans, find_words, in_pieces

_BEGINS, _ENDS, _WORDS = 1, 2, 4  # Ids; 0 stands under padding, 3 is that of a masked word.
_MULTIPLIER = 0x9E3779B97F4A7C15  # Odd, so that powers of it lose nothing modulo 2^64.


class WordTokenizer:
    """Words of a text, each with its UTF-8 bytes or its characters as units.

    Nothing is learned, so it reads any text, and needs no file. The id of a word is a hash of its
    units modulo the ids there are, and the same in every process and on every machine; embeddings
    that read units do not look at it.

    Args:
        max_length: longer texts are cut to this many words, special ones included.
        units: ``"bytes"``, 0 to 255, or ``"characters"``: code points modulo ``num_characters``.
        max_units: longer words are known by their first units alone, so many with the marks; with
            bytes, the last character may be a part of one. ELMo and CharacterBERT have 50.
        num_characters: see ``units``.
        split: ``"words"``: a word is a run of letters, digits and the marks on them, with
            apostrophes inside, and every other character that is not white space is a word by
            itself. ``"spaces"``: a word is what stands between white space.
        lowercase: lower the case, character by character, so that offsets stay right.
        mark_words: put units before and behind those of every word, special ones included.
        add_special_tokens: put a word before and after every text, each with one unit of its own.
        vocab_size: how many ids there are; words may share one.

    Attributes:
        unit_vocab_size: units are below this; see :class:`UnitVocabulary` for their numbers.

    Notes:
        CharacterBERT's units are these plus one, cut at the same place. It cuts texts as BERT does,
        which makes words of the parts of "don't", and takes accents off.

    Example:
        >>> tokenized = WordTokenizer(mark_words=False)(["Hi, é"])
        >>> [tokenized.units_of(token).tolist() for token in range(len(tokenized.ids))]
        [[256], [72, 105], [44], [195, 169], [257]]
    """

    def __init__(
        self, *, max_length: int = 512, units: str = "bytes", max_units: int = 50,
        num_characters: int = 1 << 16, split: str = "words", lowercase: bool = False,
        mark_words: bool = True, add_special_tokens: bool = True, vocab_size: int = 1 << 20,
    ) -> None:  # fmt: skip
        if units not in ("bytes", "characters"):
            raise ValueError(
                f"units={units!r}; use 'bytes' or 'characters', or an NGramTokenizer for n-grams"
            )
        self.vocabulary = UnitVocabulary(kind=units, num_characters=num_characters)
        if split not in SPLITS:
            raise ValueError(f"split={split!r}; use 'words' or 'spaces'")
        least = {
            "max_length": (max_length, 3 if add_special_tokens else 1),
            "max_units": (max_units, 3 if mark_words else 1),
            "vocab_size": (vocab_size, _WORDS + 1),
        }
        for name, (value, smallest) in least.items():
            if value < smallest:
                raise ValueError(f"{name}={value}; use {smallest} or more")
        self.max_length = max_length
        self.units = units
        self.max_units = max_units
        self.num_characters = num_characters
        self.split = split
        self.lowercase = lowercase
        self.mark_words = mark_words
        self.add_special_tokens = add_special_tokens
        self.vocab_size = vocab_size
        self.unit_vocab_size = self.vocabulary.size

    def with_options(
        self, *, max_length: int | None = None, add_special_tokens: bool | None = None
    ) -> "WordTokenizer":
        """A tokenizer that differs in these options; this one is left as it is."""
        special = self.add_special_tokens if add_special_tokens is None else add_special_tokens
        return WordTokenizer(
            max_length=max_length or self.max_length, units=self.units, max_units=self.max_units,
            num_characters=self.num_characters, split=self.split, lowercase=self.lowercase,
            mark_words=self.mark_words, add_special_tokens=special, vocab_size=self.vocab_size,
        )  # fmt: skip

    def save(self, directory: Path) -> None:
        """Writes nothing: the options in the config are all there is."""

    def __call__(self, texts: Sequence[str], *, return_offsets: bool = False) -> Tokenized:
        """Cuts texts into words.

        Args:
            texts: what to tokenize.
            return_offsets: also find the characters of each word.

        Raises:
            TypeError: an item is not a string.
            ValueError: a string has a lone surrogate.
        """
        return in_pieces(texts, lambda piece: self._tokenize(piece, return_offsets))

    def _tokenize(self, texts: list[str], return_offsets: bool) -> Tokenized:
        special = 2 * self.add_special_tokens
        spans = find_words(
            texts, max_words=self.max_length - special, split=self.split, lowercase=self.lowercase
        )
        units, first, counts = self._own_units(spans)
        hashes = _hashes(units, first, counts) % np.uint64(self.vocab_size - _WORDS)
        ids = hashes.astype(np.int32) + _WORDS
        starts = spans.starts
        offsets = spans.offsets if return_offsets else None
        if special:
            # Two words more for each text, each of one unit that stands behind all others.
            vocabulary = self.vocabulary
            ends = np.array([vocabulary.text_begins, vocabulary.text_ends], np.int32)
            units = np.concatenate([units, ends])
            inserted = np.stack([starts[:-1], starts[1:]], axis=1).ravel()
            first = np.insert(
                first, inserted, np.tile([len(units) - 2, len(units) - 1], len(texts))
            )
            counts = np.insert(counts, inserted, 1)
            ids = np.insert(ids, inserted, np.tile([_BEGINS, _ENDS], len(texts)))
            starts = starts + 2 * np.arange(len(starts))
            if offsets is not None:
                offsets = np.insert(offsets, inserted, 0, axis=0)
        units, unit_starts = self._with_marks(units, first, counts)
        return Tokenized(
            ids=ids,
            starts=starts,
            truncated=spans.truncated,
            offsets=offsets,
            units=units,
            unit_starts=unit_starts,
            unit_sizes=unit_sizes(self.max_units),
        )

    def _own_units(
        self, spans: WordSpans
    ) -> tuple[Int[np.ndarray, "U"], Int[np.ndarray, "N"], Int[np.ndarray, "N"]]:
        """Units of the joined texts, and of each word the first and how many it keeps."""
        units, starts = self.vocabulary.of_codes(spans.text, spans.codes)
        first = starts[spans.first]
        counts = np.minimum(starts[spans.last] - first, self.max_units - 2 * self.mark_words)
        return units, first, counts

    def _with_marks(
        self, units: Int[np.ndarray, "U"], first: Int[np.ndarray, "N"], counts: Int[np.ndarray, "N"]
    ) -> tuple[Int[np.ndarray, "W"], Int[np.ndarray, "N1"]]:
        """The units of words one after the other, and the first of each, with the total."""
        source, starts = ragged_sources(first, counts)
        if not self.mark_words:
            return units[source], starts
        marked = starts + 2 * np.arange(len(starts))
        found = np.empty(marked[-1], np.int32)
        is_mark = np.zeros(len(found), bool)
        is_mark[marked[:-1]] = is_mark[marked[1:] - 1] = True
        found[marked[:-1]] = self.vocabulary.word_begins
        found[marked[1:] - 1] = self.vocabulary.word_ends
        found[~is_mark] = units[source]
        return found, marked

    def __repr__(self) -> str:
        return f"WordTokenizer({self.units} of {self.split}, max_length={self.max_length})"


def _hashes(
    units: Int[np.ndarray, "U"], first: Int[np.ndarray, "N"], counts: Int[np.ndarray, "N"]
) -> UInt64[np.ndarray, "N"]:
    """``sum_k (u_k + 1) m^k`` of the units of each word modulo 2^64, its bits mixed."""
    source, starts = ragged_sources(first, counts)
    place = np.arange(len(source)) - np.repeat(starts[:-1], counts)
    powers = np.full(int(counts.max(initial=0)) + 1, _MULTIPLIER, np.uint64)
    powers = np.multiply.accumulate(powers)
    sums = np.zeros(len(source) + 1, np.uint64)
    np.cumsum((units[source] + 1).astype(np.uint64) * powers[place], out=sums[1:])
    h = sums[starts[1:]] - sums[starts[:-1]]
    h = (h ^ (h >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    return h ^ (h >> np.uint64(33))
