"""BERT: post-norm transformers over WordPieces, with learned positions and token types.

Paper: Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers", arXiv
1810.04805; the four small sizes: Turc et al. 2019, arXiv 1908.08962.
Reference: transformers ``BertModel``.
Identical: every operation up to the last states; the erf GELU.
Different: the pooler and the heads of pretraining are left out, and vectors are masked means.
Published counts (110M base, 340M large) include the pooler and round up.
"""

import functools
from typing import Any

from textzoo.config import ModelConfig
from textzoo.families.shared import transformer_preset
from textzoo.registry import register_model
from textzoo.spec import ModelSpec

_spec = functools.partial(
    ModelSpec,
    paper="Devlin et al. 2019, arXiv 1810.04805",
    kind="subword",
    status="architecture-only",
    license="Apache-2.0",
    training_data="BookCorpus and English Wikipedia",
)
_preset = functools.partial(
    transformer_preset,
    num_types=2,
    dropout=0.1,
    attention_dropout=0.1,
)


@register_model(
    _spec(
        summary="BERT tiny: 2 layers of width 128, lower-cased English",
        parameters=4_369_408,
        width=128,
        dimension=128,
        max_length=512,
        published="google/bert_uncased_L-2_H-128_A-2",
        paper="Turc et al. 2019, Well-Read Students Learn Better, arXiv 1908.08962",
    )
)
def bert_tiny_uncased(**overrides: Any) -> ModelConfig:
    """BERT tiny, uncased: 2 layers, D=128."""
    return _preset(vocab_size=30_522, width=128, num_layers=2, num_heads=2).with_options(
        **overrides
    )


@register_model(
    _spec(
        summary="BERT mini: 4 layers of width 256, lower-cased English",
        parameters=11_104_768,
        width=256,
        dimension=256,
        max_length=512,
        published="google/bert_uncased_L-4_H-256_A-4",
        paper="Turc et al. 2019, Well-Read Students Learn Better, arXiv 1908.08962",
    )
)
def bert_mini_uncased(**overrides: Any) -> ModelConfig:
    """BERT mini, uncased: 4 layers, D=256."""
    return _preset(vocab_size=30_522, width=256, num_layers=4, num_heads=4).with_options(
        **overrides
    )


@register_model(
    _spec(
        summary="BERT small: 4 layers of width 512, lower-cased English",
        parameters=28_500_992,
        width=512,
        dimension=512,
        max_length=512,
        published="google/bert_uncased_L-4_H-512_A-8",
        paper="Turc et al. 2019, Well-Read Students Learn Better, arXiv 1908.08962",
    )
)
def bert_small_uncased(**overrides: Any) -> ModelConfig:
    """BERT small, uncased: 4 layers, D=512."""
    return _preset(vocab_size=30_522, width=512, num_layers=4, num_heads=8).with_options(
        **overrides
    )


@register_model(
    _spec(
        summary="BERT medium: 8 layers of width 512, lower-cased English",
        parameters=41_110_528,
        width=512,
        dimension=512,
        max_length=512,
        published="google/bert_uncased_L-8_H-512_A-8",
        paper="Turc et al. 2019, Well-Read Students Learn Better, arXiv 1908.08962",
    )
)
def bert_medium_uncased(**overrides: Any) -> ModelConfig:
    """BERT medium, uncased: 8 layers, D=512."""
    return _preset(vocab_size=30_522, width=512, num_layers=8, num_heads=8).with_options(
        **overrides
    )


@register_model(
    _spec(
        summary="BERT base: 12 layers of width 768, lower-cased English",
        parameters=108_891_648,
        width=768,
        dimension=768,
        max_length=512,
        published="google-bert/bert-base-uncased",
    )
)
def bert_base_uncased(**overrides: Any) -> ModelConfig:
    """BERT base, uncased: 12 layers, D=768."""
    return _preset(vocab_size=30_522, width=768, num_layers=12, num_heads=12).with_options(
        **overrides
    )


@register_model(
    _spec(
        summary="BERT large: 24 layers of width 1024, lower-cased English",
        parameters=334_092_288,
        width=1_024,
        dimension=1_024,
        max_length=512,
        published="google-bert/bert-large-uncased",
    )
)
def bert_large_uncased(**overrides: Any) -> ModelConfig:
    """BERT large, uncased: 24 layers, D=1024."""
    return _preset(vocab_size=30_522, width=1024, num_layers=24, num_heads=16).with_options(
        **overrides
    )


@register_model(
    _spec(
        summary="BERT base: 12 layers of width 768, English with its case",
        parameters=107_719_680,
        width=768,
        dimension=768,
        max_length=512,
        published="google-bert/bert-base-cased",
    )
)
def bert_base_cased(**overrides: Any) -> ModelConfig:
    """BERT base, cased: 12 layers, D=768."""
    return _preset(vocab_size=28_996, width=768, num_layers=12, num_heads=12).with_options(
        **overrides
    )


@register_model(
    _spec(
        summary="BERT large: 24 layers of width 1024, English with its case",
        parameters=332_529_664,
        width=1_024,
        dimension=1_024,
        max_length=512,
        published="google-bert/bert-large-cased",
    )
)
def bert_large_cased(**overrides: Any) -> ModelConfig:
    """BERT large, cased: 24 layers, D=1024."""
    return _preset(vocab_size=28_996, width=1024, num_layers=24, num_heads=16).with_options(
        **overrides
    )


@register_model(
    _spec(
        summary="BERT base on 104 languages, with their case",
        parameters=177_262_848,
        width=768,
        dimension=768,
        max_length=512,
        published="google-bert/bert-base-multilingual-cased",
        training_data="Wikipedia in 104 languages",
    )
)
def bert_base_multilingual_cased(**overrides: Any) -> ModelConfig:
    """BERT base, multilingual and cased: 12 layers, D=768."""
    return _preset(vocab_size=119_547, width=768, num_layers=12, num_heads=12).with_options(
        **overrides
    )
