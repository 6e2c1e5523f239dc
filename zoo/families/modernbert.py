"""ModernBERT: pre-norm, rotary positions, GeGLU, and windows of 128 tokens in two layers of three.

Paper: Warner et al. 2024, "Smarter, Better, Faster, Longer", arXiv 2412.13663.
Reference: transformers ``ModernBertModel``.
Identical: every operation up to the last states; every third layer sees the whole text (rotary
base 160,000), the others 64 tokens to either side (base 10,000); no biases.
Different: rows are padded rather than packed by default; no heads of pretraining; vectors are
masked means, which suit local layers better than the first token.
Published counts: 149M and 395M, rounded.
"""

import functools
from typing import Any

from textzoo.config import ModelConfig
from textzoo.families.shared import transformer_preset
from textzoo.registry import register_model
from textzoo.spec import ModelSpec

_spec = functools.partial(
    ModelSpec,
    paper="Warner et al. 2024, arXiv 2412.13663",
    kind="subword",
    status="architecture-only",
    license="Apache-2.0",
    training_data="2 trillion tokens of English and code",
)
_preset = functools.partial(
    transformer_preset,
    max_length=8192,
    positions="rotary",
    rotary_theta=160000.0,
    local_rotary_theta=10000.0,
    local_window=128,
    global_every=3,
    norm="pre",
    use_final_norm=True,
    skip_first_attention_norm=True,
    norm_eps=1e-05,
    use_norm_bias=False,
    use_bias=False,
    gated=True,
)


@register_model(
    _spec(
        summary="ModernBERT base: 22 layers of width 768, English and code, 8,192 tokens",
        parameters=149_014_272,
        width=768,
        dimension=768,
        max_length=8_192,
        published="answerdotai/ModernBERT-base",
    )
)
def modernbert_base(**overrides: Any) -> ModelConfig:
    """ModernBERT base: 22 layers, D=768."""
    return _preset(
        vocab_size=50_368, width=768, num_layers=22, num_heads=12, hidden_dim=1152
    ).with_options(**overrides)


@register_model(
    _spec(
        summary="ModernBERT large: 28 layers of width 1024, English and code, 8,192 tokens",
        parameters=394_781_696,
        width=1_024,
        dimension=1_024,
        max_length=8_192,
        published="answerdotai/ModernBERT-large",
    )
)
def modernbert_large(**overrides: Any) -> ModelConfig:
    """ModernBERT large: 28 layers, D=1024."""
    return _preset(
        vocab_size=50_368, width=1024, num_layers=28, num_heads=16, hidden_dim=2624
    ).with_options(**overrides)
