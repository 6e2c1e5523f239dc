"""MiniLM: narrow BERT encoders that imitate the attention of a large one.

Paper: Wang et al. 2020, "MiniLM: Deep Self-Attention Distillation", arXiv 2002.10957.
Reference: transformers ``BertModel``; for ``all_minilm_l6_v2`` also sentence-transformers.
Identical: every operation up to the last states, and for ``all_minilm_l6_v2`` mean and
normalization.
Different: no pooler, no heads of pretraining. The model of 6 layers is every second layer of the
one of 12.
Published counts: 33M for 12 layers, 22.7M for 6 layers with a pooler, rounded.
"""

import functools
from typing import Any

from textzoo.config import ModelConfig, Part
from textzoo.families.shared import transformer_preset
from textzoo.registry import register_model
from textzoo.spec import ModelSpec, Result, Weights

_spec = functools.partial(
    ModelSpec,
    paper="Wang et al. 2020, arXiv 2002.10957",
    kind="subword",
    license="MIT",
    training_data="English text, distilled from a teacher of BERT base's size",
)
_preset = functools.partial(
    transformer_preset,
    num_types=2,
    dropout=0.1,
    attention_dropout=0.1,
)


@register_model(
    _spec(
        summary="MiniLM: 6 layers of width 384, lower-cased English",
        parameters=22_565_376,
        width=384,
        dimension=384,
        max_length=512,
        status="architecture-only",
        published="nreimers/MiniLM-L6-H384-uncased",
    )
)
def minilm_l6_h384_uncased(**overrides: Any) -> ModelConfig:
    """MiniLM with 6 layers, D=384."""
    return _preset(vocab_size=30_522, width=384, num_layers=6, num_heads=12).with_options(
        **overrides
    )


@register_model(
    _spec(
        summary="MiniLM: 12 layers of width 384, lower-cased English",
        parameters=33_212_160,
        width=384,
        dimension=384,
        max_length=512,
        status="architecture-only",
        published="microsoft/MiniLM-L12-H384-uncased",
    )
)
def minilm_l12_h384_uncased(**overrides: Any) -> ModelConfig:
    """MiniLM with 12 layers, D=384."""
    return _preset(vocab_size=30_522, width=384, num_layers=12, num_heads=12).with_options(
        **overrides
    )


@register_model(
    _spec(
        summary="Sentence vectors of MiniLM with 6 layers, tuned on a billion pairs",
        paper="Wang et al. 2020, arXiv 2002.10957; Reimers and Gurevych 2019, arXiv 1908.10084",
        parameters=22_565_376,
        width=384,
        dimension=384,
        max_length=256,
        license="Apache-2.0",
        status="verified",
        weights=Weights(
            hub="sentence-transformers/all-MiniLM-L6-v2",
            revision="c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
            sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        ),
        training_data="1.17 billion pairs of sentences from public collections",
        results=(
            Result(
                task="STS-B test",
                metric="Spearman x 100",
                value=82.03,
                command="textzoo evaluate all_minilm_l6_v2 stsb --data DATA --split test",
                date="2026-11-21",
                note="as published; float32",
            ),
        ),
    )
)
def all_minilm_l6_v2(**overrides: Any) -> ModelConfig:
    """all-MiniLM-L6-v2: MiniLM with 6 layers, mean, vectors of length one; texts of 256 tokens."""
    config = _preset(vocab_size=30_522, width=384, num_layers=6, num_heads=12)
    return config.with_options(
        tokenizer={"max_length": 256}, heads=[Part("Normalize")]
    ).with_options(**overrides)
