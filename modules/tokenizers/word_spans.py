"""Where the words of many texts stand, found in numpy for all texts at once."""

import dataclasses
import unicodedata
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Int, Integer, Shaped

from textzoo.modules.tokenizers.base import Tokenized, check_texts, ragged_sources

SPLITS = ("words", "spaces")
"""How a text is cut: at everything that is no letter, digit or mark; or at white space alone."""

_UNICODE = 0x110000
_UNKNOWN = -1
_SPACE, _INSIDE, _APOSTROPHE, _OTHER = 0, 1, 2, 3  # What a character is to a word.

# Enough for numpy to be fast, and no more: arrays take some twenty bytes for each character.
_PIECE_TEXTS = 2048
_PIECE_CHARACTERS = 1 << 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class WordSpans:
    """Words of some texts.

    Attributes:
        text: all texts, joined.
        codes: code points of the joined text, or bytes where those are the same.
        text_starts: where each text begins in the joined one.
        first: where each word begins in the joined text.
        last: where it ends.
        starts: first word of each text, and the total at the end.
        truncated: whether words were left out, for each text.
    """

    text: str
    codes: Integer[np.ndarray, "T"]
    text_starts: Int[np.ndarray, "B"]
    first: Int[np.ndarray, "N"]
    last: Int[np.ndarray, "N"]
    starts: Int[np.ndarray, "B1"]
    truncated: Bool[np.ndarray, "B"]

    @property
    def offsets(self) -> Int[np.ndarray, "N 2"]:
        """First and last character of each word, counted in its own text."""
        own = np.repeat(self.text_starts, np.diff(self.starts))
        return np.stack([self.first - own, self.last - own], axis=1)

    def words(self) -> list[str]:
        """The words as strings."""
        spans = zip(self.first.tolist(), self.last.tolist(), strict=True)
        return [self.text[first:last] for first, last in spans]


def find_words(
    texts: Sequence[str], *, max_words: int, split: str = "words", lowercase: bool = False
) -> WordSpans:
    """Finds the words of texts.

    Args:
        texts: valid texts; see :func:`check_texts`.
        max_words: of each text; further ones are left out.
        split: ``"words"``: a word is a run of letters, digits and the marks on them, with
            apostrophes inside, and every other character that is not white space is a word by
            itself. ``"spaces"``: what stands between white space.
        lowercase: lower the case, character by character, so that offsets stay right: a letter
            whose small form is several characters (İ) stays as it is.
    """
    joined = "\n".join(texts)  # White space, so no word reaches into the next text.
    if joined.isascii():
        joined = joined.lower() if lowercase else joined
        codes = np.frombuffer(joined.encode("ascii"), np.uint8)
    else:
        codes = np.frombuffer(joined.encode("utf-32-le"), "<u4")
        if lowercase:
            codes = _LOWER(codes).astype("<u4")
            joined = codes.tobytes().decode("utf-32-le")
    lengths = np.fromiter(map(len, texts), np.int64, count=len(texts))
    text_starts = np.cumsum(lengths + 1) - lengths - 1
    first, last = _runs(_KINDS(codes), split)
    begins = np.append(np.searchsorted(first, text_starts), len(first))
    counts = np.diff(begins)
    kept, starts = ragged_sources(begins[:-1], np.minimum(counts, max_words))
    return WordSpans(
        text=joined, codes=codes, text_starts=text_starts, first=first[kept], last=last[kept],
        starts=starts, truncated=counts > max_words,
    )  # fmt: skip


def _pieces(texts: list[str], *, max_texts: int, max_characters: int) -> Iterator[list[str]]:
    """Cuts a list into shorter ones whose texts are not too long together."""
    start = characters = 0
    for index, text in enumerate(texts):
        full = index - start >= max_texts or characters + len(text) > max_characters
        if full and index > start:
            yield texts[start:index]
            start, characters = index, 0
        characters += len(text)
    if start < len(texts):
        yield texts[start:]


def in_pieces(
    texts: Sequence[str], tokenize: Callable[[list[str]], Tokenized],
    *, max_texts: int = _PIECE_TEXTS, max_characters: int = _PIECE_CHARACTERS,
) -> Tokenized:  # fmt: skip
    """Tokenizes texts some at a time, after a look at whether they are texts.

    Args:
        texts: what to tokenize.
        tokenize: valid texts to tokens; also called when there are none.
        max_texts: of a call.
        max_characters: of a call, in all its texts.

    Raises:
        TypeError: an item is not a string.
        ValueError: a string has a lone surrogate.
    """
    texts = list(texts)
    check_texts(texts)
    cut = _pieces(texts, max_texts=max_texts, max_characters=max_characters)
    parts = [tokenize(piece) for piece in cut]
    return Tokenized.concatenate(parts) if parts else tokenize([])


def _runs(
    kinds: Int[np.ndarray, "T"], split: str
) -> tuple[Int[np.ndarray, "N"], Int[np.ndarray, "N"]]:
    """Where words begin and end."""
    if split == "spaces":
        inside = kinds != _SPACE
        alone = np.zeros_like(inside)
    else:
        letters = kinds == _INSIDE
        inside = letters.copy()
        inside[1:-1] |= (kinds[1:-1] == _APOSTROPHE) & letters[:-2] & letters[2:]
        alone = (kinds >= _APOSTROPHE) & ~inside
    edges = np.zeros(len(kinds) + 1, np.int8)
    edges[:-1] = inside
    edges[1:] -= inside
    first = np.flatnonzero(alone | (edges[:-1] > 0))
    last = np.flatnonzero(alone | (edges[1:] < 0)) + 1
    return first, last


class _CharacterTable:
    """A number for every character, found when a text first has it.

    Filling the whole table would take half a second. Threads may find a number twice, which is
    the same.
    """

    def __init__(self, number_of: Callable[[str], int]) -> None:
        self._number_of = number_of
        self._numbers: np.ndarray | None = None

    def __call__(self, codes: Shaped[np.ndarray, "T"]) -> Int[np.ndarray, "T"]:
        if self._numbers is None:
            self._numbers = np.full(_UNICODE, _UNKNOWN, np.int32)
        table = self._numbers
        numbers = table[codes]
        unknown = codes[numbers == _UNKNOWN]
        if len(unknown):
            for code in np.unique(unknown).tolist():
                table[code] = self._number_of(chr(code))
            numbers = table[codes]
        return numbers


def _kind(character: str) -> int:
    if character.isspace():
        return _SPACE
    if character in "'’":
        return _APOSTROPHE
    # Many scripts write vowels as marks, and join letters with what has no width.
    inside = character.isalnum() or character in "_\u200c\u200d"
    return _INSIDE if inside or unicodedata.category(character)[0] == "M" else _OTHER


def _lower(character: str) -> int:
    lowered = character.lower()
    return ord(lowered if len(lowered) == 1 else character)


_KINDS = _CharacterTable(_kind)
_LOWER = _CharacterTable(_lower)
