"""CharBERT: BERT with a second channel that reads the characters of its tokens.

Paper: Ma et al. 2020, "CharBERT: Character-aware Pre-trained Language Model", COLING, arXiv
2011.01513.
Reference: github.com/wtma/CharBERT; ``tests/golden/make_charbert.py`` has its channel and its
exchange once more, with torch's GRU, convolution and BERT layers.
Identical: the flat characters of a text under one GRU, states at the ends of tokens, one layer for
both channels, one exchange after all layers; sizes.
Different: padding is seen by neither GRU nor convolution. Characters are code points modulo 994
where the paper has a list of a thousand frequent ones, and special tokens have units of their own.
A text is the mean of both channels, which the paper leaves to its tasks. The unknown token has no
letters; in the paper, it is spelled.
Published (README of the reference): 91.7 on QNLI, 80.1 under misspellings, BERT 90.7 and 63.4; its
weights are not read.
"""

import functools
from typing import Any

from textzoo.config import ModelConfig, Part
from textzoo.registry import register_model
from textzoo.spec import ModelSpec

_spec = functools.partial(
    ModelSpec,
    paper="Ma et al. 2020, CharBERT: Character-aware Pre-trained Language Model, arXiv 2011.01513",
    kind="mixed",
    status="architecture-only",
    license="Apache-2.0",
    max_length=512,
    training_data="none; in the paper, Wikipedia, from the weights of BERT",
)
_CHARACTERS, _UNITS = 994, 1001  # Seven units are for what is no character.


def _preset(
    *, vocab_size: int, width: int, num_layers: int, num_heads: int, unit_dim: int
) -> ModelConfig:
    return ModelConfig(
        tokenizer=Part(
            "SubwordTokenizer", max_length=512, units="characters", num_characters=_CHARACTERS
        ),
        embedding=Part(
            "CharBertEmbedding", vocab_size=vocab_size, width=width, unit_vocab_size=_UNITS,
            unit_dim=unit_dim,
        ),
        encoder=Part(
            "CharBertEncoder", width=width, num_layers=num_layers, num_heads=num_heads,
            hidden_dim=4 * width, max_length=512, num_types=2, dropout=0.1, attention_dropout=0.1,
        ),
        pooling=Part("MeanPooling"),
    )  # fmt: skip


@register_model(
    _spec(
        summary="CharBERT over BERT base (cased): two channels through 12 layers of width 768",
        parameters=113_216_000,
        width=768,
        dimension=768,
    )
)
def charbert_base(**overrides: Any) -> ModelConfig:
    """12 layers, D=768, for both channels; 28,996 tokens and a GRU of 192 units a direction."""
    return _preset(
        vocab_size=28_996, width=768, num_layers=12, num_heads=12, unit_dim=256
    ).with_options(**overrides)


@register_model(
    _spec(
        summary="CharBERT, two channels through 2 layers of width 128",
        parameters=4_350_368,
        width=128,
        dimension=128,
    )
)
def charbert_tiny(**overrides: Any) -> ModelConfig:
    """2 layers, D=128, for both channels; a size of our own."""
    return _preset(
        vocab_size=28_996, width=128, num_layers=2, num_heads=2, unit_dim=32
    ).with_options(**overrides)
