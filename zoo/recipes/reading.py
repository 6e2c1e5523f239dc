"""From TOML to dataclasses: unknown keys are refused, values must be of the declared types."""

import dataclasses
import json
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from textzoo.errors import ConfigError, closest

T = TypeVar("T")
_UNIONS = (typing.Union, types.UnionType)


def read_toml(path: Path) -> dict[str, Any]:
    """Reads a TOML file; the message of a failure names the file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no recipe {path}; give the path of a TOML file") from None
    except (IsADirectoryError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} is not a TOML file: {error}") from error


def apply_overrides(data: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Returns the data of a recipe with some values changed.

    Args:
        data: nested tables.
        overrides: each ``key.path=value``. A value is TOML (``3``, ``true``, ``"text"``,
            ``[1, 2]``, ``{type = "MeanPooling"}``); anything else is taken as text, so that paths
            and names need no quotes.
    """
    result = _copied(data)
    for override in overrides:
        path, equals, text = override.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            raise ConfigError(
                f"override {override!r} has no {'=' if not equals else 'key'}; write "
                "key.path=value, such as training.steps=100"
            )
        table = result
        for depth, key in enumerate(keys[:-1], start=1):
            table = table.setdefault(key, {})
            if not isinstance(table, dict):
                raise ConfigError(
                    f"override {override!r}: {'.'.join(keys[:depth])} is {table!r:.40}, not a "
                    "table; override the whole value"
                )
        table[keys[-1]] = parse_value(text.strip())
    return result


def parse_value(text: str) -> Any:
    """A TOML value; what is none is text."""
    try:
        found = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return found["value"] if set(found) == {"value"} else text


def read_section(cls: type[T], data: Any, where: str) -> T:
    """Builds a dataclass from a table.

    Args:
        cls: its fields have types made of JSON types, tuples, mappings and other dataclasses.
        data: the table.
        where: its name, for messages.

    Raises:
        ConfigError: a key that is unknown or missing, or a value of another type.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where} is {_short(data)}, expected a table of options")
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    check_keys(data, fields, where)
    missing = [
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
        and name not in data
    ]
    if missing:
        raise ConfigError(f"{where} needs {', '.join(missing)}")
    values = {name: convert(value, hints[name], join(where, name)) for name, value in data.items()}
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def check_keys(data: Iterable[str], known: Iterable[str], where: str) -> None:
    """Raises :class:`ConfigError` for a key that is not known."""
    known = list(known)
    for key in data:
        if key not in known:
            raise ConfigError(f"{where} has no {key!r}; {closest(key, known)}")


def convert(value: Any, wanted: Any, where: str) -> Any:
    """A value as its annotation wants it: whole numbers become floats, lists become tuples."""
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if wanted is Any:
        return value
    if origin in _UNIONS:
        return _convert_union(value, arguments, where)
    if dataclasses.is_dataclass(wanted):
        return read_section(wanted, value, where)  # type: ignore[arg-type]
    if origin in (tuple, Sequence) and isinstance(value, Sequence) and not isinstance(value, str):
        item = arguments[0]
        return tuple(convert(part, item, f"{where}[{i}]") for i, part in enumerate(value))
    if origin is Mapping:
        if isinstance(value, Mapping):
            inner = arguments[1]
            return {key: convert(part, inner, join(where, key)) for key, part in value.items()}
    elif wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    elif isinstance(wanted, type) and isinstance(value, wanted):
        if wanted is bool or not isinstance(value, bool):
            return value
    raise ConfigError(f"{where} is {_short(value)}, expected {describe_type(wanted)}")


def _convert_union(value: Any, choices: Sequence[Any], where: str) -> Any:
    if value is None and type(None) in choices:
        return None
    wanted = [choice for choice in choices if choice is not type(None)]
    # A whole number is a float only where it cannot be a whole number.
    wanted.sort(key=lambda choice: choice is float)
    failures = []
    for choice in wanted:
        try:
            return convert(value, choice, where)
        except ConfigError as error:
            failures.append((choice, error))
    if len(failures) == 1:
        raise failures[0][1]
    # Where a table was given, what is wrong inside it says more than what else it could be.
    for choice, failure in failures:
        if isinstance(value, Mapping) and dataclasses.is_dataclass(choice):
            raise failure
    expected = " or ".join(describe_type(choice) for choice in wanted)
    raise ConfigError(f"{where} is {_short(value)}, expected {expected}")


def describe_type(wanted: Any) -> str:
    """An annotation in words."""
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    names = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    if wanted in names:
        return names[wanted]
    if origin in (tuple, Sequence):
        return f"a list, each {describe_type(arguments[0])}"
    if origin in _UNIONS:
        return " or ".join(describe_type(a) for a in arguments if a is not type(None))
    return "a table of options"


def to_plain(value: Any) -> Any:
    """Dataclasses, tuples and mappings as JSON has them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    return [to_plain(item) for item in value] if isinstance(value, list | tuple) else value


def flatten(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted key, lists as they are."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            found.update(flatten(value, join(prefix, key)))
        else:
            found[join(prefix, key)] = value
    return found


def join(where: str, name: str) -> str:
    """The dotted name of something inside a table."""
    return f"{where}.{name}" if where else name


def _copied(data: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _copied(v) if isinstance(v, Mapping) else v for k, v in data.items()}


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
