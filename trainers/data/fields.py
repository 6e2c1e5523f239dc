"""Which columns of a row are read, and what their values must be."""

import dataclasses
import json
import math
import operator
from collections.abc import Iterable
from typing import Any, Literal, get_args

import numpy as np

from textzoo.errors import ConfigError, closest
from textzoo.trainers.data.hashing import text_key

Kind = Literal["text", "class", "score", "vector", "spans", "span_labels"]


class BrokenValueError(ValueError):
    """A value that a row should not have; the row counts as broken."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A column that is read, and what it holds.

    Attributes:
        name: of the column in TSV, Parquet and TFDS, of the key in JSONL.
        kind: ``"text"``; ``"class"``, a whole number or one of ``classes``; ``"score"``, a finite
            number; ``"vector"``, finite numbers as a list (in TSV: a JSON list); ``"spans"``, a
            list of spans of a text (see :mod:`textzoo.trainers.data.spans`), and
            ``"span_labels"``, a label for each, both JSON in TSV.
        classes: names of the classes in the order of their numbers.
    """

    name: str
    kind: Kind = "text"
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ConfigError(
                f"column {self.name!r}: unknown kind {self.kind!r}; "
                f"{closest(self.kind, get_args(Kind))}"
            )
        if self.classes and self.kind != "class":
            raise ConfigError(
                f"column {self.name!r} has classes, but is of kind {self.kind!r}; write "
                'kind="class"'
            )
        if len(set(self.classes)) != len(self.classes):
            raise ConfigError(f"column {self.name!r}: a class is named twice in {self.classes}")

    def parse(self, value: Any) -> Any:
        """Returns the value as training needs it: text, whole number, number, array or tuple.

        Raises:
            BrokenValueError: the value is of another kind.
        """
        if value is None:
            raise BrokenValueError(f"{self.name!r} is null")
        match self.kind:
            case "text":
                return self._text(value)
            case "class":
                return self._class(value)
            case "score":
                return self._score(value)
            case "spans":
                return self._spans(value)
            case "span_labels":
                return self._span_labels(value)
            case _:
                return self._vector(value)

    def _text(self, value: Any) -> str:
        if not isinstance(value, str):
            raise self._unexpected(value, "text")
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise BrokenValueError(f"{self.name!r} has a lone surrogate") from None
        return value

    def _class(self, value: Any) -> int:
        if isinstance(value, str) and value in self.classes:
            return self.classes.index(value)
        if isinstance(value, str) and value.strip().isdecimal() and not self.classes:
            value = int(value)
        if not isinstance(value, int | np.integer):
            expected = f"one of {', '.join(self.classes)}" if self.classes else "a whole number"
            raise self._unexpected(value, expected)
        if value < 0 or (self.classes and value >= len(self.classes)) or value >= 1 << 31:
            limit = len(self.classes) or 1 << 31
            raise BrokenValueError(f"{self.name!r} is {value}, expected 0 to {limit - 1}")
        return int(value)

    def _score(self, value: Any) -> float:
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            raise self._unexpected(value, "a number") from None
        if not math.isfinite(number):
            raise self._unexpected(value, "a finite number")
        return number

    def _vector(self, value: Any) -> np.ndarray:
        try:
            vector = np.asarray(json.loads(value) if isinstance(value, str) else value, np.float32)
        except (TypeError, ValueError):
            raise self._unexpected(value, "a list of numbers") from None
        if vector.ndim != 1 or not len(vector) or not np.isfinite(vector).all():
            raise self._unexpected(value, "a list of finite numbers")
        return vector

    def _spans(self, value: Any) -> tuple[tuple[tuple[int, int], ...], ...]:
        try:
            found = json.loads(value) if isinstance(value, str) else value
            spans = tuple(
                tuple(
                    (operator.index(start), operator.index(end))
                    for start, end in ([span] if np.ndim(span[0]) == 0 else span)
                )
                for span in found
            )
        except (TypeError, ValueError, IndexError):
            raise self._unexpected(value, "a list of spans, [[start, end], ...] each") from None
        if any(not 0 <= start < end for span in spans for start, end in span):
            raise self._unexpected(value, "spans with 0 <= start < end")
        return spans

    def _span_labels(self, value: Any) -> tuple[int, ...]:
        try:
            found = json.loads(value) if isinstance(value, str) else value
            labels = [name if isinstance(name, str) else operator.index(name) for name in found]
        except (TypeError, ValueError):
            raise self._unexpected(value, "a list of labels, texts or whole numbers") from None
        # Texts and numbers alike, so that files with numbers of their own are told apart by texts.
        return tuple(text_key(str(label)) >> 1 for label in labels)

    def _unexpected(self, value: Any, expected: str) -> BrokenValueError:
        return BrokenValueError(
            f"{self.name!r} is {type(value).__name__} {value!r:.40}, expected {expected}"
        )


def as_fields(columns: Iterable["str | Field"]) -> tuple[Field, ...]:
    """Fields, of which those given as names hold text."""
    fields = tuple(Field(name=c) if isinstance(c, str) else c for c in columns)
    if not fields:
        raise ConfigError("no columns are named; write e.g. columns=('text',)")
    names = [field.name for field in fields]
    doubles = sorted({name for name in names if names.count(name) > 1})
    if doubles:
        raise ConfigError(f"column {doubles[0]!r} is named twice; name each column once")
    return fields
