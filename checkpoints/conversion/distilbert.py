"""DistilBERT: BERT without token types, under names of its own."""

from textzoo.checkpoints.conversion.bert import COMMON_IGNORE, CONSTANTS, EMBEDDING_RULES
from textzoo.checkpoints.conversion.family import Family, Field
from textzoo.checkpoints.conversion.table import HEADS_KERNEL, Rule, linear_rules, norm_rules

_THEIRS = "transformer.layer.{i}"
_OURS = "encoder.layers.{i}"

_RULES: tuple[Rule, ...] = (
    *EMBEDDING_RULES,
    *linear_rules(f"{_THEIRS}.attention.q_lin", f"{_OURS}.attention.qkv", piece=0),
    *linear_rules(f"{_THEIRS}.attention.k_lin", f"{_OURS}.attention.qkv", piece=1),
    *linear_rules(f"{_THEIRS}.attention.v_lin", f"{_OURS}.attention.qkv", piece=2),
    *linear_rules(f"{_THEIRS}.attention.out_lin", f"{_OURS}.attention.out", kernel=HEADS_KERNEL),
    *norm_rules(f"{_THEIRS}.sa_layer_norm", f"{_OURS}.attention_norm"),
    *linear_rules(f"{_THEIRS}.ffn.lin1", f"{_OURS}.feed_forward.up"),
    *linear_rules(f"{_THEIRS}.ffn.lin2", f"{_OURS}.feed_forward.down"),
    *norm_rules(f"{_THEIRS}.output_layer_norm", f"{_OURS}.feed_forward_norm"),
)

# In training, the reference has no dropout between attention and the residual sum; ours has.
DISTILBERT = Family(
    model_type="distilbert",
    model_class="DistilBertModel",
    fields=(
        Field("dim", "width"),
        Field("n_layers", "num_layers"),
        Field("n_heads", "num_heads"),
        Field("hidden_dim", "hidden_dim"),
        Field("max_position_embeddings", "max_length"),
        Field("activation", "activation", str, "gelu"),
        Field("dropout", "dropout", float, 0.1),
        Field("attention_dropout", "attention_dropout", float, 0.1),
    ),
    constants={**CONSTANTS, "num_types": 0, "norm_eps": 1e-12},
    rules=lambda options: _RULES,
    prefix="distilbert.",
    ignore=(
        *COMMON_IGNORE,
        r"(vocab_transform|vocab_layer_norm|vocab_projector|pre_classifier)\..*",
    ),
)
