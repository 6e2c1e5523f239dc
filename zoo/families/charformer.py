"""Charformer: bytes, soft subwords of them, and a transformer over fewer states.

Paper: Tay et al. 2022, "Charformer: Fast Character Transformers via Gradient-based Subword
Tokenization", ICLR, arXiv 2106.12672.
Reference: github.com/google-research/google-research, folder ``charformer``, for T5 in
mesh-tensorflow; ``lucidrains/charformer-pytorch``. Golden values of the second, and the formulas of
the first, are compared in ``tests/modules/embeddings/test_gbst.py``.
Identical: ByT5's bytes; the released configurations' soft subwords: 5 taps, blocks of 1 to 4, a
score for each, means of 2 or 3 positions.
Different: an encoder alone, with a T5's pre-norm, gated feed-forward, relative positions and no
biases, but layer norms where T5 has root mean squares, and scores of attention divided by the root
of the width of a head. Sizes are our own: those of the paper's models could not be checked.
Published: SST-2 91.6, and IMDB 94.4 (by a public list; the paper's tables could not be checked).
"""

import functools
from typing import Any

from textzoo.config import ModelConfig, Part
from textzoo.registry import register_model
from textzoo.spec import ModelSpec

_LONGEST = 1024

_spec = functools.partial(
    ModelSpec,
    paper="Tay et al. 2022, arXiv 2106.12672",
    kind="byte",
    status="architecture-only",
    license="Apache-2.0",
    max_length=_LONGEST,
    training_data="none; in the paper, C4 and mC4",
)


def _preset(
    width: int, num_layers: int, num_heads: int, hidden_dim: int, downsample: int
) -> ModelConfig:
    return ModelConfig(
        tokenizer=Part("ByteTokenizer", max_length=_LONGEST),
        embedding=Part("GBSTEmbedding", vocab_size=384, width=width, downsample=downsample),
        encoder=Part(
            "TransformerEncoder", width=width, num_layers=num_layers, num_heads=num_heads,
            hidden_dim=hidden_dim, positions="none", relative_buckets=32, max_length=_LONGEST,
            norm="pre", use_input_norm=False, use_final_norm=True, norm_eps=1e-6,
            use_norm_bias=False, use_bias=False, activation="gelu_tanh", gated=True,
            dropout=0.1, attention_dropout=0.1,
        ),
        pooling=Part("MeanPooling"),
    )  # fmt: skip


@register_model(
    _spec(
        summary="Charformer small: 8 layers of width 512 over one state for two bytes",
        parameters=22_489_856,
        width=512,
        dimension=512,
    )
)
def charformer_small(**overrides: Any) -> ModelConfig:
    """Charformer small: up to 1,024 bytes in 512 states, 8 layers, D=512."""
    return _preset(512, 8, 8, 1024, 2).with_options(**overrides)


@register_model(
    _spec(
        summary="Charformer tiny: 2 layers of width 128 over one state for three bytes",
        parameters=459_968,
        width=128,
        dimension=128,
    )
)
def charformer_tiny(**overrides: Any) -> ModelConfig:
    """Charformer tiny: up to 1,024 bytes in 342 states, 2 layers, D=128."""
    return _preset(128, 2, 2, 256, 3).with_options(**overrides)
