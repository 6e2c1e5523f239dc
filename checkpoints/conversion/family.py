"""What a family of transformers checkpoints needs: a table for its config, one for its tensors.

Both tables are read in both directions, so that what can be imported can be exported.
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from textzoo.checkpoints.conversion.table import Rule
from textzoo.config import ModelConfig, Part
from textzoo.errors import ConfigError, closest
from textzoo.modules import TransformerEncoder

Options = Mapping[str, Any]
"""Options of a ``TransformerEncoder``."""


@dataclasses.dataclass(frozen=True)
class Field:
    """One entry of a ``config.json`` and the encoder option it is.

    Attributes:
        key: name in the file.
        option: name of the option.
        kind: what the value must be.
        default: value when the file does not have it; ``None`` when it must have it.
    """

    key: str
    option: str
    kind: type = int
    default: Any = None

    def read(self, data: Mapping[str, Any]) -> Any:
        """The option's value; whole numbers are sizes, so they must be positive."""
        value = read_value(data, self.key, self.kind, self.default)
        if self.kind is int and value < 1:
            raise ConfigError(f"config.json has {self.key}={value!r}; expected 1 or more")
        return value


@dataclasses.dataclass(frozen=True)
class Family:
    """How one model type of transformers becomes a ``TransformerEncoder``, and back.

    Attributes:
        model_type: name of the family in ``config.json``.
        model_class: name of its transformers class without a task head.
        fields: entries that map to one option each.
        constants: options that every model of the family has.
        rules: the tensor table, given the encoder's options (:func:`complete` ones to export).
        prefix: put before the encoder's tensors by models with a task head.
        ignore: tensors that have no place in an encoder (heads, poolers).
        only: entries for which one value is supported, with that value; absence is fine.
        read_more: further options, from the file's content.
        write_more: the entries that ``read_more`` reads, from all options.
        pad_token_id: id of the padding token where the family implies it.
    """

    model_type: str
    model_class: str
    fields: tuple[Field, ...]
    constants: Options
    rules: Callable[[Options], Sequence[Rule]]
    prefix: str
    ignore: tuple[str, ...]
    only: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    read_more: Callable[[Mapping[str, Any]], Options] = lambda data: {}
    write_more: Callable[[Options], Mapping[str, Any]] = lambda options: {}
    pad_token_id: Callable[[Options], int | None] = lambda options: None

    def read(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Encoder options from the content of a ``config.json``.

        Raises:
            ConfigError: an entry is missing, of the wrong type, or asks for something that
                textzoo does not have.
        """
        for key, value in {**_ONLY, **self.only}.items():
            if data.get(key) not in (None, value):
                raise ConfigError(
                    f"{key}={data[key]!r} of a {self.model_type} model is not supported; "
                    f"textzoo reads models with {key}={value!r}"
                )
        options = {field.option: field.read(data) for field in self.fields}
        options["activation"] = _read_activation(options["activation"])
        return {**options, **self.constants, **self.read_more(data)}

    def config(self, data: Mapping[str, Any]) -> ModelConfig:
        """Embedding and encoder from the content of a ``config.json``; no pooling yet."""
        options = self.read(data)
        embedding = Part(
            "SubwordEmbedding",
            vocab_size=read_value(data, "vocab_size", int),
            width=options.get("embed_dim") or options["width"],
        )
        return ModelConfig(embedding=embedding, encoder=Part("TransformerEncoder", **options))

    def prepare(self, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What the table of tensors reads, of the tensors of a checkpoint: these, as they are."""
        return tensors

    def write(
        self, options: Options, *, vocab_size: int, pad_token_id: int | None
    ) -> dict[str, Any]:
        """The content of a ``config.json``; ``options`` are those :meth:`misfits` accepts."""
        return {
            "architectures": [self.model_class],
            "model_type": self.model_type,
            "vocab_size": vocab_size,
            "pad_token_id": pad_token_id,
            "dtype": "float32",
            **self._write(complete(options)),
        }

    def misfits(self, options: Options) -> list[str]:
        """Names of the options that keep an encoder from being a model of this family."""
        wanted = complete(options)
        try:
            found = complete(self.read(self._write(wanted)))
        except ConfigError:
            # The family's files cannot hold one of the values, such as no token types.
            return list(wanted)
        return [name for name in wanted if wanted[name] != found[name]]

    def _write(self, options: Options) -> dict[str, Any]:
        data = {field.key: options[field.option] for field in self.fields}
        for field in self.fields:
            if field.option == "activation":
                data[field.key] = _WRITE_ACTIVATION.get(options["activation"], "?")
        return {**data, **self.write_more(options)}


_ONLY = {
    "is_decoder": False,
    "is_encoder_decoder": False,
    "add_cross_attention": False,
    "position_embedding_type": "absolute",
    "pruned_heads": {},
    "quantization_config": {},
}
"""Entries of any family that change what the model computes."""

_READ_ACTIVATION = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
    "linear": "identity",
}
_WRITE_ACTIVATION = {ours: theirs for theirs, ours in reversed(_READ_ACTIVATION.items())}


def read_value(data: Mapping[str, Any], key: str, kind: type, default: Any = None) -> Any:
    """An entry of a ``config.json``, checked; ``default`` stands in for a missing or null one."""
    value = data.get(key)
    if value is None:
        if default is None:
            raise ConfigError(f"config.json has no {key!r}; it needs one, of type {kind.__name__}")
        return default
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ConfigError(f"config.json has {key}={value!r}; expected {kind.__name__}")
    return value


def complete(options: Options) -> dict[str, Any]:
    """Options with defaults filled in, and those without effect set to one value.

    Two encoders compute the same when their completed options are equal. Dtypes are left out.
    """
    parameters = inspect.signature(TransformerEncoder.__init__).parameters
    full = {
        name: parameter.default
        for name, parameter in parameters.items()
        if parameter.default is not inspect.Parameter.empty
    } | dict(options)
    for name in ("dtype", "param_dtype"):
        full.pop(name, None)
    layers = full["num_layers"] // full["group_size"]
    full["num_groups"] = full["num_groups"] or layers
    if full["num_groups"] == layers:
        # Groups that are never repeated are just layers.
        full["num_groups"], full["group_size"] = full["num_layers"], 1
    if full["local_window"] is None or full["global_every"] == 1:
        full["local_window"], full["global_every"] = None, 1
        full["local_rotary_theta"] = None
    if full["positions"] != "rotary":
        full["rotary_theta"] = full["local_rotary_theta"] = None
    if full["local_rotary_theta"] == full["rotary_theta"]:
        full["local_rotary_theta"] = None
    if not full["relative_buckets"]:
        full["relative_max_distance"] = None
    if full["positions"] != "learned":
        full["position_offset"] = 0
    return full


def _read_activation(name: str) -> str:
    try:
        return _READ_ACTIVATION[name]
    except KeyError:
        raise ConfigError(
            f"config.json has the activation {name!r}, which textzoo lacks; "
            f"{closest(name, _READ_ACTIVATION)}"
        ) from None
