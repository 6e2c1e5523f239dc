"""The textzoo layout of a model directory.

``config.json`` (model config with its format version, settings, name), ``model.safetensors``, the
tokenizer's file, and a ``README.md`` card. No pickle, and nothing in it is ever executed.
"""

import json
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from textzoo.checkpoints import weights
from textzoo.checkpoints.bundle import Bundle
from textzoo.checkpoints.card import make_card
from textzoo.config import ModelConfig, Part
from textzoo.errors import ConfigError, closest
from textzoo.parts import accepts_option, build_tokenizer, known_parts
from textzoo.settings import EncoderSettings
from textzoo.spec import ModelSpec

CONFIG_NAME = "config.json"
CARD_NAME = "README.md"
FORMAT = "textzoo"
_KEYS = ("format", "name", "model", "settings")


def write_directory(
    directory: Path,
    bundle: Bundle,
    *,
    spec: ModelSpec | None = None,
    training: Mapping[str, Any] | None = None,
) -> None:
    """Writes a bundle, so that a reader finds the old model, the new one, or a clear error.

    Files are written beside ``directory`` and moved there when all are complete. In a directory
    that has files, ``config.json`` goes first and comes last, so that no interruption leaves the
    config of one model with the weights of another.

    Args:
        directory: made when it does not exist; a textzoo model in it is replaced.
        bundle: what to write.
        spec: of the released model these weights are, for the card.
        training: how they were made, for the card; see :func:`make_card`.

    Raises:
        ConfigError: the model has no config, or one that would not load; or the directory holds
            something else.
    """
    directory = Path(directory).expanduser().resolve()
    config = _check_saveable(bundle)
    _check_target(directory)
    arrays = weights.get_parameters(bundle.model)
    # Shapes only: a model whose parts were exchanged by hand would be refused when it is loaded.
    weights.check_fit(
        weights.parameter_shapes(weights.abstract_model(config)), arrays,
        source="the model (parts changed after it was built?)",
    )  # fmt: skip
    directory.parent.mkdir(parents=True, exist_ok=True)
    staging = directory.with_name(f".{directory.name}.{secrets.token_hex(4)}")
    staging.mkdir()
    try:
        weights.write_safetensors(staging / weights.FILE_NAME, arrays)
        if bundle.tokenizer is not None:
            bundle.tokenizer.save(staging)
        name = bundle.name or directory.name
        data = {
            "format": FORMAT,
            "name": name,
            "model": config.to_dict(),
            "settings": bundle.settings.to_dict(),
        }
        text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
        (staging / CONFIG_NAME).write_text(text, encoding="utf-8")
        card = make_card(
            name=name,
            config=config,
            settings=bundle.settings,
            parameters=sum(array.size for array in arrays.values()),
            sha256=weights.sha256(staging / weights.FILE_NAME),
            spec=spec,
            training=training,
        )
        (staging / CARD_NAME).write_text(card, encoding="utf-8")
        _publish(staging, directory)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def read_directory(directory: Path, *, dtype: str | None = None) -> Bundle:
    """Reads what :func:`write_directory` wrote."""
    data = read_json(directory / CONFIG_NAME)
    for key in data:
        if key not in _KEYS:
            raise ConfigError(f"{directory / CONFIG_NAME} has no {key!r}; {closest(key, _KEYS)}")
    config = with_dtype(ModelConfig.from_dict(data.get("model")), dtype)
    model = weights.abstract_model(config)
    arrays = weights.read_safetensors(directory / weights.FILE_NAME)
    return Bundle(
        model=weights.fill(model, arrays, source=str(directory)),
        tokenizer=None
        if config.tokenizer is None
        else build_tokenizer(config.tokenizer, directory),
        settings=EncoderSettings.from_dict(data.get("settings") or {}),
        name=str(data.get("name") or directory.name),
    )


def with_dtype(config: ModelConfig, dtype: str | None) -> ModelConfig:
    """The same model computing in another dtype: sets the option on every part that has it."""
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


def _check_saveable(bundle: Bundle) -> ModelConfig:
    """The config to write; raises when loading it again would fail."""
    config = bundle.model.config
    if config is None:
        raise ConfigError(
            "the model has no config, so it could not be built again; make it with "
            "textzoo.build(ModelConfig(...), rngs=...), and pass classes of your own to "
            "textzoo.register_module"
        )
    parts = known_parts()
    for slot, part in config.slots():
        for name in _types(part):
            if name not in parts:
                raise ConfigError(
                    f"{slot}: no part is named {name!r}; {closest(name, parts)} Pass the class to "
                    "textzoo.register_module before saving."
                )
    if bundle.tokenizer is None:
        return config.replace(tokenizer=None)
    used = type(bundle.tokenizer).__name__
    if config.tokenizer is None or config.tokenizer.type != used:
        there = "no tokenizer" if config.tokenizer is None else f"a {config.tokenizer.type}"
        raise ConfigError(
            f"the model's config has {there}, the encoder uses a {used}; build the model with "
            f"ModelConfig(tokenizer=Part({used!r}, ...), ...)"
        )
    return config


def _types(value: Any) -> Iterable[str]:
    if isinstance(value, Part):
        yield value.type
        value = value.options
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, tuple):
        for item in value:
            yield from _types(item)


def _check_target(directory: Path) -> None:
    if directory.exists() and not directory.is_dir():
        raise ConfigError(f"{directory} is a file; give a directory to save to")
    path = directory / CONFIG_NAME
    foreign = path.is_file() and read_json(path).get("format") != FORMAT
    if foreign or (directory / "modules.json").is_file():
        raise ConfigError(
            f"{directory} holds a model of another library; save to another directory"
        )


def _publish(staging: Path, directory: Path) -> None:
    try:
        os.rename(staging, directory)
    except OSError:  # the directory has files
        directory.mkdir(exist_ok=True)
        (directory / CONFIG_NAME).unlink(missing_ok=True)
        for path in sorted(staging.iterdir(), key=lambda path: path.name == CONFIG_NAME):
            os.replace(path, directory / path.name)
