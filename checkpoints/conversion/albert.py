"""ALBERT: narrow embeddings, and layers whose weights are shared."""

from collections.abc import Mapping, Sequence
from typing import Any

from textzoo.checkpoints.conversion.bert import COMMON_IGNORE, CONSTANTS, EMBEDDING_RULES, FIELDS
from textzoo.checkpoints.conversion.family import Family, Options, read_value
from textzoo.checkpoints.conversion.table import HEADS_KERNEL, Rule, linear_rules, norm_rules


def _rules(options: Options) -> Sequence[Rule]:
    """One set of rules per layer with weights: theirs have two numbers, ours have one."""
    rules = [
        *EMBEDDING_RULES,
        *linear_rules("encoder.embedding_hidden_mapping_in", "encoder.input_projection"),
    ]
    size = options["group_size"]
    for index in range(options["num_groups"] * size):
        theirs = f"encoder.albert_layer_groups.{index // size}.albert_layers.{index % size}"
        ours = f"encoder.layers.{index}"
        rules += [
            *linear_rules(f"{theirs}.attention.query", f"{ours}.attention.qkv", piece=0),
            *linear_rules(f"{theirs}.attention.key", f"{ours}.attention.qkv", piece=1),
            *linear_rules(f"{theirs}.attention.value", f"{ours}.attention.qkv", piece=2),
            *linear_rules(
                f"{theirs}.attention.dense", f"{ours}.attention.out", kernel=HEADS_KERNEL
            ),
            *norm_rules(f"{theirs}.attention.LayerNorm", f"{ours}.attention_norm"),
            *linear_rules(f"{theirs}.ffn", f"{ours}.feed_forward.up"),
            *linear_rules(f"{theirs}.ffn_output", f"{ours}.feed_forward.down"),
            *norm_rules(f"{theirs}.full_layer_layer_norm", f"{ours}.feed_forward_norm"),
        ]
    return rules


def _read_groups(data: Mapping[str, Any]) -> Options:
    size = read_value(data, "inner_group_num", int, 1)
    return {
        "num_layers": read_value(data, "num_hidden_layers", int) * size,
        "num_groups": read_value(data, "num_hidden_groups", int, 1),
        "group_size": size,
        "embed_dim": read_value(data, "embedding_size", int, 128),
    }


def _write_groups(options: Options) -> Mapping[str, Any]:
    return {
        "num_hidden_layers": options["num_layers"] // options["group_size"],
        "num_hidden_groups": options["num_groups"],
        "inner_group_num": options["group_size"],
        "embedding_size": options["embed_dim"],
    }


ALBERT = Family(
    model_type="albert",
    model_class="AlbertModel",
    fields=tuple(field for field in FIELDS if field.option != "num_layers"),
    constants=CONSTANTS,
    rules=_rules,
    prefix="albert.",
    ignore=(*COMMON_IGNORE, r"(predictions|sop_classifier)\..*"),
    read_more=_read_groups,
    write_more=_write_groups,
)
