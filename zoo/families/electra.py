"""ELECTRA: BERT's encoder, taught to tell replaced tokens from real ones.

Paper: Clark et al. 2020, "ELECTRA: Pre-training Text Encoders as Discriminators", arXiv
2003.10555.
Reference: transformers ``ElectraModel``.
Identical: every operation up to the last states; in the small size, table, positions, types and
the input norm have width 128, and one linear map widens them.
Different: the head that spots replacements is left out; vectors are masked means, and poor ones
without further training.
Published counts: 14M, 110M, 335M, rounded.
"""

import functools
from typing import Any

from textzoo.config import ModelConfig
from textzoo.families.shared import transformer_preset
from textzoo.registry import register_model
from textzoo.spec import ModelSpec

_spec = functools.partial(
    ModelSpec,
    paper="Clark et al. 2020, arXiv 2003.10555",
    kind="subword",
    status="architecture-only",
    license="Apache-2.0",
    training_data="BookCorpus and English Wikipedia; for the large size also web text and news",
)
_preset = functools.partial(
    transformer_preset,
    num_types=2,
    dropout=0.1,
    attention_dropout=0.1,
)


@register_model(
    _spec(
        summary="ELECTRA small discriminator: 12 layers of width 256, lower-cased English",
        parameters=13_483_008,
        width=256,
        dimension=256,
        max_length=512,
        published="google/electra-small-discriminator",
    )
)
def electra_small_discriminator(**overrides: Any) -> ModelConfig:
    """ELECTRA small discriminator: 12 layers, D=256."""
    return _preset(
        vocab_size=30_522, width=256, num_layers=12, num_heads=4, embed_dim=128
    ).with_options(**overrides)


@register_model(
    _spec(
        summary="ELECTRA base discriminator: 12 layers of width 768, lower-cased English",
        parameters=108_891_648,
        width=768,
        dimension=768,
        max_length=512,
        published="google/electra-base-discriminator",
    )
)
def electra_base_discriminator(**overrides: Any) -> ModelConfig:
    """ELECTRA base discriminator: 12 layers, D=768."""
    return _preset(vocab_size=30_522, width=768, num_layers=12, num_heads=12).with_options(
        **overrides
    )


@register_model(
    _spec(
        summary="ELECTRA large discriminator: 24 layers of width 1024, lower-cased English",
        parameters=334_092_288,
        width=1_024,
        dimension=1_024,
        max_length=512,
        published="google/electra-large-discriminator",
    )
)
def electra_large_discriminator(**overrides: Any) -> ModelConfig:
    """ELECTRA large discriminator: 24 layers, D=1024."""
    return _preset(vocab_size=30_522, width=1024, num_layers=24, num_heads=16).with_options(
        **overrides
    )
