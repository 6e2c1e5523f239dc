"""Reads the heads of published pretraining, so that it can go on from there."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx

from textzoo.checkpoints import weights
from textzoo.checkpoints.conversion import FAMILIES
from textzoo.checkpoints.conversion.family import read_value
from textzoo.checkpoints.conversion.pretraining_heads import (
    MASKED_LANGUAGE,
    REPLACED_TOKEN,
    HeadTable,
)
from textzoo.checkpoints.conversion.table import convert
from textzoo.checkpoints.directory import read_json
from textzoo.checkpoints.tensors import read_tensors
from textzoo.errors import ConfigError, WeightsError, closest
from textzoo.modules.heads import MaskedLanguageHead, ReplacedTokenHead


def read_masked_language_head(
    directory: str | Path, *, dtype: str | None = None
) -> MaskedLanguageHead:
    """The head of a ``BertForMaskedLM`` or one of its relatives, tied to the model's embedding.

    RemBERT's alone has an output table of its own.

    The model itself is read by :func:`textzoo.load` or
    :func:`textzoo.checkpoints.transformers_layout.read_transformers`.

    Args:
        directory: as transformers saves a model with this head.
        dtype: what the head computes in; parameters are stored as float32.

    Raises:
        ConfigError: the model is of a family whose head textzoo does not know, or is not tied.
        WeightsError: the directory has no such head.
    """
    directory = Path(directory)
    data, tensors, table = _open(directory, MASKED_LANGUAGE)
    tied = table.inner_dim is None
    if tied and data.get("tie_word_embeddings") is False:
        raise ConfigError(
            f"{directory} has an output table of its own (tie_word_embeddings=false), and heads "
            "that are read are tied to the embedding; begin with a new head instead"
        )
    config = FAMILIES[data["model_type"]].config(data)
    options = config.encoder.options
    inner, vocab_size = config.embedding.options["width"], config.embedding.options["vocab_size"]
    if table.inner_dim is not None:
        inner = read_value(data, table.inner_dim, int)
    names = {rule.target: rule.source for rule in table.rules}

    def make() -> MaskedLanguageHead:
        return MaskedLanguageHead(
            options["width"], vocab_size,
            inner_dim=None if inner == options["width"] else inner, tied=tied,
            activation=table.activation or _activation(data, options),
            norm_eps=options.get("norm_eps", 1e-12),
            use_bias=names["dense.bias"] in tensors, use_norm_bias=names["norm.bias"] in tensors,
            use_output_bias=names["output_bias"] in tensors, dtype=dtype, rngs=nnx.Rngs(0),
        )  # fmt: skip

    return _fill(make, tensors, table, directory)


def read_replaced_token_head(
    directory: str | Path, *, dtype: str | None = None
) -> ReplacedTokenHead:
    """The head of an ``ElectraForPreTraining``: was this token replaced?

    Args:
        directory: as transformers saves a model with this head.
        dtype: what the head computes in; parameters are stored as float32.

    Raises:
        ConfigError: the model is no ELECTRA.
        WeightsError: the directory has no such head.
    """
    directory = Path(directory)
    data, tensors, table = _open(directory, REPLACED_TOKEN)
    options = FAMILIES[data["model_type"]].read(data)

    def make() -> ReplacedTokenHead:
        return ReplacedTokenHead(
            options["width"], activation=options["activation"], dtype=dtype, rngs=nnx.Rngs(0)
        )

    return _fill(make, tensors, table, directory)


def _open(
    directory: Path, tables: Mapping[str, HeadTable]
) -> tuple[Mapping[str, Any], dict[str, np.ndarray], HeadTable]:
    data = read_json(directory / "config.json")
    kind = str(data.get("model_type"))
    if kind not in tables:
        raise ConfigError(
            f"{directory} holds a model of type {kind!r}, whose head textzoo does not read; "
            f"{closest(kind, tables)}"
        )
    return data, read_tensors(directory), tables[kind]


def _activation(data: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """ModernBERT's heads have one of their own; the others take that of the layers."""
    if data["model_type"] != "modernbert":
        return str(options["activation"])
    found = data.get("classifier_activation", "gelu")
    if found != "gelu":
        raise ConfigError(
            f"config.json has classifier_activation={found!r}; heads are read with 'gelu'"
        )
    return "gelu"


def _fill(
    make: Callable[[], Any], tensors: Mapping[str, np.ndarray], table: HeadTable, directory: Path
) -> Any:
    sources = {rule.source for rule in table.rules}
    own = {name: array for name, array in tensors.items() if name in sources}
    if not own:
        raise WeightsError(
            f"{directory} has no tensor {table.rules[0].source}, so no head; it may have been "
            "saved without one (AutoModel), or with another (ForSequenceClassification)"
        )
    head = nnx.eval_shape(make)
    shapes = weights.parameter_shapes(head)
    arrays = convert(own, table.rules, shapes, source=f"the head in {directory}")
    return weights.fill(head, arrays, source=str(directory))
