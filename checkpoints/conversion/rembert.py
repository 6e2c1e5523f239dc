"""RemBERT: a narrow input table, and an output table of its own that encoders leave out."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from textzoo.checkpoints.conversion.bert import BERT, COMMON_IGNORE
from textzoo.checkpoints.conversion.family import Family, Options, read_value
from textzoo.checkpoints.conversion.table import Rule, linear_rules

_THEIRS, _OURS = "encoder.embedding_hidden_mapping_in", "encoder.input_projection"
_NO_DROPOUT = ("dropout", "attention_dropout")


def _rules(options: Options) -> Sequence[Rule]:
    kept = [rule for rule in BERT.rules(options) if not rule.target.startswith(_OURS)]
    return [*kept, *linear_rules(_THEIRS, _OURS)]


def _read_embed_dim(data: Mapping[str, Any]) -> Options:
    return {"embed_dim": read_value(data, "input_embedding_size", int, 256)}


REMBERT = Family(
    model_type="rembert",
    model_class="RemBertModel",
    fields=tuple(
        dataclasses.replace(field, default=0.0) if field.option in _NO_DROPOUT else field
        for field in BERT.fields
    ),
    constants=BERT.constants,
    rules=_rules,
    prefix="rembert.",
    ignore=(*COMMON_IGNORE, r"cls\..*"),
    read_more=_read_embed_dim,
    write_more=lambda options: {"input_embedding_size": options["embed_dim"]},
)
