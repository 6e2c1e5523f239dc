"""Reading a model directory, whichever of the known layouts it has."""

from pathlib import Path

from textzoo.checkpoints import weights
from textzoo.checkpoints.bundle import Bundle
from textzoo.checkpoints.directory import CONFIG_NAME, FORMAT, read_directory, read_json
from textzoo.checkpoints.foreign import read_sentence_transformers, read_transformers
from textzoo.errors import ConfigError
from textzoo.fitting import check_fit

_MODULES_NAME = "modules.json"


def read_model(directory: Path, *, dtype: str | None = None) -> Bundle:
    """Reads a directory in the layout of textzoo, sentence-transformers or transformers.

    Args:
        directory: where the model is.
        dtype: what it computes in, such as ``"bfloat16"``; ``None``: what it was saved with.

    Raises:
        ConfigError: no model in the directory, or one that textzoo cannot build.
        WeightsError: weights that are missing, damaged, or do not fit.
    """
    try:
        bundle = _read(directory, dtype)
    except FileNotFoundError as error:
        raise ConfigError(str(error)) from error
    if bundle.tokenizer is not None:
        check_fit(bundle.tokenizer, bundle.model, source=str(directory))
    return bundle


def has_model(directory: Path) -> bool:
    """Whether a directory has a config and weights, as far as their names tell."""
    configs = (directory / CONFIG_NAME, directory / _MODULES_NAME)
    files = directory.rglob("*.safetensors")
    # is_file, because a link of the hub's cache may lead nowhere.
    return any(path.is_file() for path in configs) and any(path.is_file() for path in files)


def _read(directory: Path, dtype: str | None) -> Bundle:
    if (directory / _MODULES_NAME).is_file():
        return read_sentence_transformers(directory, dtype=dtype)
    path = directory / CONFIG_NAME
    if not path.is_file():
        interrupted = (directory / weights.FILE_NAME).is_file()
        raise ConfigError(
            f"{directory} holds no model: it has neither {CONFIG_NAME} (textzoo, transformers) nor "
            f"{_MODULES_NAME} (sentence-transformers)"
            + (f"; saving to it was perhaps interrupted, {CONFIG_NAME} comes last" * interrupted)
        )
    data = read_json(path)
    if data.get("format") == FORMAT:
        return read_directory(directory, dtype=dtype)
    if "model_type" in data:
        return read_transformers(directory, dtype=dtype)
    raise ConfigError(
        f"{path} is neither textzoo's (no 'format': {FORMAT!r}) nor transformers' (no "
        "'model_type'); give the directory that a model was saved to"
    )
