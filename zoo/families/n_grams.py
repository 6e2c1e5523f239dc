"""Tokens by their character n-grams: fastText's words, and pieces with n-hot n-grams under BERT.

Paper: Bojanowski et al. 2017, "Enriching Word Vectors with Subword Information", TACL, arXiv
1607.04606; "Mask and You Shall Receive", BabyLM 2025, for the n-hot embedding of pieces.
Reference: github.com/facebookresearch/fastText; github.com/serdardoesml/babylm25, which lacks the
embedding.
Identical: n-grams and their rows are fastText's (values of the package in
``tests/modules/tokenizers/test_n_grams.py``); 2,000,000 rows of width 300 for three to six
characters. Width and inner width of the n-hot model.
Different: a whole word is one n-gram more, with a row that words may share; fastText has a row of
their own for the words it was trained on. Texts are means of words. The n-hot model has BERT's
layers where the paper has DeBERTa's, and its number of layers, its vocabulary of 40,000 and the
n-grams could not be checked.
Published: n-hot pieces raise a test of nominal forms of adjectives by 10 to 30 points, as reported.
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
_FASTTEXT = "Bojanowski et al. 2017, Enriching Word Vectors with Subword Information"
_N_HOT = "Mask and You Shall Receive, BabyLM 2025"
_SPECIAL = 7  # Units that are no n-gram.


def _words(*, width: int, num_rows: int) -> ModelConfig:
    return ModelConfig(
        tokenizer=Part("NGramTokenizer", max_length=512, num_rows=num_rows),
        embedding=Part("NGramEmbedding", width=width, unit_vocab_size=num_rows + _SPECIAL),
        pooling=Part("MeanPooling"),
    )


def _pieces(*, num_rows: int, vocab_size: int, width: int, **options: Any) -> ModelConfig:
    config = transformer_preset(
        vocab_size=vocab_size, width=width, num_types=0, dropout=0.1, attention_dropout=0.1,
        **options,
    )  # fmt: skip
    return config.replace(
        tokenizer=Part(
            "SubwordTokenizer", max_length=512, units="n_grams", max_units=48,
            num_characters=num_rows, n_grams=(1, 3),
        ),
        embedding=Part(
            "NGramEmbedding", vocab_size=vocab_size, width=width,
            unit_vocab_size=num_rows + _SPECIAL, pooling="root",
        ),
    )  # fmt: skip


@register_model(
    _spec(
        summary="fastText: words as means of 2,000,000 shared rows of their n-grams, width 300",
        paper=_FASTTEXT,
        kind="word",
        parameters=600_002_100,
        width=300,
        dimension=300,
    )
)
def fasttext_300(**overrides: Any) -> ModelConfig:
    """N-grams of 3 to 6 characters, 2,000,000 rows, D=300; a text is the mean of its words."""
    return _words(width=300, num_rows=2_000_000).with_options(**overrides)


@register_model(
    _spec(
        summary="fastText with 20,000 rows of width 64",
        paper=_FASTTEXT,
        kind="word",
        parameters=1_280_448,
        width=64,
        dimension=64,
    )
)
def fasttext_tiny(**overrides: Any) -> ModelConfig:
    """N-grams of 3 to 6 characters, 20,000 rows, D=64; a size of our own."""
    return _words(width=64, num_rows=20_000).with_options(**overrides)


@register_model(
    _spec(
        summary="Pieces with n-hot n-grams of one to three characters under 12 layers of width 384",
        paper=_N_HOT,
        kind="subword",
        parameters=46_011_264,
        width=384,
        dimension=384,
    )
)
def n_hot_bert_small(**overrides: Any) -> ModelConfig:
    """12 layers, D=384; 40,000 pieces with rows of their own, and 30,000 for their n-grams."""
    return _pieces(
        vocab_size=40_000, num_rows=30_000, width=384, num_layers=12, num_heads=6, hidden_dim=1280
    ).with_options(**overrides)


@register_model(
    _spec(
        summary="BERT tiny over pieces with n-hot n-grams of one to three characters",
        paper=_N_HOT,
        kind="subword",
        parameters=5_010_048,
        width=128,
        dimension=128,
    )
)
def n_hot_bert_tiny(**overrides: Any) -> ModelConfig:
    """BERT tiny, 2 layers, D=128; 30,522 pieces, and 5,000 rows for their n-grams."""
    return _pieces(
        vocab_size=30_522, num_rows=5_000, width=128, num_layers=2, num_heads=2
    ).with_options(**overrides)
