"""Rows that cannot be used: counted, listed, and left out or refused."""

import dataclasses
import logging
from collections.abc import Sequence

from textzoo.errors import DataError, closest

_LOGGER = logging.getLogger(__name__)
_REASONS_KEPT = 20
_REASONS_SHOWN = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceReport:
    """What reading a source found.

    Attributes:
        source: its name.
        rows: rows that can be used.
        broken: numbers of the lines (rows, where there are no lines) that cannot, from 1.
        reasons: what is wrong with the first of them.
    """

    source: str
    rows: int
    broken: tuple[int, ...] = ()
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        """A sentence or two for people."""
        if not self.broken:
            return f"{self.source}: {self.rows:,} rows"
        total = self.rows + len(self.broken)
        listed = "; ".join(
            f"line {line}: {reason}"
            for line, reason in zip(
                self.broken[:_REASONS_SHOWN], self.reasons[:_REASONS_SHOWN], strict=True
            )
        )
        more = len(self.broken) - _REASONS_SHOWN
        return f"{self.source}: {len(self.broken):,} of {total:,} rows are broken ({listed}" + (
            f"; and {more:,} more)" if more > 0 else ")"
        )


class BrokenRows:
    """Collects broken rows while a source is read for the first time.

    Args:
        source: the name of the source, for messages.
        strict: refuse the first broken row instead of leaving it out.
    """

    def __init__(self, source: str, *, strict: bool) -> None:
        self._source = source
        self._strict = strict
        self._lines: list[int] = []
        self._reasons: list[str] = []

    def add(self, line: int, reason: str) -> None:
        """Counts a row.

        Raises:
            DataError: under ``strict``.
        """
        if self._strict:
            raise DataError(
                f"{self._source}, line {line}: {reason}; repair the row, or read without strict "
                "to leave broken rows out"
            )
        self._lines.append(line)
        if len(self._reasons) < _REASONS_KEPT:
            self._reasons.append(reason)

    def report(self, rows: int) -> SourceReport:
        """What was found.

        Raises:
            DataError: no row can be used.
        """
        if not rows:
            lines, reasons = self._lines, self._reasons
            found = f"all {len(lines):,} rows are broken" if lines else "there are no rows"
            example = f" (line {lines[0]}: {reasons[0]})" if lines else ""
            raise DataError(
                f"{self._source}: {found}{example}; expected at least one row, check the path "
                "and the columns"
            )
        return SourceReport(
            source=self._source, rows=rows, broken=tuple(self._lines), reasons=tuple(self._reasons)
        )


def log_broken(report: SourceReport) -> None:
    """Warns in the log when rows are left out."""
    if report.broken:
        _LOGGER.warning("%s; they are left out", report)


def refuse_broken(report: SourceReport) -> None:
    """Raises for the first broken row that an earlier reading, not strict, has found.

    Raises:
        DataError: there is one.
    """
    if report.broken:
        BrokenRows(report.source, strict=True).add(report.broken[0], report.reasons[0])


def missing_column(source: str, name: str, known: Sequence[str]) -> DataError:
    """The error for a column that a source does not have."""
    return DataError(
        f"{source} has no column {name!r}; {closest(name, known)} It has: {', '.join(known)}"
    )
