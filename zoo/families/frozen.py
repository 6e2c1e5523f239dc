"""Transformers over rows that are never trained: pictures of characters, or hashes of n-grams.

Paper: Bochkov 2025, "Emergent Semantics Beyond Token Embeddings"; Cohn et al. 2023, "EELBERT: Tiny
Models through Dynamic Embeddings", arXiv 2310.20144.
Reference: github.com/AVBochkov/Embeddings; there is none of EELBERT's authors.
Identical: a row for each of 65,536 code points, 1,024 principal components of pictures of 32 x 32
pixels, layers and widths; EELBERT's hashes, and BERT without a table that is trained.
Different: rows are random until ``textzoo.frozen_rows`` makes them, which is the control in both
papers. Bochkov's models are decoders, and some tokens are of several characters; here layers look
both ways, and a token is a character. The font is DejaVu Sans in place of GNU Unifont.
Published: with frozen pictures, models of half a billion parameters are at chance level at MMLU, as
they are with trained tables; EELBERT of 1.2 MB is within 4% of BERT tiny at GLUE, by its abstract.
"""

import functools
from typing import Any

from textzoo.config import ModelConfig, Part
from textzoo.families.shared import transformer_preset
from textzoo.registry import register_model
from textzoo.spec import ModelSpec

_spec = functools.partial(
    ModelSpec,
    status="architecture-only",
    license="Apache-2.0",
    max_length=512,
    training_data="none",
)
_VISUAL = "Bochkov 2025, Emergent Semantics Beyond Token Embeddings"
_EELBERT = "Cohn et al. 2023, EELBERT, arXiv 2310.20144"
_CODE_POINTS = 1 << 16


def _visual(*, width: int, num_layers: int, num_heads: int) -> ModelConfig:
    config = transformer_preset(
        vocab_size=_CODE_POINTS, width=width, num_layers=num_layers, num_heads=num_heads,
        positions="rotary", norm="pre", use_input_norm=False, use_final_norm=True,
    )  # fmt: skip
    return config.replace(
        tokenizer=Part("CodePointTokenizer", max_length=512, vocab_size=_CODE_POINTS),
        embedding=Part("FrozenEmbedding", vocab_size=_CODE_POINTS, width=width),
    )


@register_model(
    _spec(
        summary="Frozen pictures of 65,536 characters under 16 layers of width 1024",
        paper=_VISUAL,
        kind="char",
        parameters=201_541_632,
        width=1024,
        dimension=1024,
    )
)
def visual_unicode_base(**overrides: Any) -> ModelConfig:
    """16 layers, D=1024, 32 heads; a frozen row for each of 65,536 code points."""
    return _visual(width=1024, num_layers=16, num_heads=32).with_options(**overrides)


@register_model(
    _spec(
        summary="Frozen pictures of 65,536 characters under 2 layers of width 128",
        paper=_VISUAL,
        kind="char",
        parameters=396_800,
        width=128,
        dimension=128,
    )
)
def visual_unicode_tiny(**overrides: Any) -> ModelConfig:
    """2 layers, D=128, 2 heads; a frozen row for each of 65,536 code points; a size of our own."""
    return _visual(width=128, num_layers=2, num_heads=2).with_options(**overrides)


@register_model(
    _spec(
        summary="EELBERT: BERT tiny over frozen hashes of n-grams, which are mapped",
        paper=_EELBERT,
        kind="subword",
        parameters=479_104,
        width=128,
        dimension=128,
    )
)
def eelbert_tiny(**overrides: Any) -> ModelConfig:
    """BERT tiny, 2 layers, D=128; 30,522 frozen rows of width 128 under a map that is trained."""
    config = transformer_preset(
        vocab_size=30_522, width=128, num_layers=2, num_heads=2, num_types=2, dropout=0.1,
        attention_dropout=0.1,
    )  # fmt: skip
    return config.replace(
        embedding=Part("FrozenEmbedding", vocab_size=30_522, width=128, table_dim=128)
    ).with_options(**overrides)


@register_model(
    _spec(
        summary="EELBERT: BERT base over frozen hashes of n-grams",
        paper=_EELBERT,
        kind="subword",
        parameters=85_450_752,
        width=768,
        dimension=768,
    )
)
def eelbert_base(**overrides: Any) -> ModelConfig:
    """BERT base, 12 layers, D=768; 30,522 frozen rows, as they are."""
    config = transformer_preset(
        vocab_size=30_522, width=768, num_layers=12, num_heads=12, num_types=2, dropout=0.1,
        attention_dropout=0.1,
    )  # fmt: skip
    return config.replace(
        embedding=Part("FrozenEmbedding", vocab_size=30_522, width=768)
    ).with_options(**overrides)
