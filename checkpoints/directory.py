"""The textzoo layout of a model directory.

``config.json`` (model config, settings, format version), ``model.safetensors``, the tokenizer's
file, and a ``README.md`` card. No pickle, and nothing in it is ever executed.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flax import nnx

from textzoo.checkpoints import weights
from textzoo.checkpoints.bundle import Bundle
from textzoo.config import ModelConfig
from textzoo.errors import ConfigError
from textzoo.parts import build, build_tokenizer
from textzoo.settings import EncoderSettings

CONFIG_NAME = "config.json"
FORMAT = "textzoo"


def write_directory(directory: Path, bundle: Bundle) -> None:
    """Writes a bundle; ``directory`` is made when it does not exist."""
    directory.mkdir(parents=True, exist_ok=True)
    data = {
        "format": FORMAT,
        "model": bundle.model.config.to_dict(),
        "settings": bundle.settings.to_dict(),
    }
    (directory / CONFIG_NAME).write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    weights.write_safetensors(directory / weights.FILE_NAME, weights.get_parameters(bundle.model))
    if bundle.tokenizer is not None:
        bundle.tokenizer.save(directory)


def read_directory(directory: Path, **options: Any) -> Bundle:
    """Reads what :func:`write_directory` wrote."""
    data = read_json(directory / CONFIG_NAME)
    config = ModelConfig.from_dict(data.get("model"))
    config = with_dtype(config, options.get("dtype"))
    arrays = weights.read_safetensors(directory / weights.FILE_NAME)
    model = weights.model_from_parameters(
        lambda: build(config, rngs=nnx.Rngs(0)), arrays, source=str(directory)
    )
    tokenizer = None if config.tokenizer is None else build_tokenizer(config.tokenizer, directory)
    return Bundle(
        model=model,
        tokenizer=tokenizer,
        settings=EncoderSettings.from_dict(data.get("settings") or {}),
        name=directory.name,
    )


def with_dtype(config: ModelConfig, dtype: str | None) -> ModelConfig:
    """The same model computing in another dtype: sets the option on every part that has it."""
    from textzoo.parts import accepts_option

    if dtype is None:
        return config
    changes: dict[str, Any] = {
        slot: part.replace(dtype=dtype)
        for slot, part in config.slots()
        if not slot.startswith("heads") and accepts_option(part, "dtype")
    }
    heads = tuple(
        head.replace(dtype=dtype) if accepts_option(head, "dtype") else head
        for head in config.heads
    )
    return config.replace(**changes, heads=heads)


def read_json(path: Path) -> Mapping[str, Any]:
    """Reads a JSON object from a file; the message of a failure names the file."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path} holds a {type(data).__name__}, expected a JSON object")
    return data
