"""LangSAMP: XLM-RoBERTa whose head of pretraining is told the language and the script.

Paper: Liu et al. 2025, "LangSAMP: Language-Script Aware Multilingual Pretraining", ACL; arXiv
2409.18199.
Reference: github.com/cisnlp/LangSAMP, ``modeling_xlmr_decoupled.py``, of which there is no package;
the sum is compared in ``tests/modules/embeddings/test_side.py``.
Identical: XLM-R base's encoder, and after it ``h + E_lang + E_script``, which are not there at use:
texts are then encoded as by the encoder alone, and training exports that
(``LanguageObjective``).
Different: tokens of unknown language have no vector. The released code's option to add the vectors
to the input, which looks scripts up by languages, is left out; ``SideEmbedding`` in a
``SumEmbedding`` does that.
Published: better than the same training without them on retrieval, classification and tagging in
hundreds of languages; the figures could not be checked. Nor could the sizes of the vocabulary
(Glot500's 401,145 pieces) and of the tables (511 languages, 30 scripts), which are Glot500-c's.
"""

import functools
from typing import Any

from textzoo.config import ModelConfig, Part
from textzoo.families.shared import transformer_preset
from textzoo.registry import register_model
from textzoo.spec import ModelSpec

_spec = functools.partial(
    ModelSpec,
    paper="Liu et al. 2025, LangSAMP, arXiv 2409.18199",
    kind="subword",
    status="architecture-only",
    license="Apache-2.0",
    max_length=512,
)


def _preset(*, width: int, sizes: tuple[int, int], **options: Any) -> ModelConfig:
    config = transformer_preset(
        width=width, num_types=1, position_offset=2, norm_eps=1e-5, dropout=0.1,
        attention_dropout=0.1, **options,
    )  # fmt: skip
    encoder = Part("SideVectorsEncoder", encoder=config.encoder, sizes=sizes, width=width)
    return config.replace(encoder=encoder)


@register_model(
    _spec(
        summary="XLM-RoBERTa base with vectors of 511 languages and 30 scripts after it",
        parameters=393_946_368,
        width=768,
        dimension=768,
        training_data="none; in the paper, Glot500-c, from XLM-RoBERTa base",
    )
)
def langsamp_base(**overrides: Any) -> ModelConfig:
    """XLM-RoBERTa base, 12 layers, D=768, over 401,145 pieces; 511 languages, 30 scripts."""
    return _preset(
        vocab_size=401_145, width=768, num_layers=12, num_heads=12, sizes=(511, 30)
    ).with_options(**overrides)


@register_model(
    _spec(
        summary="BERT tiny's size with vectors of 10 languages and 4 scripts after it",
        parameters=4_371_328,
        width=128,
        dimension=128,
        training_data="none",
    )
)
def langsamp_tiny(**overrides: Any) -> ModelConfig:
    """2 layers, D=128, over 30,522 pieces; 10 languages, 4 scripts; a size of our own."""
    return _preset(
        vocab_size=30_522, width=128, num_layers=2, num_heads=2, sizes=(10, 4)
    ).with_options(**overrides)
