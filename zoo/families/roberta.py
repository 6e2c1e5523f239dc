"""RoBERTa: BERT's encoder over byte-level BPE, pretrained longer and without token types.

Paper: Liu et al. 2019, "RoBERTa: A Robustly Optimized BERT Pretraining Approach", arXiv
1907.11692.
Reference: transformers ``RobertaModel``.
Identical: every operation up to the last states; positions start at row 2 of a table of 514; the
one row of token types is kept, as in the checkpoints.
Different: no pooler, no heads of pretraining; positions count from the start of the row, which is
the same for padding on the right.
Published counts: 125M and 355M, rounded.
"""

import functools
from typing import Any

from textzoo.config import ModelConfig
from textzoo.families.shared import transformer_preset
from textzoo.registry import register_model
from textzoo.spec import ModelSpec

_spec = functools.partial(
    ModelSpec,
    paper="Liu et al. 2019, arXiv 1907.11692",
    kind="subword",
    status="architecture-only",
    license="MIT",
    training_data="BookCorpus, Wikipedia, CC-News, OpenWebText and Stories (160 GB of English)",
)
_preset = functools.partial(
    transformer_preset,
    num_types=1,
    position_offset=2,
    norm_eps=1e-05,
    dropout=0.1,
    attention_dropout=0.1,
)


@register_model(
    _spec(
        summary="RoBERTa base: 12 layers of width 768, English with its case",
        parameters=124_055_040,
        width=768,
        dimension=768,
        max_length=512,
        published="FacebookAI/roberta-base",
    )
)
def roberta_base(**overrides: Any) -> ModelConfig:
    """RoBERTa base: 12 layers, D=768."""
    return _preset(vocab_size=50_265, width=768, num_layers=12, num_heads=12).with_options(
        **overrides
    )


@register_model(
    _spec(
        summary="RoBERTa large: 24 layers of width 1024, English with its case",
        parameters=354_310_144,
        width=1_024,
        dimension=1_024,
        max_length=512,
        published="FacebookAI/roberta-large",
    )
)
def roberta_large(**overrides: Any) -> ModelConfig:
    """RoBERTa large: 24 layers, D=1024."""
    return _preset(vocab_size=50_265, width=1024, num_layers=24, num_heads=16).with_options(
        **overrides
    )
