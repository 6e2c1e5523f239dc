"""BERT over tables of fewer numbers: product quantization, low rank, tensor trains.

Paper: Chen et al. 2020, "Differentiable Product Quantization for End-to-End Embedding Compression",
arXiv 1908.09756; Lan et al. 2020, arXiv 1909.11942 (low rank); Hrinchuk et al. 2020, "Tensorized
Embedding Layers", arXiv 1901.10787; compared by Zhang et al. 2023, "Experimental Analysis of
Large-scale Learnable Vector Storage Compression".
Reference: github.com/HugoZHL/Hetu, of which there is no package; the formulas, and what fits are
nearest, are compared in ``tests/modules/embeddings/test_compressed_tables.py``.
Identical: what a row is made of.
Different: the papers read other vocabularies; here it is BERT's WordPieces and two of its encoders,
and sizes are ours. Codes follow the loss of the task alone (see ``ProductQuantizedEmbedding``). Low
rank has a bias, and comes before positions and the input norm, not after them as in ALBERT.
Published: nothing at these sizes. BERT base's table has 23,440,896 parameters; here they are
196,608 and 64 bytes of codes a token (64 parts), 4,005,888 (rank 128), and 1,056,256 (tensor train
of rank 64).

All of these can be solved for the table of a trained encoder: ``textzoo.retrofitting``.
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
_DPQ = "Chen et al. 2020, Differentiable Product Quantization, arXiv 1908.09756"
_TENSORS = "Hrinchuk et al. 2020, Tensorized Embedding Layers, arXiv 1901.10787"
_RANK = "Lan et al. 2020, ALBERT, arXiv 1909.11942"


def _preset(width: int, num_layers: int, embedding: str, **options: Any) -> ModelConfig:
    config = transformer_preset(
        vocab_size=30_522, width=width, num_layers=num_layers, num_heads=width // 64, num_types=2,
        dropout=0.1, attention_dropout=0.1,
    )  # fmt: skip
    return config.replace(embedding=Part(embedding, vocab_size=30_522, width=width, **options))


_base = functools.partial(_preset, 768, 12)
_tiny = functools.partial(_preset, 128, 2)


@register_model(
    _spec(
        summary="BERT base over codes: 64 parts of a row, 256 codes each",
        paper=_DPQ,
        parameters=85_647_360,
        width=768,
        dimension=768,
    )
)
def product_quantized_bert_base(**overrides: Any) -> ModelConfig:
    """BERT base, 12 layers, D=768; a token has 64 of 256 codes each, fixed."""
    return _base("ProductQuantizedEmbedding", num_parts=64).with_options(**overrides)


@register_model(
    _spec(
        summary="BERT tiny over codes: 16 parts of a row, 256 codes each",
        paper=_DPQ,
        parameters=495_360,
        width=128,
        dimension=128,
    )
)
def product_quantized_bert_tiny(**overrides: Any) -> ModelConfig:
    """BERT tiny, 2 layers, D=128; a token has 16 of 256 codes each, fixed."""
    return _tiny("ProductQuantizedEmbedding", num_parts=16).with_options(**overrides)


@register_model(
    _spec(
        summary="BERT tiny over codes that are learned, with a query for each token",
        paper=_DPQ,
        parameters=4_402_176,
        width=128,
        dimension=128,
    )
)
def learned_codes_bert_tiny(**overrides: Any) -> ModelConfig:
    """BERT tiny, 2 layers, D=128; a token has 16 of 256 codes each, learned (DPQ)."""
    return _tiny(
        "ProductQuantizedEmbedding", num_parts=16, learn_codes=True
    ).with_options(**overrides)  # fmt: skip


@register_model(
    _spec(
        summary="BERT base over a table of rank 128",
        paper=_RANK,
        parameters=89_456_640,
        width=768,
        dimension=768,
    )
)
def low_rank_bert_base(**overrides: Any) -> ModelConfig:
    """BERT base, 12 layers, D=768; rows of width 128 and an affine map."""
    return _base("SubwordEmbedding", factor_dim=128, factor_bias=True).with_options(**overrides)


@register_model(
    _spec(
        summary="BERT tiny over a table of rank 32",
        paper=_RANK,
        parameters=1_443_520,
        width=128,
        dimension=128,
    )
)
def low_rank_bert_tiny(**overrides: Any) -> ModelConfig:
    """BERT tiny, 2 layers, D=128; rows of width 32 and an affine map."""
    return _tiny("SubwordEmbedding", factor_dim=32, factor_bias=True).with_options(**overrides)


@register_model(
    _spec(
        summary="BERT base over a tensor train of 3 cores, rank 64",
        paper=_TENSORS,
        parameters=86_507_008,
        width=768,
        dimension=768,
    )
)
def tensor_train_bert_base(**overrides: Any) -> ModelConfig:
    """BERT base, 12 layers, D=768; a row is a product of 3 matrices, rank 64."""
    return _base("TensorTrainEmbedding", rank=64).with_options(**overrides)


@register_model(
    _spec(
        summary="BERT tiny over a tensor train of 3 cores, rank 16",
        paper=_TENSORS,
        parameters=500_416,
        width=128,
        dimension=128,
    )
)
def tensor_train_bert_tiny(**overrides: Any) -> ModelConfig:
    """BERT tiny, 2 layers, D=128; a row is a product of 3 matrices, rank 16."""
    return _tiny("TensorTrainEmbedding", rank=16).with_options(**overrides)
