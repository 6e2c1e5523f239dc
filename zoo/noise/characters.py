"""Edits of single characters, as people make them at a keyboard."""

import dataclasses
import string
from collections.abc import Mapping

import numpy as np

from textzoo.errors import ConfigError, closest
from textzoo.noise.base import (
    Corrupted,
    TextNoise,
    check_rate_and_seed,
    check_text,
    draws,
    rounded,
    weighted_choice,
)

EDITS = ("drop", "add", "swap", "keyboard", "case")
"""What may happen to a character."""

# Letters from left to right, and how far each row is shifted, in widths of a key.
_ROWS = {
    "qwerty": ("qwertyuiop", "asdfghjkl", "zxcvbnm"),
    "qwertz": ("qwertzuiopü", "asdfghjklöä", "yxcvbnm"),
    "azerty": ("azertyuiop", "qsdfghjklm", "wxcvbn"),
}
_SHIFTS = (0.0, 0.25, 0.75)
_REACH = 1.3
LAYOUTS = tuple(_ROWS)
"""Keyboards whose neighbors are known."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CharacterNoise(TextNoise):
    """Edits a share of the characters, one edit each.

    A text with n characters that are not white space gets ``rate n`` edits, rounded up or down by
    chance, at places drawn without replacement. What happens at a place is drawn from ``edits``,
    among those that can happen there:

    - ``"drop"``: the character is left out;
    - ``"add"``: a letter of ``alphabet`` comes after it, a capital after a capital;
    - ``"swap"``: it changes places with the next one, if that is no white space and another one;
    - ``"keyboard"``: a neighbor on the keyboard takes its place, in its case; digits have the next
      smaller and larger digit for neighbors;
    - ``"case"``: a capital becomes small, and the other way round.

    White space stays where it is, so words are neither joined nor split.

    Attributes:
        rate: edits per character that is not white space, 0 to 1.
        edits: what may happen, each equally often; all of :data:`EDITS` by default.
        weights: how often each of ``edits``, in proportion; ``None``: equally often.
        alphabet: letters that are added.
        layout: of the keyboard, one of :data:`LAYOUTS`.
        seed: another seed makes other edits.

    Notes:
        Characters are code points: an edit may part a letter from its combining mark.

        Where an edit is possible at few places (Chinese has no neighbors on this keyboard), fewer
        characters are changed than the rate says; :func:`textzoo.noise.share_changed` tells. A
        swap moves two characters and counts as one edit, as in the Damerau-Levenshtein distance.

        A tokenizer that lower-cases texts sees nothing of ``"case"``.

    Example:
        >>> noise = CharacterNoise(rate=0.15, edits=("swap",), seed=1)
        >>> noise(["the quick brown fox"])
        ['the qiukc brown fox']
    """

    rate: float = 0.1
    edits: tuple[str, ...] = EDITS
    weights: tuple[float, ...] | None = None
    alphabet: str = string.ascii_lowercase
    layout: str = "qwerty"
    seed: int = 0

    def __post_init__(self) -> None:
        check_rate_and_seed(self.rate, self.seed)
        if isinstance(self.edits, str) or not self.edits:
            raise ConfigError(f"edits={self.edits!r}; give a list of some of {', '.join(EDITS)}")
        object.__setattr__(self, "edits", tuple(self.edits))  # a list, where it comes from JSON
        for edit in self.edits:
            if edit not in EDITS:
                raise ConfigError(f"edits has {edit!r}; {closest(edit, EDITS)}")
        if self.weights is not None:
            object.__setattr__(self, "weights", tuple(self.weights))
            if len(self.weights) != len(self.edits) or not all(
                0 < w < np.inf for w in self.weights
            ):
                raise ConfigError(
                    f"weights={self.weights} for edits={self.edits}; give one number above 0 for "
                    "each edit, or leave them out"
                )
        if not self.alphabet:
            raise ConfigError("alphabet is empty; give the letters that may be added")
        if self.layout not in LAYOUTS:
            raise ConfigError(f"layout={self.layout!r}; {closest(self.layout, LAYOUTS)}")

    def corrupt(self, text: str) -> Corrupted:
        """One text, and how many of its characters were edited."""
        check_text(text)
        places = [index for index, character in enumerate(text) if not character.isspace()]
        chance = draws("characters", self.seed, text, 1 + 3 * len(places))
        wanted = rounded(self.rate * len(places), chance[0])
        if not wanted:
            return Corrupted(text, 0, len(places))
        order, kinds, details = chance[1:].reshape(3, -1)
        characters = list(text)
        free = [True] * len(text) + [False]
        changed = 0
        for number in np.argsort(order, kind="stable"):
            place = places[number]
            if not free[place]:
                continue
            edit = self._choose(text, place, free, kinds[number])
            if edit is None:
                continue
            free[place] = False
            if edit == "swap":
                free[place + 1] = False
                characters[place : place + 2] = text[place + 1], text[place]
            else:
                characters[place] = self._edited(text[place], edit, details[number])
            changed += 1
            if changed == wanted:
                break
        return Corrupted("".join(characters), changed, len(places))

    def describe(self) -> str:
        """Everything that decides what becomes of a text, on one line."""
        return repr(self)

    def _choose(self, text: str, place: int, free: list[bool], draw: float) -> str | None:
        """What happens at a place; ``None`` where nothing can."""
        weights = self.weights or (1.0,) * len(self.edits)
        character = text[place]
        possible = [
            (edit, weight)
            for edit, weight in zip(self.edits, weights, strict=True)
            if edit in ("drop", "add")
            or (edit == "swap" and free[place + 1] and _may_swap(character, text[place + 1]))
            or (edit == "keyboard" and character.lower() in _NEIGHBORS[self.layout])
            or (edit == "case" and _other_case(character) != character)
        ]
        return weighted_choice(possible, draw) if possible else None

    def _edited(self, character: str, edit: str, draw: float) -> str:
        if edit == "drop":
            return ""
        if edit == "case":
            return _other_case(character)
        choices = self.alphabet if edit == "add" else _NEIGHBORS[self.layout][character.lower()]
        chosen = choices[int(draw * len(choices))]
        if character.isupper():
            chosen = chosen.upper()
        return character + chosen if edit == "add" else chosen


def _may_swap(first: str, second: str) -> bool:
    return first != second and not second.isspace()


def _other_case(character: str) -> str:
    """The character in the other case; itself, where that is none or several characters."""
    other = character.swapcase()
    return other if len(other) == 1 else character


def _neighbors(rows: tuple[str, ...]) -> Mapping[str, str]:
    """Keys whose centers are near each other: those beside a key, above and below it."""
    centers = {
        key: (shift + column, float(line))
        for line, (row, shift) in enumerate(zip(rows, _SHIFTS, strict=True))
        for column, key in enumerate(row)
    }
    found = {
        key: "".join(
            other
            for other, (x2, y2) in centers.items()
            if other != key and np.hypot(x - x2, y - y2) < _REACH
        )
        for key, (x, y) in centers.items()
    }
    digits = string.digits
    found |= {d: digits[max(0, i - 1) : i] + digits[i + 1 : i + 2] for i, d in enumerate(digits)}
    return found


_NEIGHBORS = {layout: _neighbors(rows) for layout, rows in _ROWS.items()}
