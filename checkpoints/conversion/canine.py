"""CANINE: hashed code points, and characters that become molecules and come back.

There is no way to export one: transformers takes the vector of padding from the hashed tables.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from textzoo.checkpoints.conversion.bert import COMMON_IGNORE
from textzoo.checkpoints.conversion.family import Family, Field, Options, complete, read_value
from textzoo.checkpoints.conversion.table import (
    HEADS_KERNEL,
    VECTOR,
    Rule,
    Transform,
    linear_rules,
    norm_rules,
)
from textzoo.config import ModelConfig, Part
from textzoo.errors import ConfigError
from textzoo.modules.embeddings.canine import PRIMES

_CONVOLUTION = Transform(
    lambda array, shape: np.ascontiguousarray(array.transpose(2, 1, 0)).reshape(shape),
    lambda array: array.transpose(2, 1, 0),
)
"""A torch ``Conv1d`` weight ``[out, in, taps]`` and our kernel ``[taps, in, out]``."""

_TABLE = "char_embeddings.HashBucketCodepointEmbedder_{i}.weight"


def _layer_rules(theirs: str, ours: str) -> tuple[Rule, ...]:
    attention = f"{theirs}.attention.self"
    return (
        *linear_rules(f"{attention}.query", f"{ours}.attention.qkv", piece=0),
        *linear_rules(f"{attention}.key", f"{ours}.attention.qkv", piece=1),
        *linear_rules(f"{attention}.value", f"{ours}.attention.qkv", piece=2),
        *linear_rules(
            f"{theirs}.attention.output.dense", f"{ours}.attention.out", kernel=HEADS_KERNEL
        ),
        *norm_rules(f"{theirs}.attention.output.LayerNorm", f"{ours}.attention_norm"),
        *linear_rules(f"{theirs}.intermediate.dense", f"{ours}.feed_forward.up"),
        *linear_rules(f"{theirs}.output.dense", f"{ours}.feed_forward.down"),
        *norm_rules(f"{theirs}.output.LayerNorm", f"{ours}.feed_forward_norm"),
    )


_RULES = (
    Rule(_TABLE, "embedding.tables.{i}"),
    Rule("padding_vector", "encoder.padding_vector"),
    Rule("char_embeddings.char_position_embeddings.weight", "encoder.position_table"),
    Rule("char_embeddings.token_type_embeddings.weight", "encoder.type_table"),
    *norm_rules("char_embeddings.LayerNorm", "encoder.input_norm"),
    *_layer_rules("initial_char_encoder.layer.0", "encoder.local_layer"),
    Rule("chars_to_molecules.conv.weight", "encoder.molecules.kernel", _CONVOLUTION),
    Rule("chars_to_molecules.conv.bias", "encoder.molecules.bias", VECTOR),
    *norm_rules("chars_to_molecules.LayerNorm", "encoder.molecule_norm"),
    *_layer_rules("encoder.layer.{i}", "encoder.layers.{i}"),
    Rule("projection.conv.weight", "encoder.projection.kernel", _CONVOLUTION),
    Rule("projection.conv.bias", "encoder.projection.bias", VECTOR),
    *norm_rules("projection.LayerNorm", "encoder.projection_norm"),
    *_layer_rules("final_char_encoder.layer.0", "encoder.final_layer"),
)


def _rules(options: Options) -> Sequence[Rule]:
    return _RULES


class CanineFamily(Family):
    """How a CANINE of transformers becomes hashed code points and a ``CanineEncoder``."""

    def config(self, data: Mapping[str, Any]) -> ModelConfig:
        """Tokenizer, embedding and encoder from the content of a ``config.json``."""
        options = self.read(data)
        longest = read_value(data, "max_position_embeddings", int, options["max_length"])
        if longest != options["max_length"]:
            raise ConfigError(
                f"config.json has max_position_embeddings={longest} and num_hash_buckets="
                f"{options['max_length']}; textzoo reads models that have as many positions as "
                "buckets"
            )
        return ModelConfig(
            tokenizer=Part("CodePointTokenizer", max_length=longest),
            embedding=Part(
                "CodePointHashEmbedding", vocab_size=0x110000, width=options["width"],
                num_rows=longest, num_hashes=read_value(data, "num_hash_functions", int, 8),
            ),
            encoder=Part("CanineEncoder", **options),
        )  # fmt: skip

    def prepare(self, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Adds the vector of padding: that of code point 0, whose row in a table is its prime."""
        tables = [tensors.get(_TABLE.format(i=index)) for index in range(len(PRIMES))]
        parts = [
            table[prime % len(table)]
            for table, prime in zip(tables, PRIMES, strict=True)
            if table is not None
        ]
        return {**tensors, "padding_vector": np.concatenate(parts)} if parts else tensors

    def misfits(self, options: Options) -> list[str]:
        """Every option: no ``TransformerEncoder`` is one."""
        return list(complete(options))


CANINE = CanineFamily(
    model_type="canine",
    model_class="CanineModel",
    fields=(
        Field("hidden_size", "width"),
        Field("num_hidden_layers", "num_layers"),
        Field("num_attention_heads", "num_heads"),
        Field("intermediate_size", "hidden_dim"),
        Field("num_hash_buckets", "max_length", default=16_384),
        Field("type_vocab_size", "num_types", default=16),
        Field("local_transformer_stride", "local_window", default=128),
        Field("downsampling_rate", "downsample", default=4),
        Field("upsampling_kernel_size", "kernel_size", default=4),
        Field("layer_norm_eps", "norm_eps", float, 1e-12),
        Field("hidden_act", "activation", str, "gelu"),
        Field("hidden_dropout_prob", "dropout", float, 0.1),
        Field("attention_probs_dropout_prob", "attention_dropout", float, 0.1),
    ),
    constants={"upsample": True},
    rules=_rules,
    prefix="canine.",
    ignore=(*COMMON_IGNORE, r"cls\..*", r"char_embeddings\.position_ids"),
)
