"""Character n-grams as numbers: fastText's hash of them, and words with theirs as units."""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from textzoo.modules.tokenizers.base import Tokenized, starts_of
from textzoo.modules.tokenizers.murmur import hash_string
from textzoo.modules.tokenizers.units import UnitVocabulary, unit_sizes
from textzoo.modules.tokenizers.word_spans import SPLITS, find_words, in_pieces

_BEGINS, _ENDS = "<", ">"


def hash_n_gram(data: bytes) -> int:
    """FNV-1a in 32 bits, with bytes from 128 on as negative numbers: fastText's hash.

    The sign is a slip of fastText's that its published vectors depend on.
    """
    h = 0x811C9DC5
    for byte in data:
        h = ((h ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * 0x01000193) & 0xFFFFFFFF
    return h


def n_grams(text: str, smallest: int, largest: int) -> list[str]:
    """All runs of so many characters, by where they begin, then by their length.

    As in fastText, the first and the last character alone are none: they are the marks.
    """
    found = []
    for start in range(len(text)):
        for end in range(start + smallest, min(start + largest, len(text)) + 1):
            if end - start > 1 or 0 < start < len(text) - 1:
                found.append(text[start:end])
    return found


class NGramTokenizer:
    """Words of a text, each with hashes of its character n-grams as units.

    A word w is spelled ``<w>``, and a unit is fastText's hash of an n-gram of that, modulo
    ``num_rows`` (Bojanowski et al. 2017, "Enriching Word Vectors with Subword Information",
    section 3.2). Hashes are the same in every process and on every machine. Nothing is learned, so
    it reads any text, and needs no file; what is misspelled shares most of its n-grams with what
    was meant.

    Args:
        max_length: longer texts are cut to this many words.
        smallest, largest: characters of an n-gram, the marks counted.
        num_rows: numbers that the n-grams share (fastText's buckets).
        whole_words: whether ``<w>`` is a unit, the first one, of any length; fastText has a row
            for words of its vocabulary, here it is one n-gram more.
        max_units: longer words are known by their first n-grams alone.
        split: ``"words"`` or ``"spaces"`` (fastText); see ``WordTokenizer``.
        lowercase: lower the case, character by character, so that offsets stay right.
        vocab_size: how many ids there are; the id of a word is a hash of it, and words may share
            one. Embeddings that read units alone do not look at it.

    Attributes:
        unit_vocab_size: units are below this.

    Notes:
        A text without words has no tokens. ``num_rows`` is followed by the seven numbers of a
        :class:`UnitVocabulary`, which words have no use for, so that tables fit tokenizers of
        pieces with n-grams, too.

    Example:
        >>> tokenizer = NGramTokenizer(smallest=3, largest=3, whole_words=False)
        >>> tokenizer(["where"]).units_of(0).tolist()  # <wh whe her ere re>
        [167652, 420941, 1473420, 1529033, 867498]
    """

    def __init__(
        self, *, max_length: int = 512, smallest: int = 3, largest: int = 6,
        num_rows: int = 2_000_000, whole_words: bool = True, max_units: int = 96,
        split: str = "words", lowercase: bool = False, vocab_size: int = 1 << 20,
    ) -> None:  # fmt: skip
        self.vocabulary = UnitVocabulary(
            kind="n_grams", num_characters=num_rows, n_grams=(smallest, largest)
        )
        if split not in SPLITS:
            raise ValueError(f"split={split!r}; use 'words' or 'spaces'")
        least = {"max_length": max_length, "max_units": max_units, "vocab_size": vocab_size}
        for name, value in least.items():
            if value < 1:
                raise ValueError(f"{name}={value}; use 1 or more")
        self.max_length = max_length
        self.smallest = smallest
        self.largest = largest
        self.num_rows = num_rows
        self.whole_words = whole_words
        self.max_units = max_units
        self.split = split
        self.lowercase = lowercase
        self.vocab_size = vocab_size
        self.unit_vocab_size = self.vocabulary.size

    def with_options(self, *, max_length: int) -> "NGramTokenizer":
        """A tokenizer that cuts texts elsewhere; this one is left as it is."""
        return NGramTokenizer(
            max_length=max_length, smallest=self.smallest, largest=self.largest,
            num_rows=self.num_rows, whole_words=self.whole_words, max_units=self.max_units,
            split=self.split, lowercase=self.lowercase, vocab_size=self.vocab_size,
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
        spans = find_words(
            texts, max_words=self.max_length, split=self.split, lowercase=self.lowercase
        )
        # Every different word is looked up once.
        places: dict[str, int] = {}
        inverse = np.fromiter((places.setdefault(w, len(places)) for w in spans.words()), np.int64)
        rows = [
            _hashes(w, self.smallest, self.largest, self.whole_words, self.max_units)
            for w in places
        ]
        lengths = np.fromiter(map(len, rows), np.int64, count=len(rows))
        units = np.concatenate([np.zeros(0, np.int64), *map(np.asarray, rows)]) % self.num_rows
        ids = np.array([hash_string(word) % self.vocab_size for word in places], np.int32)
        return Tokenized(
            ids=ids[inverse],
            starts=spans.starts,
            truncated=spans.truncated,
            offsets=spans.offsets if return_offsets else None,
        ).with_units(
            units.astype(np.int32), starts_of(lengths), unit_sizes(self.max_units), of=inverse
        )

    def __repr__(self) -> str:
        return f"NGramTokenizer({self.smallest} to {self.largest}, max_length={self.max_length})"


@functools.lru_cache(1 << 17)
def _hashes(
    word: str, smallest: int, largest: int, whole_words: bool, max_units: int
) -> tuple[int, ...]:
    """Hashes of the n-grams of a word in its marks; of an endless word, no more than needed."""
    spelled = f"{_BEGINS}{word}{_ENDS}"
    found = [spelled] if whole_words else []
    # Each character begins an n-gram, but for the last ones.
    found += n_grams(spelled[: max_units + largest], smallest, largest)
    return tuple(hash_n_gram(gram.encode()) for gram in found[:max_units])


def piece_n_grams(spelled: str | bytes, vocabulary: UnitVocabulary, *, begins: bool) -> list[int]:
    """The set of n-grams of a piece of a word, by length, then by where they begin.

    Args:
        spelled: its text; bytes, where it may be a part of a character.
        vocabulary: of the n-grams.
        begins: whether it is marked as the beginning of a word.
    """
    text = spelled if isinstance(spelled, str) else spelled.decode(errors="surrogateescape")
    text = f"{_BEGINS if begins else ''}{text}"
    smallest, largest = vocabulary.n_grams
    found = [
        text[start : start + size]
        for size in range(smallest, largest + 1)
        for start in range(len(text) - size + 1)
    ]
    hashes = (hash_n_gram(gram.encode(errors="surrogateescape")) for gram in dict.fromkeys(found))
    return list(dict.fromkeys(h % vocabulary.num_characters for h in hashes))
