"""Sources as a recipe sees them: other names of columns, some of the rows, classes by name."""

import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, cast

import numpy as np
from jaxtyping import Int

from textzoo.errors import ConfigError, DataError, closest
from textzoo.recipes.recipe import DataSection, SourceConfig
from textzoo.trainers.data import Field, Source, SourceReport, open_source
from textzoo.trainers.data.fields import Kind
from textzoo.trainers.data.sources import Row

_AT_ONCE = 4096

Names: TypeAlias = Mapping[str, tuple[str, ...]]
"""Columns of a source by their name in a recipe."""


class View(Source):
    """Some rows of a source, its columns under other names.

    Args:
        source: the rows.
        names: of the columns, by their name here; texts of several are joined by a space.
        rows: which rows, in order; all if absent.
        classes: number of each class by the text of its name, for the column ``labels``.
        labels: see ``classes``.
    """

    def __init__(
        self, source: Source, names: Names, *,
        rows: Int[np.ndarray, "N"] | None = None, classes: Sequence[str] = (),
        labels: str | None = None,
    ) -> None:  # fmt: skip
        self._source, self._names, self._rows = source, dict(names), rows
        self._numbers = {name: number for number, name in enumerate(classes)}
        self._labels = labels
        kinds = {field.name: field for field in source.fields}
        self.fields = tuple(
            Field(name=name, kind="class", classes=tuple(classes))
            if name == labels
            else dataclasses.replace(kinds[columns[0]], name=name)
            for name, columns in names.items()
        )
        self.name = source.name
        self.report = source.report
        if rows is not None:
            self.report = SourceReport(
                source=source.name, rows=len(rows), broken=source.report.broken,
                reasons=source.report.reasons,
            )  # fmt: skip
        digest = hashlib.sha256(source.fingerprint.encode())
        digest.update(repr((sorted(names.items()), list(classes), labels)).encode())
        digest.update(b"" if rows is None else rows.tobytes())
        self.fingerprint = digest.hexdigest()[:16]

    def __len__(self) -> int:
        return len(self._source) if self._rows is None else len(self._rows)

    def __getitem__(self, index: int) -> Row:
        return self.read([index])[0]

    def read(self, indices: Sequence[int] | np.ndarray) -> list[Row]:
        """Several rows, in the order asked for."""
        places = np.asarray(indices, np.int64)
        found = self._source.read(places if self._rows is None else self._rows[places])
        return [self._shown(row) for row in found]

    def reports(self) -> tuple[SourceReport, ...]:
        """The report of every file that the source is made of."""
        return self._source.reports() if self._rows is None else (self.report,)

    def _shown(self, row: Row) -> Row:
        shown = {
            name: row[columns[0]]
            if len(columns) == 1
            else " ".join(row[column] for column in columns)
            for name, columns in self._names.items()
        }
        if self._labels is not None:
            shown[self._labels] = self._numbers[str(shown[self._labels])]
        return shown


def open_sources(
    configs: Sequence[SourceConfig], section: DataSection, *, labels: str | None = None,
    targets: Kind = "vector", classes: Sequence[str] = (),
) -> tuple[list[Source], tuple[str, ...]]:  # fmt: skip
    """Opens files.

    Args:
        configs: the files.
        section: which columns are read.
        labels: kind of the labels, ``"class"`` or ``"score"``, if they are read.
        targets: kind of the targets.
        classes: names of the classes; found in the rows if empty.

    Returns:
        The sources, and the names of the classes (none where labels are no classes).
    """
    opened = [_open(config, section, labels, targets) for config in configs]
    if section.labels is None or labels != "class":
        return [View(source, names) for source, names in opened], ()
    values = [_texts_of(source, names[section.labels][0]) for source, names in opened]
    if not classes:
        classes = natural(sorted({value for found in values for value in found}))
    for (source, _), found in zip(opened, values, strict=True):
        unknown = sorted(set(found) - set(classes))
        if unknown:
            raise DataError(
                f"{source.name}: column {section.labels!r} has the class {unknown[0]!r}, which "
                f"is not among the classes {', '.join(classes)}; {closest(unknown[0], classes)}"
            )
    views: list[Source] = [
        View(source, names, classes=classes, labels=section.labels) for source, names in opened
    ]
    return views, tuple(classes)


