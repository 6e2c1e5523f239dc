"""The table of known parts, and building a model from a config with it."""

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flax import nnx

from textzoo.config import ModelConfig, Part
from textzoo.errors import ConfigError, closest
from textzoo.model import TextModel
from textzoo.modules import PARTS, Tokenizer

_registered: dict[str, type] = {}


def register_module(cls: type) -> type:
    """Makes a class of yours available to configs under its own name; usable as a decorator.

    The class must be registered again, by importing the code that defines it, before a model that
    uses it is loaded in a new process: loading never runs code that came with a file.

    Raises:
        ConfigError: the name is taken by another class, or this is not a class.
    """
    if not isinstance(cls, type):
        raise ConfigError(f"register_module takes a class, got {cls!r}; write a class of it")
    name = cls.__name__
    known = known_parts().get(name)
    # A class of the same name from the same place is a notebook cell or module run again.
    same = known is not None and (known.__module__, known.__qualname__) == (
        cls.__module__, cls.__qualname__)  # fmt: skip
    if known is not None and not same:
        raise ConfigError(
            f"a part named {name!r} exists already ({known.__module__}.{known.__qualname__}); "
            "give your class another name"
        )
    _registered[name] = cls
    return cls


def known_parts() -> dict[str, type]:
    """Every class a config may name, by name."""
    return {cls.__name__: cls for cls in PARTS} | _registered


def build(config: ModelConfig, *, rngs: nnx.Rngs) -> TextModel:
    """Builds the model that ``config`` describes, with fresh parameters.

    Raises:
        ConfigError: an unknown type or option, or an option a part refuses; the message names the
            slot and the closest known names.
    """
    return TextModel(
        embedding=build_part(config.embedding, where="embedding", rngs=rngs),
        encoder=build_part(config.encoder, where="encoder", rngs=rngs),
        pooling=(
            None
            if config.pooling is None
            else build_part(config.pooling, where="pooling", rngs=rngs)
        ),
        heads=[
            build_part(head, where=f"heads[{index}]", rngs=rngs)
            for index, head in enumerate(config.heads)
        ],
        config=config,
    )


def build_tokenizer(part: Part, directory: Path | None = None) -> Tokenizer:
    """Builds a tokenizer, reading its file from ``directory`` when its type has one."""
    cls = _lookup(part.type, "tokenizer")
    if not hasattr(cls, "from_directory"):
        return build_part(part, where="tokenizer")
    if directory is None:
        raise ConfigError(
            f"a {part.type} is made from a file; give the directory that holds it, or wrap a "
            "tokenizer of your own: textzoo.TextEncoder(model, tokenizer)"
        )
    return build_part(
        part, where="tokenizer", make=functools.partial(cls.from_directory, directory)
    )


def build_part(
    part: Part,
    *,
    where: str,
    rngs: nnx.Rngs | None = None,
    make: Callable[..., Any] | None = None,
) -> Any:
    """Builds one part; nested parts among its options are built first."""
    make = make or _lookup(part.type, where)
    check_options(part, where=where, make=make)
    options = {
        name: _build_nested(value, f"{where}.{name}", rngs) for name, value in part.options.items()
    }
    if "rngs" in _parameters(make):
        options["rngs"] = rngs
    try:
        return make(**options)
    except (ConfigError, FileNotFoundError):
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {part.type} refused its options: {error}") from error


def check_options(part: Part, *, where: str, make: Callable[..., Any] | None = None) -> None:
    """Raises :class:`ConfigError` unless every option is known and none is missing."""
    parameters = _parameters(make or _lookup(part.type, where))
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    names = {
        name
        for name, parameter in parameters.items()
        if name not in ("self", "rngs") and parameter.kind not in variadic
    }
    for name in part.options:
        if name not in names and not takes_any:
            raise ConfigError(
                f"{where}: {part.type} has no option {name!r}; {closest(name, names)}"
            )
    missing = [
        name
        for name in names
        if parameters[name].default is inspect.Parameter.empty and name not in part.options
    ]
    if missing:
        raise ConfigError(
            f"{where}: {part.type} needs {', '.join(sorted(missing))}; "
            f"write Part({part.type!r}, {sorted(missing)[0]}=...)"
        )


def accepts_option(part: Part, name: str) -> bool:
    """Whether a part's type has an option of that name."""
    return name in _parameters(_lookup(part.type, "config"))


def _parameters(make: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    if not isinstance(make, type):
        return inspect.signature(make).parameters
    # The metaclass of nnx modules hides the signature of a class; its __init__ shows it, except
    # that of object, which claims to take anything.
    init: Callable[..., Any] = getattr(make, "__init__")  # noqa: B009
    return {} if init is object.__init__ else inspect.signature(init).parameters


def _lookup(name: str, where: str) -> type:
    parts = known_parts()
    if name not in parts:
        raise ConfigError(
            f"{where}: no part is named {name!r}; {closest(name, parts)} If it is yours, import "
            "the code that calls textzoo.register_module on it first."
        )
    return parts[name]


def _build_nested(value: Any, where: str, rngs: nnx.Rngs | None) -> Any:
    if isinstance(value, Part):
        return build_part(value, where=where, rngs=rngs)
    if isinstance(value, tuple):
        return tuple(
            _build_nested(item, f"{where}[{index}]", rngs) for index, item in enumerate(value)
        )
    if isinstance(value, Mapping):
        return {key: _build_nested(item, f"{where}[{key!r}]", rngs) for key, item in value.items()}
    return value
