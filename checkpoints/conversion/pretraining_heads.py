"""Heads of pretraining in the checkpoints of transformers: masked tokens, replaced tokens.

The families leave them out, as they are no part of an encoder. What has no counterpart here stays
left out: the heads of pairs (``cls.seq_relationship``, ``sop_classifier``), poolers, and the output
table (``decoder.weight``) with its copy of the bias, which are tied to the embedding and the bias;
RemBERT's has rows of its own.
"""

import dataclasses

from textzoo.checkpoints.conversion.table import KERNEL, VECTOR, Rule, linear_rules, norm_rules


@dataclasses.dataclass(frozen=True)
class HeadTable:
    """Where a family keeps a head.

    Attributes:
        rules: from their names to the paths in our head.
        activation: of the head where it is not that of the layers.
        inner_dim: entry of ``config.json`` with the width of an output table of its own; ``None``
            where the head is tied to the embedding.
    """

    rules: tuple[Rule, ...]
    activation: str | None = None
    inner_dim: str | None = None


def _masked(dense: str, norm: str, bias: str, activation: str | None = None) -> HeadTable:
    rules = (
        *linear_rules(dense, "dense"),
        *norm_rules(norm, "norm"),
        Rule(bias, "output_bias", VECTOR),
    )
    return HeadTable(rules, activation)


_ROBERTA = _masked("lm_head.dense", "lm_head.layer_norm", "lm_head.bias", "gelu")

MASKED_LANGUAGE: dict[str, HeadTable] = {
    "bert": _masked(
        "cls.predictions.transform.dense",
        "cls.predictions.transform.LayerNorm",
        "cls.predictions.bias",
    ),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "mpnet": _ROBERTA,
    "distilbert": _masked("vocab_transform", "vocab_layer_norm", "vocab_projector.bias"),
    "albert": _masked("predictions.dense", "predictions.LayerNorm", "predictions.bias"),
    "electra": _masked(
        "generator_predictions.dense",
        "generator_predictions.LayerNorm",
        "generator_lm_head.bias",
        "gelu",
    ),
    "modernbert": _masked("head.dense", "head.norm", "decoder.bias"),
    "rembert": HeadTable(
        (
            *_masked(
                "cls.predictions.dense", "cls.predictions.LayerNorm", "cls.predictions.decoder.bias"
            ).rules,
            Rule("cls.predictions.decoder.weight", "output.kernel", KERNEL),
        ),
        inner_dim="output_embedding_size",
    ),
}
"""By transformers model type, tables for :class:`textzoo.modules.heads.MaskedLanguageHead`."""

REPLACED_TOKEN: dict[str, HeadTable] = {
    "electra": HeadTable(
        (
            *linear_rules("discriminator_predictions.dense", "dense"),
            *linear_rules("discriminator_predictions.dense_prediction", "output"),
        )
    ),
}
"""By transformers model type, tables for :class:`textzoo.modules.heads.ReplacedTokenHead`."""
