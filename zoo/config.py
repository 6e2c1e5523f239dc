"""A model described as data: one part per slot, JSON types only.

Building a model from its config looks each type up by name in a table (see
:mod:`textzoo.parts`), so loading a config never runs code that came with it.
"""

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from textzoo.errors import ConfigError, closest

FORMAT_VERSION = 1
_SLOTS = ("tokenizer", "embedding", "encoder", "pooling", "heads")


@dataclasses.dataclass(frozen=True, init=False, eq=False)
class Part:
    """One part of a model: the name of a type and the keyword arguments it is built with.

    Options are JSON types or parts; lists become tuples, objects with a ``"type"`` become parts.

    Example:
        >>> Part("Dense", in_features=384, out_features=128)
        Part('Dense', in_features=384, out_features=128)
    """

    type: str
    options: Mapping[str, Any]

    def __init__(self, type: str, /, **options: Any) -> None:
        if not isinstance(type, str) or not type:
            raise ConfigError(
                f"the type of a part is its name, such as 'MeanPooling'; got {_short(type)}"
            )
        if "type" in options:
            raise ConfigError(f"{type}: no option may be called 'type'; a config says so of parts")
        object.__setattr__(self, "type", type)
        object.__setattr__(
            self, "options", {name: _plain(value, name, type) for name, value in options.items()}
        )

    def replace(self, /, **options: Any) -> "Part":
        """Returns a copy with some options changed or added."""
        return Part(self.type, **{**self.options, **options})

    def to_dict(self) -> dict[str, Any]:
        """Returns ``{"type": ..., **options}``, ready for JSON."""
        nested = {name: _to_data(value) for name, value in self.options.items()}
        return {"type": self.type, **nested}

    @classmethod
    def from_dict(cls, data: object, *, where: str = "part") -> "Part":
        """Reads what :meth:`to_dict` wrote; nested parts become parts again."""
        if isinstance(data, Part):
            return data
        if not isinstance(data, Mapping) or not _names_type(data):
            raise ConfigError(
                f"{where} must be an object with a 'type', such as "
                f'{{"type": "MeanPooling"}}; got {_short(data)}'
            )
        return cls(data["type"], **{name: data[name] for name in data if name != "type"})

    def __eq__(self, other: object) -> bool:
        # As JSON, so that 1, 1.0 and True differ, as they do to the class that is built.
        return isinstance(other, Part) and self._json() == other._json()

    def __hash__(self) -> int:
        return hash(self._json())

    def _json(self) -> str:
        return json.dumps(self.to_dict(), sort_keys=True)

    def __repr__(self) -> str:
        options = "".join(f", {name}={value!r}" for name, value in self.options.items())
        return f"Part({self.type!r}{options})"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The parts of a :class:`textzoo.TextModel`, in the order text flows through them.

    Attributes:
        tokenizer: text to ids; may need a file beside the config (see ``SubwordTokenizer``).
        embedding: what is this token?
        encoder: how do the tokens relate?
        pooling: states to vectors; ``None`` for a model that returns states only.
        heads: applied to the vectors one after the other.
    """

    embedding: Part
    encoder: Part = Part("IdentityEncoder")
    pooling: Part | None = None
    heads: tuple[Part, ...] = ()
    tokenizer: Part | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.heads, (list, tuple)):
            raise ConfigError(f"heads must be a list of parts, got {_short(self.heads)}")
        object.__setattr__(self, "heads", tuple(self.heads))
        for slot in ("embedding", "encoder"):
            if getattr(self, slot) is None:
                raise ConfigError(f"{slot}=None; every model needs one")
        for slot, part in self.slots():
            if not isinstance(part, Part):
                raise ConfigError(
                    f"{slot} must be a textzoo.Part, such as Part('MeanPooling'); "
                    f"got {_short(part)}"
                )

    def slots(self) -> Iterable[tuple[str, Part]]:
        """Yields (slot, part) for every filled slot; heads are ``heads[0]``, ``heads[1]``, ..."""
        for slot in _SLOTS[:-1]:
            part = getattr(self, slot)
            if part is not None:
                yield slot, part
        for index, part in enumerate(self.heads):
            yield f"heads[{index}]", part

    def replace(self, **changes: Any) -> "ModelConfig":
        """Returns a copy with some slots replaced."""
        _reject_unknown(changes, _SLOTS, "ModelConfig")
        return dataclasses.replace(self, **changes)

    def with_options(self, **overrides: "Mapping[str, Any] | Part | Iterable[Part] | None") -> (
        "ModelConfig"
    ):  # fmt: skip
        """Returns a copy with some slots changed: the overrides of :func:`textzoo.create_model`.

        Args:
            **overrides: by slot. A mapping changes options of the part that is there, a
                :class:`Part` takes its place, ``None`` empties the slot. ``heads`` takes the
                whole list of parts.

        Example:
            >>> config = ModelConfig(embedding=Part("SubwordEmbedding", vocab_size=9, width=4))
            >>> config.with_options(embedding={"width": 8}, pooling=Part("MaxPooling")).embedding
            Part('SubwordEmbedding', vocab_size=9, width=8)
        """
        _reject_unknown(overrides, _SLOTS, "ModelConfig.with_options")
        changes: dict[str, Any] = {}
        for slot, change in overrides.items():
            part = getattr(self, slot)
            if slot == "heads":
                if isinstance(change, (Mapping, Part, str)):
                    raise ConfigError(
                        f"heads={_short(change)} is one value; give the whole list, such as "
                        "heads=[Part('Normalize')]"
                    )
                changes[slot] = tuple(change or ())
            elif not isinstance(change, Mapping):
                changes[slot] = change
            elif part is None:
                raise ConfigError(
                    f"{slot} is empty, so it has no options to change; give a whole part, such "
                    f"as {slot}=Part('MeanPooling')"
                )
            else:
                changes[slot] = part.replace(**change)
        return self.replace(**changes)

    def to_dict(self) -> dict[str, Any]:
        """Returns the config as plain JSON types."""
        data: dict[str, Any] = {"format_version": FORMAT_VERSION}
        for slot in _SLOTS[:-1]:
            part = getattr(self, slot)
            data[slot] = None if part is None else part.to_dict()
        data["heads"] = [part.to_dict() for part in self.heads]
        return data

    @classmethod
    def from_dict(cls, data: object) -> "ModelConfig":
        """Reads what :meth:`to_dict` wrote; unknown keys are refused."""
        if not isinstance(data, Mapping):
            raise ConfigError(f"a model config is a JSON object, got {_short(data)}")
        version = data.get("format_version")
        if version != FORMAT_VERSION:
            raise ConfigError(
                f"model config has format_version {version!r}; this textzoo reads "
                f"{FORMAT_VERSION}. Install the version of textzoo that wrote it."
            )
        _reject_unknown(data, ("format_version", *_SLOTS), "a model config")
        heads = data.get("heads") or []
        if not isinstance(heads, list):
            raise ConfigError(f"heads must be a list of parts, got {_short(heads)}")
        parts = {
            slot: Part.from_dict(data[slot], where=slot)
            for slot in _SLOTS[:-1]
            if data.get(slot) is not None
        }
        if "embedding" not in parts:
            raise ConfigError(
                "the model config has no embedding; every model needs one, such as "
                '{"type": "SubwordEmbedding", "vocab_size": 30522, "width": 384}'
            )
        return cls(
            **parts,
            heads=tuple(
                Part.from_dict(head, where=f"heads[{index}]") for index, head in enumerate(heads)
            ),
        )


def _reject_unknown(names: Iterable[str], known: tuple[str, ...], where: str) -> None:
    for name in names:
        if name not in known:
            raise ConfigError(f"{where} has no slot {name!r}; {closest(name, known)}")


def _plain(value: object, name: str, part: str) -> Any:
    """Checks that an option is made of JSON types and parts, in the form JSON gives it back."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"option {name!r} of {part} is {value}, which JSON has no number for")
    if value is None or isinstance(value, (bool, int, float, str, Part)):
        return value
    if isinstance(value, (list, tuple)):
        return tuple(_plain(item, name, part) for item in value)
    if isinstance(value, Mapping):
        if _names_type(value):
            return Part.from_dict(value, where=f"option {name!r} of {part}")
        for key in value:
            if not isinstance(key, str):
                raise ConfigError(
                    f"option {name!r} of {part} has the key {key!r}; keys of JSON objects are "
                    f"strings, write {str(key)!r}"
                )
        return {key: _plain(item, name, part) for key, item in value.items()}
    raise ConfigError(
        f"option {name!r} of {part} is a {type(value).__name__}; options are JSON types "
        "(numbers, strings, booleans, lists, objects). Write a dtype as 'bfloat16', an "
        "activation by its name."
    )


def _to_data(value: Any) -> Any:
    if isinstance(value, Part):
        return value.to_dict()
    if isinstance(value, tuple):
        return [_to_data(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _to_data(item) for key, item in value.items()}
    return value


def _names_type(data: Mapping[Any, Any]) -> bool:
    """Whether an object of a config stands for a part."""
    return isinstance(data.get("type"), str) and bool(data["type"])


def _short(value: object, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
