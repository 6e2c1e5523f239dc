"""Other ways to write a phrase: by its characters, its words, or as a whole (PEARL)."""

import dataclasses
import hashlib
import string
from collections.abc import Mapping, Sequence

import numpy as np

from textzoo.errors import ConfigError

CHARACTER_EDITS = ("swap", "delete", "insert", "keyboard", "substitute", "ocr")
"""What may happen to one character of a phrase."""

CHANGES = ("character", "synonym", "paraphrase", "order", "none")
"""What may happen to a phrase."""

_NEIGHBORS = {
    letter: (row[place - 1 : place] if place else "") + row[place + 1 : place + 2]
    for row in ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm")
    for place, letter in enumerate(row)
}
_LOOK_ALIKES = {
    "0": "o", "o": "0", "1": "l", "l": "1", "i": "1", "5": "s", "s": "5", "8": "b", "b": "6",
    "6": "b", "g": "9", "9": "g", "z": "2", "2": "z", "q": "9", "O": "0", "I": "l", "B": "8",
    "S": "5", "Z": "2", "G": "6", "D": "O", "Q": "O", "u": "v", "v": "u", "c": "e", "e": "c",
    "h": "n", "n": "h",
}  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class PhraseAugmentation:
    """Writes phrases in another way, at one of three granularities.

    What happens to a phrase is drawn anew for every ``copy``, and follows from the seed, the copy
    and the phrase alone. Where the change that is drawn is not possible (no synonym is known, there
    is one word), the phrase stays as it is.

    (Chen et al. 2024, PEARL, section 3.2.)

    Attributes:
        synonyms: other words, by word in lower case.
        paraphrases: other phrases, by phrase.
        shares: how often each of :data:`CHANGES`, in proportion. PEARL has one edit of a
            character, one word for a synonym, the whole phrase for a paraphrase, and two words
            that change places.
        seed: another seed makes other phrases.

    Notes:
        PEARL takes synonyms from WordNet and a thesaurus and paraphrases from a language model
        (Parrot); here they are what is given. Its keyboard and look-alikes are those of nlpaug,
        here small tables of Latin letters and digits.

    Example:
        >>> change = PhraseAugmentation(shares=(0, 0, 0, 1, 0))
        >>> change("active lifestyle")
        'lifestyle active'
    """

    synonyms: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    paraphrases: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    shares: tuple[float, ...] = (0.10, 0.30, 0.50, 0.05, 0.05)
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.shares) != len(CHANGES) or min(self.shares) < 0 or not sum(self.shares) > 0:
            raise ConfigError(
                f"shares={self.shares}; give one number of 0 or more for each of "
                f"{', '.join(CHANGES)}, not all 0"
            )

    def __call__(self, phrase: str, *, copy: int = 0) -> str:
        """Another way to write a phrase, or the phrase itself."""
        rng = _generator(self.seed, copy, phrase)
        change = CHANGES[_drawn(self.shares, rng)]
        if change == "character":
            return edit_character(phrase, rng)
        if change == "synonym":
            return self._with_synonym(phrase, rng)
        if change == "paraphrase":
            known = self.paraphrases.get(phrase, ())
            return str(known[int(rng.integers(len(known)))]) if known else phrase
        return _swapped(phrase, rng) if change == "order" else phrase

    def _with_synonym(self, phrase: str, rng: np.random.Generator) -> str:
        words = phrase.split(" ")
        known = [place for place, word in enumerate(words) if self.synonyms.get(word.lower())]
        if not known:
            return phrase
        place = known[int(rng.integers(len(known)))]
        choices = self.synonyms[words[place].lower()]
        words[place] = str(choices[int(rng.integers(len(choices)))])
        return " ".join(words)


def edit_character(phrase: str, rng: np.random.Generator) -> str:
    """The phrase with one of :data:`CHARACTER_EDITS`, at one of its letters and digits."""
    places = [place for place, character in enumerate(phrase) if character.isalnum()]
    if not places:
        return phrase
    place = places[int(rng.integers(len(places)))]
    kind = CHARACTER_EDITS[int(rng.integers(len(CHARACTER_EDITS)))]
    before, character, after = phrase[:place], phrase[place], phrase[place + 1 :]
    letter = string.ascii_lowercase[int(rng.integers(26))]
    if kind == "swap":
        return before + after[:1] + character + after[1:] if after[:1].isalnum() else phrase
    if kind == "delete":
        return before + after if len(places) > 1 else phrase
    if kind == "insert":
        return before + character + letter + after
    if kind == "substitute":
        return before + letter + after
    if kind == "ocr":
        return before + _LOOK_ALIKES.get(character, character) + after
    near = _NEIGHBORS.get(character.lower(), "")
    if not near:
        return phrase
    typed = near[int(rng.integers(len(near)))]
    return before + (typed.upper() if character.isupper() else typed) + after


def _swapped(phrase: str, rng: np.random.Generator) -> str:
    words = phrase.split(" ")
    if len(words) < 2:
        return phrase
    first, second = rng.choice(len(words), size=2, replace=False)
    words[first], words[second] = words[second], words[first]
    return " ".join(words)


def _drawn(shares: Sequence[float], rng: np.random.Generator) -> int:
    ends = np.cumsum(shares)
    return int(np.searchsorted(ends, rng.random() * ends[-1], side="right"))


def _generator(seed: int, copy: int, phrase: str) -> np.random.Generator:
    digest = hashlib.blake2b(f"{seed}\0{copy}\0{phrase}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))
