"""Models by name.

A registered model is a function from overrides to a :class:`textzoo.ModelConfig`, with a
:class:`textzoo.ModelSpec` beside it. The families that come with textzoo are imported on the first
look-up, so ``import textzoo`` does not pay for them.
"""

import dataclasses
import fnmatch
import importlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from textzoo.config import ModelConfig
from textzoo.errors import ConfigError, UnknownModelError, closest
from textzoo.spec import KINDS, ModelSpec

if TYPE_CHECKING:
    from flax import nnx

    from textzoo.model import TextModel

Preset = TypeVar("Preset", bound=Callable[..., ModelConfig])

_FAMILIES_PACKAGE = "textzoo.families"
_models: dict[str, tuple[ModelSpec, Callable[..., ModelConfig]]] = {}


def register_model(spec: ModelSpec) -> Callable[[Preset], Preset]:
    """Registers a function ``name(**overrides) -> ModelConfig`` under its own name.

    Args:
        spec: what is known about the model; its name is filled in.

    Raises:
        ConfigError: the name is taken or badly written, or the function has no docstring.

    Example:
        >>> import textzoo
        >>> @textzoo.register_model(textzoo.ModelSpec(
        ...     summary="Mean of 64 learned features a token", paper="none", kind="subword",
        ...     parameters=64_000, width=64, dimension=64, max_length=512, license="Apache-2.0",
        ...     status="architecture-only", training_data="none",
        ... ))
        ... def my_average(**overrides) -> textzoo.ModelConfig:
        ...     '''Mean of token vectors.'''
        ...     return textzoo.ModelConfig(
        ...         tokenizer=textzoo.Part("SubwordTokenizer"),
        ...         embedding=textzoo.Part("SubwordEmbedding", vocab_size=1000, width=64),
        ...         pooling=textzoo.Part("MeanPooling"),
        ...     ).with_options(**overrides)
    """
    if not isinstance(spec, ModelSpec):
        raise ConfigError(
            f"register_model needs a textzoo.ModelSpec, got {spec!r:.60}; "
            "write @register_model(ModelSpec(...))"
        )

    def register(make: Preset) -> Preset:
        name = make.__name__
        if not make.__module__.startswith(_FAMILIES_PACKAGE):
            _load_families()  # a name of ours must not be taken before we come to claim it
        if not re.fullmatch(r"[a-z0-9_]+", name):
            raise ConfigError(
                f"{name!r} cannot name a model; use lower case, digits and underscores"
            )
        if not (make.__doc__ or "").strip():
            raise ConfigError(f"{name} has no docstring; say in a line what the model is")
        if name in _models:
            known = _models[name][1]
            # The same function again is a notebook cell or a module that is run anew.
            if (known.__module__, known.__qualname__) != (make.__module__, make.__qualname__):
                raise ConfigError(
                    f"a model named {name!r} exists already ({known.__module__}); "
                    "give yours another name"
                )
        _models[name] = (dataclasses.replace(spec, name=name), make)
        return make

    return register


def list_models(
    pattern: str | None = None, *, kind: str | None = None, pretrained: bool | None = None
) -> list[str]:
    """Names of registered models, in natural order (``l6`` before ``l12``).

    Args:
        pattern: a name in which ``*``, ``?`` and ``[...]`` are wildcards, such as ``"bert_*"``.
        kind: only models that read this kind of input (see ``textzoo.ModelSpec.kind``).
        pretrained: only models with (``True``) or without (``False``) weights to load.
    """
    if kind is not None and kind not in KINDS:
        raise ConfigError(f"kind={kind!r} is unknown; {closest(kind, KINDS)}")
    _load_families()
    names = [
        name
        for name, (spec, _) in _models.items()
        if (pattern is None or fnmatch.fnmatchcase(name, pattern))
        and (kind is None or spec.kind == kind)
        and (pretrained is None or (spec.weights is not None) == pretrained)
    ]
    return sorted(names, key=_natural)


def get_spec(name: str) -> ModelSpec:
    """The spec of a registered model.

    Raises:
        UnknownModelError: no such name; the message has the closest ones.
    """
    return _lookup(name)[0]


def get_config(name: str, **overrides: Any) -> ModelConfig:
    """The config of a registered model, with overrides as in :func:`create_model`."""
    make = _lookup(name)[1]
    config = make(**overrides)
    if not isinstance(config, ModelConfig):
        raise ConfigError(f"{name} returned {config!r:.60}, expected a textzoo.ModelConfig")
    return config


def create_model(name: str, *, rngs: "nnx.Rngs", **overrides: Any) -> "TextModel":
    """Builds a registered model with fresh parameters.

    Args:
        name: see :func:`list_models`.
        rngs: source of the initial values, such as ``nnx.Rngs(0)``.
        **overrides: by slot (``tokenizer``, ``embedding``, ``encoder``, ``pooling``, ``heads``). A
            mapping changes options of the part, a :class:`textzoo.Part` takes its place, ``None``
            empties the slot; ``heads`` takes a list of parts.

    Raises:
        UnknownModelError: no such name.
        ConfigError: a slot or option that does not exist, or a value a part refuses.

    Example:
        >>> from flax import nnx
        >>> import textzoo
        >>> model = textzoo.create_model(
        ...     "bert_tiny_uncased", rngs=nnx.Rngs(0), encoder={"num_layers": 1},
        ...     pooling=textzoo.Part("ClsPooling"),
        ... )
    """
    from flax import nnx

    from textzoo.parts import build

    config = get_config(name, **overrides)
    if not isinstance(rngs, nnx.Rngs):
        raise ConfigError(f"rngs={rngs!r:.40} must be a flax.nnx.Rngs; write rngs=nnx.Rngs(0)")
    return build(config, rngs=rngs)


def _lookup(name: str) -> tuple[ModelSpec, Callable[..., ModelConfig]]:
    _load_families()
    if name not in _models:
        raise UnknownModelError(f"no model is named {name!r}; {suggest(name)}")
    return _models[name]


def suggest(name: object) -> str:
    """The registered names nearest to ``name``, for the end of a message."""
    # Hub ids and papers write the same names with hyphens and capitals.
    plain = re.sub(r"[^a-z0-9]+", "_", str(name).rsplit("/", 1)[-1].lower()).strip("_")
    return closest(plain, _models) + " textzoo.list_models() has all names."


def _load_families() -> None:
    from textzoo.families import FAMILIES

    for family in FAMILIES:
        importlib.import_module(f"{_FAMILIES_PACKAGE}.{family}")


def _natural(name: str) -> list[tuple[int, int | str]]:
    return [
        (0, int(piece)) if piece.isdigit() else (1, piece)
        for piece in re.split(r"(\d+)", name)
        if piece
    ]
