"""Reading model directories in the layouts of transformers and sentence-transformers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flax import nnx

from textzoo.checkpoints import weights
from textzoo.checkpoints.bundle import Bundle
from textzoo.checkpoints.conversion import FAMILIES
from textzoo.checkpoints.conversion.table import convert
from textzoo.checkpoints.directory import read_json, with_dtype
from textzoo.config import ModelConfig, Part
from textzoo.errors import ConfigError, closest
from textzoo.parts import build, build_tokenizer


def read_transformers(directory: Path, *, dtype: str | None = None) -> Bundle:
    """Reads a transformers directory; vectors are masked means of the last states."""
    return _read(directory, directory, (Part("MeanPooling"),), dtype, max_length=None)


def _read(
    directory: Path, transformer: Path, after: tuple[Part, ...], dtype: str | None,
    max_length: int | None,
) -> Bundle:  # fmt: skip
    data = read_json(transformer / "config.json")
    family = FAMILIES.get(str(data.get("model_type")))
    if family is None:
        raise ConfigError(
            f"{transformer} holds a model of type {data.get('model_type')!r}; "
            f"{closest(str(data.get('model_type')), FAMILIES)}"
        )
    config: ModelConfig = family.config(data)
    limit = config.encoder.options["max_length"]
    tokenizer = Part("SubwordTokenizer", max_length=min(limit, max_length or limit))
    config = config.replace(pooling=after[0], heads=after[1:], tokenizer=tokenizer)
    config = with_dtype(config, dtype)
    tensors = _strip(weights.read_safetensors(transformer / weights.FILE_NAME), family.PREFIXES)

    def make() -> nnx.Module:
        return build(config, rngs=nnx.Rngs(0))

    shapes = weights.parameter_shapes(nnx.eval_shape(make))
    arrays = convert(tensors, family.RULES, shapes, ignore=family.IGNORE, source=str(directory))
    return Bundle(
        model=weights.model_from_parameters(make, arrays, source=str(directory)),
        tokenizer=build_tokenizer(tokenizer, transformer),
        name=directory.name,
    )


def _strip(tensors: Mapping[str, Any], prefixes: tuple[str, ...]) -> dict[str, Any]:
    """Removes the prefix that task models put before the encoder's names."""
    for prefix in prefixes:
        if any(name.startswith(prefix) for name in tensors):
            return {name.removeprefix(prefix): array for name, array in tensors.items()}
    return dict(tensors)


_POOLINGS = {
    "pooling_mode_cls_token": "ClsPooling",
    "pooling_mode_mean_tokens": "MeanPooling",
    "pooling_mode_max_tokens": "MaxPooling",
    "pooling_mode_mean_sqrt_len_tokens": "MeanSqrtLengthPooling",
    "pooling_mode_weightedmean_tokens": "WeightedMeanPooling",
    "pooling_mode_lasttoken": "LastPooling",
}


def read_sentence_transformers(directory: Path, *, dtype: str | None = None) -> Bundle:
    """Reads a sentence-transformers directory: transformer, pooling, normalisation."""
    import json

    modules = json.loads((directory / "modules.json").read_text(encoding="utf-8"))
    after: list[Part] = []
    for module in modules[1:]:
        kind = module["type"].rsplit(".", 1)[-1]
        if kind == "Pooling":
            options = read_json(directory / module["path"] / "config.json")
            chosen = [name for key, name in _POOLINGS.items() if options.get(key)]
            after.append(Part(chosen[0]))
        elif kind == "Normalize":
            after.append(Part("Normalize"))
        else:
            raise ConfigError(f"{directory}: module type {module['type']!r} is not supported")
    transformer = directory / modules[0]["path"]
    options = read_json(transformer / "sentence_bert_config.json")
    return _read(
        directory, transformer, tuple(after), dtype, max_length=options.get("max_seq_length")
    )
