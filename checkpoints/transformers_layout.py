"""Reading model directories in the layout of transformers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from textzoo.checkpoints.assembly import Source, assemble
from textzoo.checkpoints.bundle import Bundle
from textzoo.checkpoints.conversion import FAMILIES
from textzoo.checkpoints.directory import read_json, with_dtype
from textzoo.checkpoints.static_layout import is_model2vec, read_model2vec
from textzoo.checkpoints.tensors import read_tensors
from textzoo.config import ModelConfig, Part
from textzoo.errors import ConfigError, closest
from textzoo.parts import build_tokenizer
from textzoo.settings import EncoderSettings


def read_transformers(directory: Path, *, dtype: str | None = None) -> Bundle:
    """Reads a directory that ``AutoModel.save_pretrained`` and its tokenizer wrote.

    Such a directory does not say how to pool: vectors are masked means of the last states.

    Args:
        directory: holds ``config.json``, safetensors and, unless tokens are characters,
            ``tokenizer.json``.
        dtype: what the model computes in; parameters are stored as float32.

    Raises:
        ConfigError: the model is of a family, or has an option, that textzoo lacks.
        WeightsError: the tensors do not fit; every disagreement is listed.
    """
    if is_model2vec(directory):
        return read_model2vec(directory, dtype=dtype)
    config, source = read_encoder(directory)
    # Characters and bytes need no file, so such a family names its tokenizer.
    kind = "SubwordTokenizer" if config.tokenizer is None else config.tokenizer.type
    tokenizer = Part(kind, max_length=limit_length(config, tokenizer_limit(directory)))
    config = config.replace(pooling=Part("MeanPooling"), tokenizer=tokenizer)
    return assemble(
        with_dtype(config, dtype),
        [source],
        tokenizer=build_tokenizer(tokenizer, directory),
        settings=EncoderSettings(),
        name=directory.name,
    )


def read_encoder(directory: Path) -> tuple[ModelConfig, Source]:
    """Embedding and encoder of a transformers directory, and the tensors that fill them."""
    data = read_json(directory / "config.json")
    model_type = data.get("model_type")
    family = FAMILIES.get(str(model_type))
    if family is None:
        raise ConfigError(
            f"{directory} holds a model of type {model_type!r}, which textzoo does not read; "
            f"{closest(str(model_type), FAMILIES)}"
        )
    try:
        config = family.config(data)
    except ConfigError as error:
        raise ConfigError(f"{directory}: {error}") from error
    source = Source(
        directory=directory,
        tensors=family.prepare(_strip(read_tensors(directory), family.prefix)),
        rules=family.rules(config.encoder.options),
        ignore=family.ignore,
        fills=("embedding.", "encoder."),
    )
    return config, source


def tokenizer_limit(directory: Path) -> int | None:
    """The maximal length in ``tokenizer_config.json``, when it states one."""
    path = directory / "tokenizer_config.json"
    if not path.is_file():
        return None
    limit = read_json(path).get("model_max_length")
    # A missing limit is written as 10^30.
    return int(limit) if isinstance(limit, (int, float)) and 0 < limit < 1 << 30 else None


def limit_length(config: ModelConfig, wanted: int | None) -> int:
    """The longest text for a tokenizer: what is wanted, as far as the encoder can take it."""
    longest = int(config.encoder.options["max_length"])
    return longest if wanted is None else min(longest, wanted)


def _strip(tensors: Mapping[str, Any], prefix: str) -> dict[str, np.ndarray]:
    """Removes the prefix that models with a task head put before the encoder's names."""
    return {name.removeprefix(prefix): array for name, array in tensors.items()}
