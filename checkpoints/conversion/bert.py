"""BERT checkpoints of transformers."""

from collections.abc import Mapping
from typing import Any

from textzoo.checkpoints.conversion.table import Rule, linear_rules, norm_rules
from textzoo.config import ModelConfig, Part

_LAYER = r"encoder\.layer\.(\d+)"
_OURS = r"encoder.layers.\1"

RULES: tuple[Rule, ...] = (
    Rule(r"embeddings\.word_embeddings\.weight", "embedding.table"),
    Rule(r"embeddings\.position_embeddings\.weight", "encoder.position_table"),
    Rule(r"embeddings\.token_type_embeddings\.weight", "encoder.type_table"),
    *norm_rules(r"embeddings\.LayerNorm", "encoder.input_norm"),
    *linear_rules(_LAYER + r"\.attention\.self\.query", _OURS + ".attention.qkv", piece=0),
    *linear_rules(_LAYER + r"\.attention\.self\.key", _OURS + ".attention.qkv", piece=1),
    *linear_rules(_LAYER + r"\.attention\.self\.value", _OURS + ".attention.qkv", piece=2),
    *linear_rules(_LAYER + r"\.attention\.output\.dense", _OURS + ".attention.out"),
    *norm_rules(_LAYER + r"\.attention\.output\.LayerNorm", _OURS + ".attention_norm"),
    *linear_rules(_LAYER + r"\.intermediate\.dense", _OURS + ".feed_forward.up"),
    *linear_rules(_LAYER + r"\.output\.dense", _OURS + ".feed_forward.down"),
    *norm_rules(_LAYER + r"\.output\.LayerNorm", _OURS + ".feed_forward_norm"),
)

IGNORE = (r"embeddings\.position_ids", r"pooler\..*", r"cls\..*")

PREFIXES = ("bert.",)


def config(data: Mapping[str, Any]) -> ModelConfig:
    """Reads a transformers BERT ``config.json``; no pooling yet."""
    return ModelConfig(
        embedding=Part(
            "SubwordEmbedding", vocab_size=data["vocab_size"], width=data["hidden_size"]
        ),
        encoder=Part(
            "TransformerEncoder",
            width=data["hidden_size"],
            num_layers=data["num_hidden_layers"],
            num_heads=data["num_attention_heads"],
            hidden_dim=data["intermediate_size"],
            max_length=data["max_position_embeddings"],
            num_types=data["type_vocab_size"],
            norm_eps=data["layer_norm_eps"],
            activation={"gelu_new": "gelu_tanh"}.get(data["hidden_act"], data["hidden_act"]),
            dropout=data["hidden_dropout_prob"],
            attention_dropout=data["attention_probs_dropout_prob"],
        ),
    )
