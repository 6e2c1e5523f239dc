"""DistilBERT: BERT base with every second layer, taught by it.

Paper: Sanh et al. 2019, "DistilBERT, a distilled version of BERT", arXiv 1910.01108.
Reference: transformers ``DistilBertModel``.
Identical: every operation up to the last states; there are no token types and no pooler.
Different: no heads of pretraining; vectors are masked means.
Published counts: 66M uncased, 65M cased, 134M multilingual, rounded.
"""

import functools
from typing import Any

from textzoo.config import ModelConfig
from textzoo.families.shared import transformer_preset
from textzoo.registry import register_model
from textzoo.spec import ModelSpec

_spec = functools.partial(
    ModelSpec,
    paper="Sanh et al. 2019, arXiv 1910.01108",
    kind="subword",
    status="architecture-only",
    license="Apache-2.0",
    training_data="BookCorpus and English Wikipedia, distilled from BERT base",
)
_preset = functools.partial(
    transformer_preset,
    dropout=0.1,
    attention_dropout=0.1,
)


@register_model(
    _spec(
        summary="DistilBERT base: 6 layers of width 768, lower-cased English",
        parameters=66_362_880,
        width=768,
        dimension=768,
        max_length=512,
        published="distilbert/distilbert-base-uncased",
    )
)
def distilbert_base_uncased(**overrides: Any) -> ModelConfig:
    """DistilBERT base, uncased: 6 layers, D=768."""
    return _preset(vocab_size=30_522, width=768, num_layers=6, num_heads=12).with_options(
        **overrides
    )


@register_model(
    _spec(
        summary="DistilBERT base: 6 layers of width 768, English with its case",
        parameters=65_190_912,
        width=768,
        dimension=768,
        max_length=512,
        published="distilbert/distilbert-base-cased",
    )
)
def distilbert_base_cased(**overrides: Any) -> ModelConfig:
    """DistilBERT base, cased: 6 layers, D=768."""
    return _preset(vocab_size=28_996, width=768, num_layers=6, num_heads=12).with_options(
        **overrides
    )


@register_model(
    _spec(
        summary="DistilBERT base: 6 layers of width 768, 104 languages with their case",
        parameters=134_734_080,
        width=768,
        dimension=768,
        max_length=512,
        published="distilbert/distilbert-base-multilingual-cased",
        training_data="Wikipedia in 104 languages, distilled from bert_base_multilingual_cased",
    )
)
def distilbert_base_multilingual_cased(**overrides: Any) -> ModelConfig:
    """DistilBERT base, multilingual and cased: 6 layers, D=768."""
    return _preset(vocab_size=119_547, width=768, num_layers=6, num_heads=12).with_options(
        **overrides
    )
