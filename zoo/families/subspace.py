"""Subspace embeddings under RoBERTa and BERT: parts of vectors that many tokens share.

Paper: Jaiswal and Liu 2023, "Lightweight Adaptation of Neural Language Models via Subspace
Embedding", CIKM.
Reference: github.com/amitkumarj441/CIKM2023_SubspaceEmbedding, which does not run as it is; its
formulas are compared in ``tests/modules/embeddings/test_small_tables.py``.
Identical: rows per part, digits of ids, initial values.
Different: no row for padding. Which tokens are clustered, and so share rows, is not fixed: fit an
assignment and give it to ``assign``.
Published: tables smaller by more than 99.8%, at up to 4 points of accuracy. The sizes that this
belongs to could not be checked; with RoBERTa's 50,265 tokens of width 768, two parts take 99.55%
and three take 99.93% off. Models of ours have two and three parts.
"""

import functools
from typing import Any

from textzoo.config import ModelConfig, Part
from textzoo.families.shared import transformer_preset
from textzoo.registry import register_model
from textzoo.spec import ModelSpec

_spec = functools.partial(
    ModelSpec,
    paper="Jaiswal and Liu 2023, Lightweight Adaptation via Subspace Embedding, CIKM",
    kind="subword",
    status="architecture-only",
    license="Apache-2.0",
    max_length=512,
    training_data="none; in the paper, the data of RoBERTa",
)


def _with_parts(config: ModelConfig, num_parts: int) -> ModelConfig:
    table = config.embedding.options
    return config.replace(
        embedding=Part(
            "SubspaceEmbedding", vocab_size=table["vocab_size"], width=table["width"],
            num_parts=num_parts,
        )
    )  # fmt: skip


@register_model(
    _spec(
        summary="RoBERTa base over vectors of 3 parts with 37 rows each",
        parameters=85_479_936,
        width=768,
        dimension=768,
    )
)
def subspace_roberta_base(**overrides: Any) -> ModelConfig:
    """RoBERTa base, 12 layers, D=768; 50,265 tokens have three parts of 37 rows."""
    config = transformer_preset(
        vocab_size=50_265, width=768, num_layers=12, num_heads=12, num_types=1, position_offset=2,
        norm_eps=1e-5, dropout=0.1, attention_dropout=0.1,
    )  # fmt: skip
    return _with_parts(config, 3).with_options(**overrides)


@register_model(
    _spec(
        summary="BERT tiny over vectors of 2 parts with 175 rows each",
        parameters=484_992,
        width=128,
        dimension=128,
    )
)
def subspace_bert_tiny(**overrides: Any) -> ModelConfig:
    """BERT tiny, 2 layers, D=128; 30,522 tokens have two parts of 175 rows; a size of our own."""
    config = transformer_preset(
        vocab_size=30_522, width=128, num_layers=2, num_heads=2, num_types=2, dropout=0.1,
        attention_dropout=0.1,
    )  # fmt: skip
    return _with_parts(config, 2).with_options(**overrides)
