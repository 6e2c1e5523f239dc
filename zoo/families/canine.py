"""CANINE: characters without a vocabulary, read as molecules of four.

Paper: Clark et al. 2022, "CANINE: Pre-training an Efficient Tokenization-Free Encoder for Language
Representation", TACL, arXiv 2103.06874.
Reference: transformers ``CanineModel``; the two published checkpoints differ in their training
alone, which predicted subwords (S) or characters (C).
Identical: hashes of code points, special tokens, and every operation up to the last states of
characters, given the padding to 2,048 characters of the reference; see ``CanineEncoder``.
Different: the pooler and the heads of pretraining are left out, and vectors are masked means over
characters. What stands behind a text is a vector of its own (768 parameters), which conversion
fills with that of code point 0. CANINE with n-grams, of the paper, is not here.
Published: TyDi QA, passage selection, 66 F1 (S), some 3 points above multilingual BERT.
The tiny model is a size of our own.
"""

import functools
from typing import Any

from textzoo.config import ModelConfig, Part
from textzoo.registry import register_model
from textzoo.spec import ModelSpec

_spec = functools.partial(
    ModelSpec,
    paper="Clark et al. 2022, arXiv 2103.06874",
    kind="char",
    status="architecture-only",
    license="Apache-2.0",
    max_length=2048,
)


def _preset(width: int, num_layers: int, num_heads: int, *, max_length: int) -> ModelConfig:
    return ModelConfig(
        tokenizer=Part("CodePointTokenizer", max_length=2048),
        embedding=Part("CodePointHashEmbedding", vocab_size=0x110000, width=width),
        encoder=Part(
            "CanineEncoder", width=width, num_layers=num_layers, num_heads=num_heads,
            hidden_dim=4 * width, max_length=max_length, dropout=0.1, attention_dropout=0.1,
        ),
        pooling=Part("MeanPooling"),
    )  # fmt: skip


_base = functools.partial(_preset, 768, 12, 12, max_length=16_384)


@register_model(
    _spec(
        summary="CANINE-S: 12 layers of width 768 over molecules, trained to predict subwords",
        parameters=131_493_120,
        width=768,
        dimension=768,
        published="google/canine-s",
        training_data="Wikipedia in 104 languages",
    )
)
def canine_s(**overrides: Any) -> ModelConfig:
    """CANINE-S: up to 2,048 characters, 12 layers over molecules, D=768."""
    return _base().with_options(**overrides)


@register_model(
    _spec(
        summary="CANINE-C: 12 layers of width 768 over molecules, trained to predict characters",
        parameters=131_493_120,
        width=768,
        dimension=768,
        published="google/canine-c",
        training_data="Wikipedia in 104 languages",
    )
)
def canine_c(**overrides: Any) -> ModelConfig:
    """CANINE-C: up to 2,048 characters, 12 layers over molecules, D=768."""
    return _base().with_options(**overrides)


@register_model(
    _spec(
        summary="CANINE tiny: 2 layers of width 128 over molecules",
        parameters=3_352_192,
        width=128,
        dimension=128,
        training_data="none",
    )
)
def canine_tiny(**overrides: Any) -> ModelConfig:
    """CANINE tiny: up to 2,048 characters, 2 layers over molecules, D=128."""
    return _preset(128, 2, 2, max_length=2048).with_options(**overrides)
