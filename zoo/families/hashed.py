"""Small BERTs over tables that tokens share by hashing or by quotient and remainder.

Paper: Svenstrup et al. 2017, "Hash Embeddings for Efficient Word Representations", arXiv
1709.03933; Shi et al. 2020, "Compositional Embeddings Using Complementary Partitions", arXiv
1909.02107; compared by Zhang et al. 2023, "Experimental Analysis of Large-scale Learnable Vector
Storage Compression".
Reference: github.com/HugoZHL/Hetu, of which there is no package; the formulas are compared in
``tests/modules/embeddings/test_small_tables.py``.
Identical: which rows an id has, and how they are combined.
Different: the papers read words and features of clicks; here it is BERT's WordPieces and its two
smallest encoders. Sizes are ours.
Published: nothing at these sizes.
"""

import functools
from typing import Any

from textzoo.config import ModelConfig, Part
from textzoo.families.shared import transformer_preset
from textzoo.registry import register_model
from textzoo.spec import ModelSpec

_spec = functools.partial(
    ModelSpec,
    kind="subword",
    status="architecture-only",
    license="Apache-2.0",
    max_length=512,
    training_data="none",
)


def _preset(*, width: int, num_layers: int, embedding: str, **options: Any) -> ModelConfig:
    config = transformer_preset(
        vocab_size=30_522, width=width, num_layers=num_layers, num_heads=width // 64, num_types=2,
        dropout=0.1, attention_dropout=0.1,
    )  # fmt: skip
    return config.replace(embedding=Part(embedding, vocab_size=30_522, width=width, **options))


@register_model(
    _spec(
        summary="BERT mini over 2,000 rows, of which each token has two, with weights",
        paper="Svenstrup et al. 2017, Hash Embeddings, arXiv 1709.03933",
        parameters=3_864_180,
        width=256,
        dimension=256,
    )
)
def hashed_bert_mini(**overrides: Any) -> ModelConfig:
    """BERT mini, 4 layers, D=256; a token is a weighted sum of two of 2,000 rows."""
    return _preset(
        width=256, num_layers=4, embedding="HashedEmbedding", num_rows=2000, num_hashes=2,
        use_weights=True,
    ).with_options(**overrides)  # fmt: skip


@register_model(
    _spec(
        summary="BERT tiny over 2,000 rows, of which each token has two",
        paper="Svenstrup et al. 2017, Hash Embeddings, arXiv 1709.03933",
        parameters=718_592,
        width=128,
        dimension=128,
    )
)
def hashed_bert_tiny(**overrides: Any) -> ModelConfig:
    """BERT tiny, 2 layers, D=128; a token is the sum of two of 2,000 rows."""
    return _preset(
        width=128, num_layers=2, embedding="HashedEmbedding", num_rows=2000, num_hashes=2
    ).with_options(**overrides)


@register_model(
    _spec(
        summary="BERT tiny over the quotients and remainders of ids, 175 rows each",
        paper="Shi et al. 2020, Compositional Embeddings, arXiv 1909.02107",
        parameters=507_392,
        width=128,
        dimension=128,
    )
)
def quotient_remainder_bert_tiny(**overrides: Any) -> ModelConfig:
    """BERT tiny, 2 layers, D=128; a token is the product of a quotient's and a remainder's row."""
    return _preset(
        width=128, num_layers=2, embedding="QuotientRemainderEmbedding"
    ).with_options(**overrides)  # fmt: skip
