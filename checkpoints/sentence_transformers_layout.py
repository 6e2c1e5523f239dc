"""Reading model directories in the layout of sentence-transformers, versions 2 to 6.

``modules.json`` lists modules and the folders that hold them. A transformer or a static table
comes first, then (after a transformer) a pooling, then any number of dense and normalizing modules.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers.normalizers import Lowercase
from tokenizers.normalizers import Sequence as NormalizerSequence

from textzoo.checkpoints.assembly import Source, assemble
from textzoo.checkpoints.bundle import Bundle
from textzoo.checkpoints.conversion import sentence_transformers as tables
from textzoo.checkpoints.conversion.family import read_value
from textzoo.checkpoints.directory import read_json, with_dtype
from textzoo.checkpoints.static_layout import is_model2vec, read_model2vec, read_static_table
from textzoo.checkpoints.tensors import read_tensors
from textzoo.checkpoints.transformers_layout import limit_length, read_encoder, tokenizer_limit
from textzoo.config import ModelConfig, Part
from textzoo.errors import ConfigError, closest
from textzoo.modules import SubwordTokenizer, Tokenizer
from textzoo.parts import build_tokenizer
from textzoo.settings import EncoderSettings


def read_sentence_transformers(directory: Path, *, dtype: str | None = None) -> Bundle:
    """Reads a directory that ``SentenceTransformer.save_pretrained`` wrote.

    A directory that model2vec wrote has this layout too; it is read as model2vec reads it.

    Args:
        directory: holds ``modules.json``.
        dtype: what the model computes in; parameters are stored as float32.

    Raises:
        ConfigError: a module, or an option of one, that textzoo lacks; the message names it.
        WeightsError: the tensors do not fit; every disagreement is listed.
    """
    if is_model2vec(directory):
        return read_model2vec(directory, dtype=dtype)
    modules = _read_modules(directory)
    kinds = [kind for kind, _ in modules]
    first, path = modules[0]
    if first == "StaticEmbedding":
        config, source, tokenizer = read_static_table(path)
        pooling, rest = Part("MeanPooling"), modules[1:]
    elif first == "Transformer":
        config, source = read_encoder(path)
        config, tokenizer = _read_tokenizer(path, config)
        if kinds[1:2] != ["Pooling"]:
            raise ConfigError(f"{directory}: modules are {kinds}; expected Pooling in second place")
        pooling, rest = _read_pooling(modules[1][1]), modules[2:]
    else:
        raise ConfigError(
            f"{directory}: modules are {kinds}; expected Transformer or StaticEmbedding first"
        )
    heads, sources = [], [source]
    for index, (kind, path) in enumerate(rest):
        if kind == "Normalize":
            heads.append(_read_normalize(path))
        elif kind == "Dense":
            head, dense = _read_dense(path, index)
            heads.append(head)
            sources.append(dense)
        else:
            raise ConfigError(f"{directory}: modules are {kinds}; {kind} cannot stand there")
    config = config.replace(pooling=pooling, heads=tuple(heads))
    return assemble(
        with_dtype(config, dtype),
        sources,
        tokenizer=tokenizer,
        settings=_read_settings(directory),
        name=directory.name,
    )


def _read_modules(directory: Path) -> list[tuple[str, Path]]:
    """Kind and folder of every module."""
    path = directory / "modules.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        modules = [(str(entry["type"]), str(entry["path"])) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is not a list of modules ({error!r})") from error
    found = []
    for name, folder in modules:
        # Since version 5.4 the type says where the class is defined; the class is the same.
        library, kind = name.partition(".")[0], name.rpartition(".")[2]
        if library != "sentence_transformers" or kind not in _KINDS:
            raise ConfigError(
                f"{directory}: module type {name!r} is not supported; {closest(kind, _KINDS)}"
            )
        if Path(folder).is_absolute() or ".." in Path(folder).parts:
            raise ConfigError(f"{path} names the folder {folder!r} outside the model directory")
        found.append((kind, directory / folder))
    if not found:
        raise ConfigError(f"{path} lists no modules")
    return found


_KINDS = ("Transformer", "Pooling", "Dense", "Normalize", "StaticEmbedding")

_TRANSFORMER_CONFIGS = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
)


def _read_tokenizer(directory: Path, config: ModelConfig) -> tuple[ModelConfig, Tokenizer]:
    path = next((p for n in _TRANSFORMER_CONFIGS if (p := directory / n).is_file()), None)
    data = {} if path is None else read_json(path)
    _check_only(
        directory,
        "Transformer",
        data,
        {
            "transformer_task": "feature-extraction",
            "module_output_name": "token_embeddings",
            "tokenizer_name_or_path": None,
            "query_length": None,
            "document_length": None,
            "query_expansion": None,
            "processing_kwargs": {},
            "tokenizer_args": {},
            "processor_kwargs": {},
            "config_args": {},
            "config_kwargs": {},
        },
    )
    limit = data.get("max_seq_length")
    if limit is None:  # version 6 keeps the limit with the tokenizer
        limit = tokenizer_limit(directory)
    part = Part("SubwordTokenizer", max_length=limit_length(config, limit))
    tokenizer = build_tokenizer(part, directory)
    if data.get("do_lower_case"):
        tokenizer = SubwordTokenizer(_lowercased(directory), **part.options)
    return config.replace(tokenizer=part), tokenizer


def _lowercased(directory: Path) -> tokenizers.Tokenizer:
    """The tokenizer with lowercasing before all else, which is then saved with it."""
    tokenizer = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
    present = tokenizer.normalizer
    tokenizer.normalizer = (
        Lowercase() if present is None else NormalizerSequence([Lowercase(), present])
    )
    return tokenizer


def _read_pooling(directory: Path) -> Part:
    data = read_json(directory / "config.json")
    if data.get("include_prompt") is False:
        raise ConfigError(
            f"{directory} leaves the prompt out of the pooling (include_prompt=false), "
            "which textzoo does not do"
        )
    modes = data.get("pooling_mode")
    if modes is None:  # before version 6: one switch per mode
        modes = [mode for key, mode in tables.POOLING_SWITCHES.items() if data.get(key)] or "mean"
    modes = [modes] if isinstance(modes, str) else list(modes)
    if len(modes) != 1:
        raise ConfigError(
            f"{directory} concatenates the poolings {modes}; textzoo reads models with one"
        )
    if modes[0] not in tables.POOLINGS:
        raise ConfigError(
            f"{directory} has the pooling mode {modes[0]!r}; {closest(modes[0], tables.POOLINGS)}"
        )
    return Part(tables.POOLINGS[modes[0]])


def _read_dense(directory: Path, index: int) -> tuple[Part, Source]:
    data = read_json(directory / "config.json")
    _check_only(directory, "Dense", data, {**_ON_VECTORS, "use_residual": False})
    name = str(data.get("activation_function", tables.DENSE_DEFAULT_ACTIVATION))
    if name not in tables.DENSE_ACTIVATIONS:
        raise ConfigError(
            f"{directory} has the activation {name!r}; {closest(name, tables.DENSE_ACTIVATIONS)}"
        )
    part = Part(
        "Dense",
        in_features=read_value(data, "in_features", int),
        out_features=read_value(data, "out_features", int),
        use_bias=read_value(data, "bias", bool, True),
        activation=tables.DENSE_ACTIVATIONS[name],
    )
    source = Source(
        directory=directory,
        tensors=read_tensors(directory),
        rules=tables.dense_rules(index),
        fills=(f"heads.{index}.",),
    )
    return part, source


def _read_normalize(directory: Path) -> Part:
    path = directory / "config.json"  # absent before version 6
    _check_only(directory, "Normalize", read_json(path) if path.is_file() else {}, _ON_VECTORS)
    return Part("Normalize")


_ON_VECTORS = {
    "module_input_name": "sentence_embedding",
    "module_output_name": "sentence_embedding",
}


def _check_only(
    directory: Path, kind: str, data: Mapping[str, Any], supported: Mapping[str, Any]
) -> None:
    for key, value in supported.items():
        if data.get(key) not in (None, value):
            raise ConfigError(
                f"{directory}: {kind} has {key}={data[key]!r}; textzoo reads modules with "
                f"{key}={value!r}"
            )


def _read_settings(directory: Path) -> EncoderSettings:
    path = directory / "config_sentence_transformers.json"
    data = read_json(path) if path.is_file() else {}
    if data.get("model_type") not in (None, "SentenceTransformer"):
        raise ConfigError(f"{directory} is a {data['model_type']}, expected a SentenceTransformer")
    prompts = data.get("prompts") or {}
    # Models without prompts are saved with empty ones.
    prompts = prompts if any(prompts.values()) else {}
    default = data.get("default_prompt_name")
    return EncoderSettings(
        prompts=prompts,
        default_prompt=default if prompts else None,
        similarity=data.get("similarity_fn_name") or "cosine",
        truncate_dim=data.get("truncate_dim"),
    )
