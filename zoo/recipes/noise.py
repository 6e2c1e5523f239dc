"""Mistakes in the texts of a recipe."""

import dataclasses
from collections.abc import Sequence

from textzoo.errors import ConfigError, closest
from textzoo.noise import EDITS, CharacterNoise, MisspellingNoise, Noise, read_misspellings
from textzoo.trainers.data import NoisyTexts, Source
from textzoo.trainers.data.noisy import check_copies


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NoiseSection:
    """Mistakes in the texts that are trained on; not in those held out, nor in a teacher's.

    Attributes:
        rate: share of the characters, or of the words, that are changed.
        edits: what may happen to a character; see :class:`textzoo.noise.CharacterNoise`.
        misspellings: files with misspellings, which then take the place of edits; see
            :func:`textzoo.noise.read_misspellings`.
        columns: of texts that get mistakes; all of them if absent.
        copies: how often each row is there, with other mistakes each time. Epochs count rows, not
            copies.
        keep_clean: the first of the copies has no mistakes.
        seed: another seed makes other mistakes.
    """

    rate: float = 0.1
    edits: tuple[str, ...] = EDITS
    misspellings: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    copies: int = 4
    keep_clean: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        CharacterNoise(rate=self.rate, edits=self.edits, seed=self.seed)  # refused now
        check_copies(self.copies, keep_clean=self.keep_clean)

    def check_columns(self, columns: Sequence[str]) -> None:
        """Raises :class:`ConfigError` for a column that is no text column."""
        for column in self.columns:
            if column not in columns:
                raise ConfigError(f"noise.columns has {column!r}; {closest(column, columns)}")

    def make(self) -> Noise:
        """The noise; reads the files of misspellings."""
        if self.misspellings:
            table = read_misspellings(*self.misspellings)
            return MisspellingNoise(table=table, rate=self.rate, seed=self.seed)
        return CharacterNoise(rate=self.rate, edits=self.edits, seed=self.seed)


def with_noise(
    sources: Sequence[Source], section: NoiseSection | None, columns: Sequence[str]
) -> tuple[Source, ...]:
    """The sources, with mistakes where the section says so.

    Args:
        sources: rows.
        section: ``None``: no mistakes.
        columns: the text columns of the rows.
    """
    if section is None:
        return tuple(sources)
    noise = section.make()
    return tuple(
        NoisyTexts(
            source, noise, columns=section.columns or tuple(columns), copies=section.copies,
            keep_clean=section.keep_clean,
        )
        for source in sources
    )  # fmt: skip
