"""Numbers of the bytes, characters or n-grams that words and subword pieces are made of."""

import dataclasses

import numpy as np
from jaxtyping import Int, Integer

KINDS = ("bytes", "characters", "n_grams")
_BYTES = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnitVocabulary:
    """Bytes, characters or n-grams, and seven numbers after them for what is neither.

    Attributes:
        kind: ``"bytes"`` of UTF-8: 0 to 255; ``"characters"``: code points modulo
            ``num_characters``, so that those below it have numbers of their own, and those above
            share them; or ``"n_grams"`` of characters: fastText's hash of each, modulo
            ``num_characters``.
        num_characters: see ``kind``; bytes are 256.
        n_grams: characters of the smallest and of the largest n-gram.

    Notes:
        The seven are, from ``first_special`` on: a text begins, a text ends, a word begins, a word
        ends, padding, mask, any other special token. With bytes that is the order of ELMo's and
        CharacterBERT's code, which count from 1, and have nothing for the last.
    """

    kind: str = "bytes"
    num_characters: int = 1 << 16
    n_grams: tuple[int, int] = (1, 3)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"units={self.kind!r}; use 'bytes', 'characters' or 'n_grams'")
        smallest, largest = self.n_grams
        if not 1 <= smallest <= largest:
            raise ValueError(
                f"n-grams of {smallest} to {largest} characters; the smallest has 1 or more, and "
                "the largest is not smaller, e.g. 3 and 6"
            )
        if self.num_characters < 1:
            raise ValueError(f"num_characters={self.num_characters}; use 1 or more")

    @property
    def first_special(self) -> int:
        """The first of the seven numbers that are no byte or character."""
        return _BYTES if self.kind == "bytes" else self.num_characters

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return self.first_special + 7

    @property
    def text_begins(self) -> int:
        """The only unit, but for marks, of a token that stands before a text."""
        return self.first_special

    @property
    def text_ends(self) -> int:
        """The only unit, but for marks, of a token that stands after a text."""
        return self.first_special + 1

    @property
    def word_begins(self) -> int:
        """The mark before the units of a word."""
        return self.first_special + 2

    @property
    def word_ends(self) -> int:
        """The mark behind the units of a word."""
        return self.first_special + 3

    @property
    def mask(self) -> int:
        """The only unit, but for marks, of a token that stands for another."""
        return self.first_special + 5

    @property
    def special(self) -> int:
        """The only unit, but for marks, of any other special token."""
        return self.first_special + 6

    def of_codes(
        self, text: str, codes: Integer[np.ndarray, "T"]
    ) -> tuple[Int[np.ndarray, "U"], Int[np.ndarray, "T1"]]:
        """Units of a text, and the first of each character, with the total at the end.

        Args:
            text: valid text.
            codes: its code points.
        """
        if self.kind == "characters" or text.isascii():
            units = codes if self.kind == "bytes" else codes % np.uint32(self.num_characters)
            return units.astype(np.int32), np.arange(len(codes) + 1)
        sizes = 1 + (codes >= 0x80) + (codes >= 0x800).astype(np.int8) + (codes >= 0x10000)
        starts = np.zeros(len(codes) + 1, np.int64)
        np.cumsum(sizes, out=starts[1:])
        return np.frombuffer(text.encode(), np.uint8).astype(np.int32), starts


def unit_sizes(max_units: int) -> tuple[int, ...]:
    """What C of a batch may be: multiples of 8 below ``max_units``, and that."""
    return (*range(8, max_units, 8), max_units)
