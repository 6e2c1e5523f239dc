"""Rows whose texts have mistakes in them."""

import hashlib
from collections.abc import Sequence

from textzoo.errors import ConfigError, closest
from textzoo.noise import Noise
from textzoo.trainers.data.broken_rows import SourceReport
from textzoo.trainers.data.sources import Row, Source


class NoisyTexts(Source):
    """A source with mistakes in some of its text columns; all else stays as it is.

    So a student reads ``recieve`` while its teacher's vector, a column of the same row, is that of
    ``receive``.

    Every row is there ``copies`` times, each time with other mistakes, so that an epoch of this
    source is so many epochs of the rows. The mistakes follow from the seed of the noise, the copy
    and the text: a run that is resumed reads the same ones.

    Args:
        source: the rows.
        noise: what happens to texts, see :mod:`textzoo.noise`.
        columns: of texts that get mistakes.
        copies: how often each row is there.
        keep_clean: the first of the copies has no mistakes.

    Raises:
        ConfigError: there is no such text column, or no room for a copy with mistakes.
    """

    def __init__(
        self, source: Source, noise: Noise, *, columns: Sequence[str], copies: int = 1,
        keep_clean: bool = False,
    ) -> None:  # fmt: skip
        known = [field.name for field in source.fields if field.kind == "text"]
        for column in columns:
            if column not in known:
                raise ConfigError(f"columns has {column!r}; {closest(column, known)}")
        if isinstance(columns, str) or not columns:
            raise ConfigError(f"columns={columns!r}; name some text columns, e.g. ('text',)")
        check_copies(copies, keep_clean=keep_clean)
        self._source = source
        self._copies = copies
        # Columns have mistakes of their own: equal texts of one row do not stay equal.
        self._noises = [
            {
                column: noise.with_options(seed=noise.seed + copy * len(columns) + number)
                for number, column in enumerate(columns)
            }
            for copy in range(copies)
        ]
        if keep_clean:
            self._noises[0] = {}
        self.name = f"{source.name} with noise"
        self.fields = source.fields
        self.report = SourceReport(source=self.name, rows=len(self))
        identity = (source.fingerprint, noise.describe(), tuple(columns), copies, keep_clean)
        self.fingerprint = hashlib.sha256(repr(identity).encode()).hexdigest()[:16]

    def __len__(self) -> int:
        return len(self._source) * self._copies

    def __getitem__(self, index: int) -> Row:
        copy, place = divmod(index, len(self._source))
        row = self._source[place]
        noises = self._noises[copy]
        return {**row, **{name: noise([row[name]])[0] for name, noise in noises.items()}}

    def reports(self) -> tuple[SourceReport, ...]:
        """The report of every file that the source is made of."""
        return self._source.reports()


def check_copies(copies: int, *, keep_clean: bool) -> None:
    """Raises :class:`ConfigError` where no copy of a row would have mistakes."""
    if copies < 1 + keep_clean:
        raise ConfigError(
            f"copies={copies} with keep_clean={keep_clean}; use {1 + keep_clean} or more, so that "
            "a copy has mistakes"
        )
