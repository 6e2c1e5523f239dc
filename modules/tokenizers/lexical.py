"""Words with hashes of how they look: their norm, prefix, suffix and shape, as in spaCy."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from textzoo.modules.tokenizers.base import Tokenized
from textzoo.modules.tokenizers.murmur import hash_number, hash_string
from textzoo.modules.tokenizers.word_spans import find_words, in_pieces

_FIRST_SEED = 8  # of the first feature; those of the others follow (spaCy's tok2vec)
_LONG = 100  # from so many characters on, a shape says only that
_RUN = 4  # characters of the same kind that a shape shows

# What other spellings of a sign have as their norm (spaCy's BASE_NORMS, its pairs by norm).
_SIGNS = {
    "'s": "'s 'S ’s ’S",
    "'": "’ ‘ ´ `",
    '"': "” “ '' `` ´´ „ » « ‘‘ ’’",
    "?": "？",
    "!": "！",
    ",": "，",
    ";": "；",
    ":": "：",
    ".": "。 ।",
    "...": "…",
    "-": "— – -- --- ——",
    "$": "€ £ ¥ ฿ US$ C$ A$ ₺ ₹ ৳ ₩ Mex$ ₣ E£",
}
_NORMS = {spelling: norm for norm, spellings in _SIGNS.items() for spelling in spellings.split()}


def norm(word: str) -> str:
    """The word in lower case; quotes, dashes and currencies as one sign of their kind."""
    return _NORMS.get(word) or word.lower()


def prefix(word: str) -> str:
    """The first character."""
    return word[:1]


def suffix(word: str) -> str:
    """The last three characters."""
    return word[-3:]


def shape(word: str) -> str:
    """Capitals as X, other letters as x, digits as d, other characters as they are.

    Of a run of the same kind, four are kept, and a word of 100 characters or more is ``LONG``.
    """
    if len(word) >= _LONG:
        return "LONG"
    found: list[str] = []
    for character in word:
        if character.isalpha():
            kind = "X" if character.isupper() else "x"
        else:
            kind = "d" if character.isdigit() else character
        if found[-_RUN:] != [kind] * _RUN:
            found.append(kind)
    return "".join(found)


FEATURES: dict[str, Callable[[str], str]] = {
    "norm": norm, "prefix": prefix, "suffix": suffix, "shape": shape,
}  # fmt: skip


class LexicalTokenizer:
    """Words, each with four 32-bit hashes of every lexical feature as its units.

    Hashes are spaCy's and thinc's: MurmurHash64A of a feature's UTF-8 bytes with seed 1, and of
    that number MurmurHash3 (x64, 128 bits) with the seeds 8, 9, 10 and 11. They are the same in
    every process and on every machine. Nothing is learned, so it reads any text, and needs no file.

    A word is a run of letters, digits and the marks on them, with apostrophes inside; every other
    character that is not white space is a word by itself. A text without words has no tokens. The
    id of a word is the hash of its norm modulo ``vocab_size``.

    Args:
        max_length: longer texts are cut to this many words.
        features: some of ``norm``, ``prefix``, ``suffix``, ``shape``, in the order of an
            embedding's tables.
        vocab_size: how many ids there are; words may share one.

    Notes:
        spaCy cuts words by rules of each language ("don't" becomes "do" and "n't", with the norm
        "not"), and gives the words it uses as symbols ("NOUN", "dep") small numbers for hashes.
        Neither is done here. Words are compared with spaCy's in
        ``tests/modules/tokenizers/test_lexical.py``.

    Example:
        >>> LexicalTokenizer(max_length=8)(["Hello, world!"]).units.reshape(4, 4, 4).shape
        (4, 4, 4)
    """

    def __init__(
        self, *, max_length: int = 512, features: Sequence[str] = tuple(FEATURES),
        vocab_size: int = 1 << 20,
    ) -> None:  # fmt: skip
        for name, size in (("max_length", max_length), ("vocab_size", vocab_size)):
            if size < 1:
                raise ValueError(f"{name}={size}; use 1 or more")
        unknown = [name for name in features if name not in FEATURES]
        if isinstance(features, str) or unknown or not features:
            raise ValueError(f"features={features!r}; give a list of some of {', '.join(FEATURES)}")
        self.max_length = max_length
        self.features = tuple(features)
        self.vocab_size = vocab_size

    def save(self, directory: Path) -> None:
        """Writes nothing: the options in the config are all there is."""

    def with_options(self, *, max_length: int) -> "LexicalTokenizer":
        """A tokenizer that cuts texts elsewhere; this one is left as it is."""
        return LexicalTokenizer(
            max_length=max_length, features=self.features, vocab_size=self.vocab_size
        )

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
        spans = find_words(texts, max_words=self.max_length)
        units, ids = self._look_up(spans.words())
        size = units.shape[1]
        return Tokenized(
            ids=ids,
            starts=spans.starts,
            truncated=spans.truncated,
            offsets=spans.offsets if return_offsets else None,
            units=units.ravel(),
            unit_starts=np.arange(len(ids) + 1, dtype=np.int64) * size,
            unit_sizes=(size,),
        )

    def _look_up(self, words: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Hashes ``[N, 4 F]`` and ids ``[N]`` of words; every different one is hashed once."""
        places: dict[str, int] = {}
        inverse = np.fromiter((places.setdefault(word, len(places)) for word in words), np.int64)
        rows = [_hashes(word, self.features) for word in places]
        hashes = np.array(rows, np.uint32).reshape(-1, 4 * len(self.features))
        ids = np.array([hash_string(norm(word)) % self.vocab_size for word in places], np.int32)
        return hashes.view(np.int32)[inverse], ids[inverse]

    def __repr__(self) -> str:
        return f"LexicalTokenizer({', '.join(self.features)}, max_length={self.max_length})"


@functools.lru_cache(1 << 17)
def _hashes(word: str, features: tuple[str, ...]) -> tuple[int, ...]:
    """Four hashes of each feature of a word, one feature after the other."""
    found: list[int] = []
    for seed, name in enumerate(features, start=_FIRST_SEED):
        found.extend(_feature_hashes(FEATURES[name](word), seed))
    return tuple(found)


@functools.lru_cache(1 << 17)
def _feature_hashes(feature: str, seed: int) -> tuple[int, int, int, int]:
    return hash_number(hash_string(feature), seed)
