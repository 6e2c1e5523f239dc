"""MPNet: BERT's encoder with a bucketed relative position bias beside its learned positions.

Paper: Song et al. 2020, "MPNet: Masked and Permuted Pre-training", arXiv 2004.09297.
Reference: transformers ``MPNetModel``.
Identical: every operation up to the last states; 32 buckets of relative distance with one bias a
head, shared by all layers; positions start at row 2; no token types.
Different: no pooler, no heads of pretraining; positions count from the start of the row, which is
the same for padding on the right.
Published count: 110M, rounded.
"""

import functools
from typing import Any

from textzoo.config import ModelConfig
from textzoo.families.shared import transformer_preset
from textzoo.registry import register_model
from textzoo.spec import ModelSpec

_spec = functools.partial(
    ModelSpec,
    paper="Song et al. 2020, arXiv 2004.09297",
    kind="subword",
    status="architecture-only",
    license="MIT",
    training_data="BookCorpus, Wikipedia, CC-News, OpenWebText and Stories (160 GB of English)",
)
_preset = functools.partial(
    transformer_preset,
    position_offset=2,
    relative_buckets=32,
    norm_eps=1e-05,
    dropout=0.1,
    attention_dropout=0.1,
)


@register_model(
    _spec(
        summary="MPNet base: 12 layers of width 768, lower-cased English",
        parameters=108_895_872,
        width=768,
        dimension=768,
        max_length=512,
        published="microsoft/mpnet-base",
    )
)
def mpnet_base(**overrides: Any) -> ModelConfig:
    """MPNet base: 12 layers, D=768."""
    return _preset(vocab_size=30_527, width=768, num_layers=12, num_heads=12).with_options(
        **overrides
    )
