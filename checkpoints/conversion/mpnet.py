"""MPNet: BERT with a relative position bias."""

from textzoo.checkpoints.conversion.bert import (
    COMMON_IGNORE,
    CONSTANTS,
    EMBEDDING_RULES,
    FIELDS,
    read_offset,
    write_offset,
)
from textzoo.checkpoints.conversion.family import Family
from textzoo.checkpoints.conversion.table import HEADS_KERNEL, Rule, linear_rules, norm_rules

_THEIRS = "encoder.layer.{i}"
_OURS = "encoder.layers.{i}"

_RULES: tuple[Rule, ...] = (
    *EMBEDDING_RULES,
    Rule("encoder.relative_attention_bias.weight", "encoder.relative_bias"),
    *linear_rules(f"{_THEIRS}.attention.attn.q", f"{_OURS}.attention.qkv", piece=0),
    *linear_rules(f"{_THEIRS}.attention.attn.k", f"{_OURS}.attention.qkv", piece=1),
    *linear_rules(f"{_THEIRS}.attention.attn.v", f"{_OURS}.attention.qkv", piece=2),
    *linear_rules(f"{_THEIRS}.attention.attn.o", f"{_OURS}.attention.out", kernel=HEADS_KERNEL),
    *norm_rules(f"{_THEIRS}.attention.LayerNorm", f"{_OURS}.attention_norm"),
    *linear_rules(f"{_THEIRS}.intermediate.dense", f"{_OURS}.feed_forward.up"),
    *linear_rules(f"{_THEIRS}.output.dense", f"{_OURS}.feed_forward.down"),
    *norm_rules(f"{_THEIRS}.output.LayerNorm", f"{_OURS}.feed_forward_norm"),
)

_PAD = 1  # fixed in the reference code, whatever the config says
_BUCKETS = 32  # the reference code counts in 32 buckets, whatever the config says

MPNET = Family(
    model_type="mpnet",
    model_class="MPNetModel",
    fields=tuple(field for field in FIELDS if field.option != "num_types"),
    constants={
        **CONSTANTS,
        "num_types": 0,
        "relative_buckets": _BUCKETS,
        "relative_max_distance": 128,
    },
    rules=lambda options: _RULES,
    prefix="mpnet.",
    ignore=(*COMMON_IGNORE, r"lm_head\..*"),
    only={"relative_attention_num_buckets": _BUCKETS},
    read_more=lambda data: read_offset(data, _PAD),
    write_more=lambda options: {
        **write_offset(options),
        "relative_attention_num_buckets": _BUCKETS,
    },
    pad_token_id=lambda options: _PAD,
)
