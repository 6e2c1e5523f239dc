"""Reading static models: a table of vectors, no encoder."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from textzoo.checkpoints.assembly import Source, assemble
from textzoo.checkpoints.bundle import Bundle
from textzoo.checkpoints.conversion.sentence_transformers import STATIC_RULES
from textzoo.checkpoints.directory import read_json, with_dtype
from textzoo.checkpoints.tensors import read_tensors
from textzoo.config import ModelConfig, Part
from textzoo.errors import ConfigError, WeightsError
from textzoo.modules import Tokenizer
from textzoo.parts import build_tokenizer
from textzoo.settings import EncoderSettings

UNLIMITED = 1 << 20
"""Tokens per text where the other library sets no limit."""

_MODEL2VEC_LIMIT = 512


def read_static_table(
    directory: Path, *, max_length: int | None = None, drop_unknown: bool = False
) -> tuple[ModelConfig, Source, Tokenizer]:
    """Table and tokenizer of a ``StaticEmbedding`` module.

    Args:
        directory: holds ``model.safetensors`` and ``tokenizer.json``.
        max_length: longest text; ``None``: what the tokenizer's file says.
        drop_unknown: leave out tokens that are not in the vocabulary.
    """
    tensors = read_tensors(directory)
    if "embedding.weight" not in tensors:
        tensors = {"embedding.weight": _fold(directory, tensors)}
    tokenizer = Part(
        "SubwordTokenizer",
        max_length=max_length or _truncation(directory),
        add_special_tokens=False,
        drop_unknown=drop_unknown,
    )
    rows, width = tensors["embedding.weight"].shape
    config = ModelConfig(
        tokenizer=tokenizer, embedding=Part("SubwordEmbedding", vocab_size=rows, width=width)
    )
    source = Source(
        directory=directory, tensors=tensors, rules=STATIC_RULES, fills=("embedding.", "encoder.")
    )
    return config, source, build_tokenizer(tokenizer, directory)


def read_model2vec(directory: Path, *, dtype: str | None = None) -> Bundle:
    """Reads a directory that model2vec wrote, as model2vec reads it.

    The same directory is also in the layout of sentence-transformers, which keeps unknown tokens
    and knows no maximal length; model2vec drops the ones and has the other.

    Args:
        directory: holds ``config.json`` with the model type ``model2vec``.
        dtype: what the model computes in.
    """
    if not is_model2vec(directory):
        raise ConfigError(f"{directory / 'config.json'} does not name the model type 'model2vec'")
    data = read_json(directory / "config.json")
    limit = data.get("max_length", _MODEL2VEC_LIMIT)
    config, source, tokenizer = read_static_table(
        directory, max_length=UNLIMITED if limit is None else int(limit), drop_unknown=True
    )
    heads = (Part("Normalize"),) if data.get("normalize") else ()
    config = config.replace(pooling=Part("MeanPooling"), heads=heads)
    return assemble(
        with_dtype(config, dtype),
        [source],
        tokenizer=tokenizer,
        settings=EncoderSettings(),
        name=directory.name,
    )


def is_model2vec(directory: Path) -> bool:
    """Whether model2vec wrote a directory."""
    path = directory / "config.json"
    return path.is_file() and read_json(path).get("model_type") == "model2vec"


def _fold(directory: Path, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
    """One row per token from model2vec's rows, their assignment to tokens, and token weights."""
    extra = sorted(set(tensors) - {"embeddings", "mapping", "weights"})
    if extra or "embeddings" not in tensors:
        raise WeightsError(
            f"{directory} holds the tensors {sorted(tensors)}; expected 'embedding.weight', or "
            "'embeddings' with 'mapping' and 'weights'"
        )
    table = tensors["embeddings"]
    if "mapping" in tensors:
        table = table[tensors["mapping"]]
    if "weights" in tensors:
        weights = tensors["weights"].astype(np.float32)
        table = table.astype(np.float32) * weights[:, None]
    return table


def _truncation(directory: Path) -> int:
    path = directory / "tokenizer.json"
    truncation = read_json(path).get("truncation") if path.is_file() else None
    return int(truncation["max_length"]) if truncation else UNLIMITED
