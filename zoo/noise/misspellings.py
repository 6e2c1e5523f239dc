"""Misspellings that people have made, from a table."""

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from textzoo.errors import ConfigError, DataError
from textzoo.noise.base import (
    Corrupted,
    TextNoise,
    check_rate_and_seed,
    check_text,
    draws,
    rounded,
    weighted_choice,
)
from textzoo.text_files import read_tsv, tsv_columns

# Letters, with apostrophes inside.
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class MisspellingTable:
    """Words and how they are misspelled.

    Attributes:
        words: by word in small letters, its misspellings and how often each is made, in proportion.
        fingerprint: equal for equal tables.
    """

    words: Mapping[str, tuple[tuple[str, float], ...]]
    fingerprint: str = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        if not self.words or not all(self.words.values()):
            raise DataError("the table of misspellings is empty, or has a word without any")
        lines = (f"{word}\t{found}" for word, found in sorted(self.words.items()))
        digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
        object.__setattr__(self, "fingerprint", digest)

    def __len__(self) -> int:
        return len(self.words)

    def __repr__(self) -> str:
        return f"MisspellingTable({len(self)} words, {self.fingerprint})"


def read_misspellings(*paths: str | Path) -> MisspellingTable:
    """Reads TSV files with the columns ``correct`` and ``misspelling``, and perhaps ``count``.

    ``correct`` may name several words, separated by commas: the misspelling stands for each.
    ``_`` is a blank. Only single words are looked up, so what is no word in ``correct`` (a
    comment, a phrase) is passed over, and so is a "misspelling" that differs in case alone.
    Misspellings of one word from several lines and files are put together.

    Raises:
        DataError: a file is missing or lacks a column, a count is no number above zero, or no word
            is found.
    """
    found: dict[str, dict[str, float]] = {}
    for path in map(Path, paths):
        columns = ["correct", "misspelling"]
        has_counts = "count" in tsv_columns(path)
        for line, row in enumerate(read_tsv(path, columns + ["count"] * has_counts), start=2):
            wrong = row[1].replace("_", " ").strip().lower()
            weight = _count(row[2], path, line) if has_counts else 1.0
            for part in row[0].split(","):
                word = part.replace("_", " ").strip().lower()
                if wrong and wrong != word and _WORD.fullmatch(word):
                    spellings = found.setdefault(word, {})
                    spellings[wrong] = spellings.get(wrong, 0.0) + weight
    if not found:
        raise DataError(
            f"{', '.join(map(str, paths)) or 'no file'}: no misspelling of a word was found; give "
            "TSV files with the columns correct and misspelling"
        )
    return MisspellingTable({word: tuple(wrong.items()) for word, wrong in found.items()})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MisspellingNoise(TextNoise):
    """Misspells a share of the words, as a table has it.

    A text with n words gets ``rate n`` misspellings, rounded up or down by chance, at words drawn
    without replacement from those that are in the table; if there are fewer of them, all are
    misspelled. The misspelling has the case of the word: ``Recieve`` for ``Receive``.

    Attributes:
        table: see :func:`read_misspellings`.
        rate: misspellings per word, 0 to 1; 1 misspells every word that can be.
        seed: another seed makes other misspellings.

    Notes:
        Words are letters, with apostrophes inside; between them the text stays as it is.

    Example:
        >>> table = MisspellingTable({"receive": (("recieve", 1.0),)})
        >>> MisspellingNoise(table=table, rate=1.0)(["We receive it."])
        ['We recieve it.']
    """

    table: MisspellingTable
    rate: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        check_rate_and_seed(self.rate, self.seed)
        if not isinstance(self.table, MisspellingTable):
            raise ConfigError(
                f"table is {type(self.table).__name__}; use read_misspellings(path), or "
                "MisspellingTable({word: ((misspelling, 1.0), ...)})"
            )

    def corrupt(self, text: str) -> Corrupted:
        """One text, and how many of its words were misspelled."""
        check_text(text)
        words = list(_WORD.finditer(text))
        chance = draws("misspellings", self.seed, text, 1 + 2 * len(words))
        wanted = rounded(self.rate * len(words), chance[0])
        if not wanted:
            return Corrupted(text, 0, len(words))
        order, details = chance[1:].reshape(2, -1)
        known = [
            number
            for number in np.argsort(order, kind="stable")
            if _key(words[number]) in self.table.words
        ]
        chosen = sorted(known[:wanted])
        pieces, end = [], 0
        for number in chosen:
            word = words[number]
            pieces += [text[end : word.start()], self._misspelled(word, details[number])]
            end = word.end()
        return Corrupted("".join([*pieces, text[end:]]), len(chosen), len(words))

    def describe(self) -> str:
        """Everything that decides what becomes of a text, on one line."""
        return repr(self)

    def _misspelled(self, word: re.Match[str], draw: float) -> str:
        spellings = self.table.words[_key(word)]
        return _in_case_of(word.group(), weighted_choice(spellings, draw))


def _key(word: re.Match[str]) -> str:
    return word.group().lower().replace("’", "'")


def _in_case_of(word: str, wrong: str) -> str:
    if len(word) > 1 and word.isupper():
        return wrong.upper()
    return wrong[0].upper() + wrong[1:] if word[0].isupper() else wrong


def _count(text: str, path: Path, line: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise DataError(f"{path}, line {line}: count {text!r} is not a number above 0")
    return value
