"""KR-BERT: BERT over Korean, whose WordPiece looks from both ends, also for letters of Hangul.

Paper: Lee et al. 2020, "KR-BERT: A Small-Scale Korean-Specific Language Model", arXiv 2008.03979.
Reference: github.com/snunlp/KR-BERT (``tokenization_ranked.py``).
Identical: both cuts of a word and the choice between them; NFKD for letters; sizes of the
vocabularies and of BERT.
Different: a cut that fails never wins; texts are means of states. ``jamo_bert_tiny`` is ours: each
letter is a token, and there is no vocabulary.
Published (README of the reference): accuracy at NSMC, 90.10 with characters and both cuts, 89.86
with one; 89.86 and 89.76 with letters. It counts 99.3 and 96.1 million parameters, with the head
that guesses tokens and the pooling layer, which are left out here.
"""

import functools
from typing import Any

from textzoo.config import ModelConfig, Part
from textzoo.families.shared import transformer_preset
from textzoo.registry import register_model
from textzoo.spec import ModelSpec

_spec = functools.partial(
    ModelSpec,
    paper="Lee et al. 2020, KR-BERT, arXiv 2008.03979",
    kind="subword",
    status="architecture-only",
    license="Apache-2.0",
    max_length=512,
    training_data="none; in the paper, 233 million words of Korean",
)


def _preset(
    *, vocab_size: int, width: int, num_layers: int, tokenizer: str, **options: Any
) -> ModelConfig:
    config = transformer_preset(
        vocab_size=vocab_size, width=width, num_layers=num_layers, num_heads=width // 64,
        num_types=2, dropout=0.1, attention_dropout=0.1,
    )  # fmt: skip
    return config.replace(tokenizer=Part(tokenizer, max_length=512, **options))


@register_model(
    _spec(
        summary="KR-BERT with 16,424 pieces of syllables",
        parameters=98_064_384,
        width=768,
        dimension=768,
    )
)
def kr_bert_character(**overrides: Any) -> ModelConfig:
    """BERT base, 12 layers, D=768; 16,424 pieces, looked for from both ends."""
    return _preset(
        vocab_size=16_424, width=768, num_layers=12, tokenizer="BidirectionalWordPieceTokenizer"
    ).with_options(**overrides)


@register_model(
    _spec(
        summary="KR-BERT with 12,367 pieces of letters of Hangul",
        parameters=94_948_608,
        width=768,
        dimension=768,
    )
)
def kr_bert_jamo(**overrides: Any) -> ModelConfig:
    """BERT base, 12 layers, D=768; 12,367 pieces of letters, looked for from both ends."""
    return _preset(
        vocab_size=12_367, width=768, num_layers=12, tokenizer="BidirectionalWordPieceTokenizer",
        decompose=True,
    ).with_options(**overrides)  # fmt: skip


@register_model(
    _spec(
        summary="BERT tiny over 12,367 pieces of letters of Hangul",
        parameters=2_045_568,
        width=128,
        dimension=128,
    )
)
def kr_bert_jamo_tiny(**overrides: Any) -> ModelConfig:
    """BERT tiny, 2 layers, D=128; 12,367 pieces of letters; a size of our own."""
    return _preset(
        vocab_size=12_367, width=128, num_layers=2, tokenizer="BidirectionalWordPieceTokenizer",
        decompose=True,
    ).with_options(**overrides)  # fmt: skip


@register_model(
    _spec(
        summary="BERT tiny over letters of Hangul and bytes, without a vocabulary",
        parameters=528_640,
        width=128,
        dimension=128,
    )
)
def jamo_bert_tiny(**overrides: Any) -> ModelConfig:
    """BERT tiny, 2 layers, D=128; a token is a letter of Hangul or a byte of anything else."""
    return _preset(vocab_size=516, width=128, num_layers=2, tokenizer="JamoTokenizer").with_options(
        **overrides
    )
