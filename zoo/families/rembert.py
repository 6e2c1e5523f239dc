"""RemBERT: input and output tables of different widths, the output one left out after pretraining.

Paper: Chung et al. 2021, "Rethinking Embedding Coupling in Pre-trained Language Models", arXiv
2010.12821.
Reference: transformers ``RemBertModel`` and ``RemBertForMaskedLM``.
Identical: every operation up to the last states; table, positions, types and the input norm have
width 256, one linear map widens them to 1152. The head of pretraining, ``MaskedLanguageHead`` with
``tied=False`` and ``inner_dim=1664``, is read from checkpoints and has the same loss.
Different: no pooler; vectors are masked means.
Counts: with the pooler it would be 575.9M, published as 576M; 64M of it is the input table.
Pretraining has 419M more, a map of 1152 to 1664 and an output table of 250,300 rows. The tiny
size is our own; with ``tied=False, inner_dim=256`` its head is decoupled in the same way.
Published: input tables of half the size cost nothing when their parameters go into layers, and
wider output tables transfer better, on XTREME; the figures could not be checked.
"""

import functools
from typing import Any

from textzoo.config import ModelConfig
from textzoo.families.shared import transformer_preset
from textzoo.registry import register_model
from textzoo.spec import ModelSpec

_spec = functools.partial(
    ModelSpec,
    paper="Chung et al. 2021, arXiv 2010.12821",
    kind="subword",
    status="architecture-only",
    license="Apache-2.0",
    max_length=512,
)


@register_model(
    _spec(
        summary="RemBERT: 32 layers of width 1152 over a table of width 256, 110 languages",
        parameters=574_592_128,
        width=1_152,
        dimension=1_152,
        published="google/rembert",
        training_data="multilingual Wikipedia and Common Crawl",
    )
)
def rembert(**overrides: Any) -> ModelConfig:
    """RemBERT: 32 layers, D=1152, a table of 250,300 rows of width 256."""
    return transformer_preset(
        vocab_size=250_300, width=1152, embed_dim=256, num_layers=32, num_heads=18, num_types=2
    ).with_options(**overrides)


@register_model(
    _spec(
        summary="BERT tiny over a table of width 32",
        parameters=1_393_984,
        width=128,
        dimension=128,
        training_data="none",
    )
)
def rembert_tiny(**overrides: Any) -> ModelConfig:
    """RemBERT's layout at BERT tiny's size: 2 layers, D=128, a table of width 32; our own."""
    return transformer_preset(
        vocab_size=30_522, width=128, embed_dim=32, num_layers=2, num_heads=2, num_types=2
    ).with_options(**overrides)
