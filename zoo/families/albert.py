"""ALBERT: one transformer layer applied many times, over a narrow table.

Paper: Lan et al. 2020, "ALBERT: A Lite BERT", arXiv 1909.11942.
Reference: transformers ``AlbertModel``.
Identical: every operation up to the last states; table, positions, types and the input norm have
width 128, one linear map widens them; tanh GELU and no dropout, as in version 2.
Different: no pooler, no heads of pretraining; vectors are masked means.
Published counts (12M, 18M, 60M, 235M) include the pooler and the heads of pretraining and are
rounded.
"""

import functools
from typing import Any

from textzoo.config import ModelConfig
from textzoo.families.shared import transformer_preset
from textzoo.registry import register_model
from textzoo.spec import ModelSpec

_spec = functools.partial(
    ModelSpec,
    paper="Lan et al. 2020, arXiv 1909.11942",
    kind="subword",
    status="architecture-only",
    license="Apache-2.0",
    training_data="BookCorpus and English Wikipedia",
)
_preset = functools.partial(
    transformer_preset,
    embed_dim=128,
    num_groups=1,
    num_types=2,
    activation="gelu_tanh",
)


@register_model(
    _spec(
        summary="ALBERT base v2: one layer of width 768 applied 12 times",
        parameters=11_092_992,
        width=768,
        dimension=768,
        max_length=512,
        published="albert/albert-base-v2",
    )
)
def albert_base_v2(**overrides: Any) -> ModelConfig:
    """ALBERT base v2: 12 passes, D=768."""
    return _preset(
        vocab_size=30_000, width=768, num_layers=12, num_heads=12, hidden_dim=3072
    ).with_options(**overrides)


@register_model(
    _spec(
        summary="ALBERT large v2: one layer of width 1024 applied 24 times",
        parameters=16_634_368,
        width=1_024,
        dimension=1_024,
        max_length=512,
        published="albert/albert-large-v2",
    )
)
def albert_large_v2(**overrides: Any) -> ModelConfig:
    """ALBERT large v2: 24 passes, D=1024."""
    return _preset(
        vocab_size=30_000, width=1024, num_layers=24, num_heads=16, hidden_dim=4096
    ).with_options(**overrides)


@register_model(
    _spec(
        summary="ALBERT xlarge v2: one layer of width 2048 applied 24 times",
        parameters=54_528_512,
        width=2_048,
        dimension=2_048,
        max_length=512,
        published="albert/albert-xlarge-v2",
    )
)
def albert_xlarge_v2(**overrides: Any) -> ModelConfig:
    """ALBERT xlarge v2: 24 passes, D=2048."""
    return _preset(
        vocab_size=30_000, width=2048, num_layers=24, num_heads=16, hidden_dim=8192
    ).with_options(**overrides)


@register_model(
    _spec(
        summary="ALBERT xxlarge v2: one layer of width 4096 applied 12 times",
        parameters=205_814_272,
        width=4_096,
        dimension=4_096,
        max_length=512,
        published="albert/albert-xxlarge-v2",
    )
)
def albert_xxlarge_v2(**overrides: Any) -> ModelConfig:
    """ALBERT xxlarge v2: 12 passes, D=4096."""
    return _preset(
        vocab_size=30_000, width=4096, num_layers=12, num_heads=64, hidden_dim=16_384
    ).with_options(**overrides)
