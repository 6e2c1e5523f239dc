"""XLM-RoBERTa: RoBERTa's encoder over a Unigram vocabulary of 100 languages.

Paper: Conneau et al. 2020, "Unsupervised Cross-lingual Representation Learning at Scale", arXiv
1911.02116.
Reference: transformers ``XLMRobertaModel``.
Identical and different: as for RoBERTa (:mod:`textzoo.families.roberta`).
Published counts: 270M and 550M, rounded; more than two thirds of the base size is the table.
"""

import functools
from typing import Any

from textzoo.config import ModelConfig
from textzoo.families.shared import transformer_preset
from textzoo.registry import register_model
from textzoo.spec import ModelSpec

_spec = functools.partial(
    ModelSpec,
    paper="Conneau et al. 2020, arXiv 1911.02116",
    kind="subword",
    status="architecture-only",
    license="MIT",
    training_data="CC-100 (2.5 TB of text in 100 languages)",
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
        summary="XLM-RoBERTa base: 12 layers of width 768, 100 languages",
        parameters=277_453_056,
        width=768,
        dimension=768,
        max_length=512,
        published="FacebookAI/xlm-roberta-base",
    )
)
def xlm_roberta_base(**overrides: Any) -> ModelConfig:
    """XLM-RoBERTa base: 12 layers, D=768."""
    return _preset(vocab_size=250_002, width=768, num_layers=12, num_heads=12).with_options(
        **overrides
    )


@register_model(
    _spec(
        summary="XLM-RoBERTa large: 24 layers of width 1024, 100 languages",
        parameters=558_840_832,
        width=1_024,
        dimension=1_024,
        max_length=512,
        published="FacebookAI/xlm-roberta-large",
    )
)
def xlm_roberta_large(**overrides: Any) -> ModelConfig:
    """XLM-RoBERTa large: 24 layers, D=1024."""
    return _preset(vocab_size=250_002, width=1024, num_layers=24, num_heads=16).with_options(
        **overrides
    )