def split_rows(
    sources: Sequence[Source], held_out: int | float, seed: int
) -> tuple[list[Source], list[Source]]:
    """Takes rows away from sources, each giving in proportion to its size.

    Args:
        sources: the rows.
        held_out: how many rows, or a share of them.
        seed: of the choice, which depends on nothing else.

    Returns:
        What is left, and what was taken.
    """
    total = sum(len(source) for source in sources)
    count = round(held_out * total) if isinstance(held_out, float) else held_out
    if not 0 < count < total:
        raise ConfigError(
            f"data.held_out={held_out} takes {count:,} of {total:,} rows; leave some to train on, "
            "and some to measure on"
        )
    rest: list[Source] = []
    taken: list[Source] = []
    ends = np.cumsum([len(source) for source in sources])
    chosen = np.sort(np.random.default_rng(seed).permutation(total)[:count])
    for source, end in zip(sources, ends, strict=True):
        begin = end - len(source)
        mine = chosen[(chosen >= begin) & (chosen < end)] - begin
        names = {field.name: (field.name,) for field in source.fields}
        left = np.setdiff1d(np.arange(len(source)), mine)
        rest.append(View(source, names, rows=left))
        if len(mine):
            taken.append(View(source, names, rows=mine))
    return rest, taken


def natural(names: Sequence[str]) -> list[str]:
    """Names in the order of people: 2 before 10."""
    return sorted(
        names, key=lambda name: [(len(p), p) if p.isdigit() else (0, p)
                                 for p in re.split(r"(\d+)", name)],
    )  # fmt: skip


def _open(
    config: SourceConfig, section: DataSection, labels: str | None, targets: Kind
) -> tuple[Source, Names]:
    """A file, and its names of the recipe's columns."""
    of_spans = [*section.spans.values(), *section.span_labels.values()]
    wanted = [*section.columns, *section.targets, *of_spans]
    if section.labels is not None and labels is not None:
        wanted.append(section.labels)
    names = _names_in_file(config, section, wanted)
    fields = {c: Field(name=c) for name in section.columns for c in names[name]}
    fields.update((names[t][0], Field(name=names[t][0], kind=targets)) for t in section.targets)
    for kind, table in (("spans", section.spans), ("span_labels", section.span_labels)):
        for name in table.values():
            column = names[name][0]
            fields[column] = Field(name=column, kind=cast(Kind, kind))
    fields.update((c, Field(name=c)) for c in config.where if c not in fields)

    def attempt(kind: Kind) -> Source:
        every = dict(fields)
        if section.labels in names:
            column = names[str(section.labels)][0]
            if column not in config.where:
                every[column] = Field(name=column, kind=kind)
        cache = None if section.cache is None else Path(section.cache)
        return open_source(config.path, tuple(every.values()), strict=section.strict, cache=cache)

    if labels != "class":
        source = attempt("score")
    else:
        try:
            source = attempt("text")
        except DataError as error:
            try:  # whole numbers, where a file tells them from text
                source = attempt("class")
            except DataError:
                raise error from None
    if config.where:
        source = _filtered(source, config.where)
    return source, names


def _names_in_file(config: SourceConfig, section: DataSection, wanted: Sequence[str]) -> Names:
    given = config.columns or section.columns_in_files
    names = {}
    for name in given:
        if name not in wanted:
            raise ConfigError(f"{config.path}: there is no {name!r}; {closest(name, wanted)}")
    for name in wanted:
        column = given.get(name, name)
        names[name] = (column,) if isinstance(column, str) else tuple(column)
        if len(names[name]) != 1 and name not in section.columns:
            raise ConfigError(f"{config.path}: {name!r} is {column!r}; only texts are joined")
    return names


def _filtered(source: Source, where: Mapping[str, str]) -> Source:
    kept = []
    for begin in range(0, len(source), _AT_ONCE):
        numbers = range(begin, min(begin + _AT_ONCE, len(source)))
        for number, row in zip(numbers, source.read(numbers), strict=True):
            if all(row[column] == value for column, value in where.items()):
                kept.append(number)
    if not kept:
        listed = ", ".join(f"{column} = {value!r}" for column, value in where.items())
        raise DataError(f"{source.name} has no row with {listed}; check the values of `where`")
    names = {field.name: (field.name,) for field in source.fields}
    return View(source, names, rows=np.asarray(kept, np.int64))


def _texts_of(source: Source, column: str) -> list[str]:
    """The values of a column as text."""
    found: list[str] = []
    for begin in range(0, len(source), _AT_ONCE):
        rows = source.read(range(begin, min(begin + _AT_ONCE, len(source))))
        found.extend(str(row[column]) for row in rows)
    return found
