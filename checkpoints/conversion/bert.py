"""BERT and the families that share its tensor names: ELECTRA, RoBERTa and XLM-RoBERTa."""

from collections.abc import Mapping, Sequence
from typing import Any

from textzoo.checkpoints.conversion.family import Family, Field, Options, read_value
from textzoo.checkpoints.conversion.table import HEADS_KERNEL, Rule, linear_rules, norm_rules
from textzoo.errors import ConfigError

FIELDS = (
    Field("hidden_size", "width"),
    Field("num_hidden_layers", "num_layers"),
    Field("num_attention_heads", "num_heads"),
    Field("intermediate_size", "hidden_dim"),
    Field("max_position_embeddings", "max_length"),
    Field("type_vocab_size", "num_types", default=2),
    Field("layer_norm_eps", "norm_eps", float, 1e-12),
    Field("hidden_act", "activation", str, "gelu"),
    Field("hidden_dropout_prob", "dropout", float, 0.1),
    Field("attention_probs_dropout_prob", "attention_dropout", float, 0.1),
)
"""Config entries that BERT's descendants share."""

CONSTANTS: Options = {
    "positions": "learned",
    "norm": "post",
    "use_input_norm": True,
    "use_final_norm": False,
}

EMBEDDING_RULES: tuple[Rule, ...] = (
    Rule("embeddings.word_embeddings.weight", "embedding.table"),
    Rule("embeddings.position_embeddings.weight", "encoder.position_table"),
    Rule("embeddings.token_type_embeddings.weight", "encoder.type_table"),
    *norm_rules("embeddings.LayerNorm", "encoder.input_norm"),
)

_THEIRS = "encoder.layer.{i}"
_OURS = "encoder.layers.{i}"

_RULES: tuple[Rule, ...] = (
    *EMBEDDING_RULES,
    *linear_rules("embeddings_project", "encoder.input_projection"),
    *linear_rules(f"{_THEIRS}.attention.self.query", f"{_OURS}.attention.qkv", piece=0),
    *linear_rules(f"{_THEIRS}.attention.self.key", f"{_OURS}.attention.qkv", piece=1),
    *linear_rules(f"{_THEIRS}.attention.self.value", f"{_OURS}.attention.qkv", piece=2),
    *linear_rules(
        f"{_THEIRS}.attention.output.dense", f"{_OURS}.attention.out", kernel=HEADS_KERNEL
    ),
    *norm_rules(f"{_THEIRS}.attention.output.LayerNorm", f"{_OURS}.attention_norm"),
    *linear_rules(f"{_THEIRS}.intermediate.dense", f"{_OURS}.feed_forward.up"),
    *linear_rules(f"{_THEIRS}.output.dense", f"{_OURS}.feed_forward.down"),
    *norm_rules(f"{_THEIRS}.output.LayerNorm", f"{_OURS}.feed_forward_norm"),
)


def _rules(options: Options) -> Sequence[Rule]:
    return _RULES


COMMON_IGNORE = (
    r"embeddings\.(position_ids|token_type_ids)",  # buffers of older versions
    r"pooler\..*",
    r"classifier\..*",
    r"qa_outputs\..*",
)

BERT = Family(
    model_type="bert",
    model_class="BertModel",
    fields=FIELDS,
    constants=CONSTANTS,
    rules=_rules,
    prefix="bert.",
    ignore=(*COMMON_IGNORE, r"cls\..*"),
)


def _read_embed_dim(data: Mapping[str, Any]) -> Options:
    width = read_value(data, "hidden_size", int)
    narrow = read_value(data, "embedding_size", int, 128)
    return {"embed_dim": None if narrow == width else narrow}


ELECTRA = Family(
    model_type="electra",
    model_class="ElectraModel",
    fields=FIELDS,
    constants=CONSTANTS,
    rules=_rules,
    prefix="electra.",
    ignore=(
        *COMMON_IGNORE,
        r"(discriminator_predictions|generator_predictions|generator_lm_head)\..*",
        r"sequence_summary\..*",
    ),
    read_more=_read_embed_dim,
    write_more=lambda options: {"embedding_size": options["embed_dim"] or options["width"]},
)


def read_offset(data: Mapping[str, Any], pad_token_id: int) -> Options:
    """Options of a position table whose rows count from the padding id + 1."""
    offset = pad_token_id + 1
    rows = read_value(data, "max_position_embeddings", int)
    if offset < 1 or rows <= offset:
        raise ConfigError(
            f"config.json has max_position_embeddings={rows} and pad_token_id={pad_token_id}; "
            "positions count from pad_token_id + 1, so none are left"
        )
    return {"position_offset": offset, "max_length": rows - offset}


def write_offset(options: Options) -> dict[str, Any]:
    """The entry that :func:`read_offset` reads, without the padding id."""
    return {"max_position_embeddings": options["max_length"] + options["position_offset"]}


def _roberta(model_type: str, model_class: str) -> Family:
    return Family(
        model_type=model_type,
        model_class=model_class,
        fields=FIELDS,
        constants=CONSTANTS,
        rules=_rules,
        prefix="roberta.",
        ignore=(*COMMON_IGNORE, r"lm_head\..*"),
        read_more=lambda data: read_offset(data, read_value(data, "pad_token_id", int, 1)),
        write_more=lambda options: {
            **write_offset(options),
            "pad_token_id": options["position_offset"] - 1,
        },
        pad_token_id=lambda options: options["position_offset"] - 1,
    )


ROBERTA = _roberta("roberta", "RobertaModel")
XLM_ROBERTA = _roberta("xlm-roberta", "XLMRobertaModel")
