"""PETE: waves of the token's id in place of a table, and a small transformer.

Paper: Ndubuaku and Talamadupula 2025, "Parameter-Efficient Transformer Embeddings".
Reference: github.com/HMUNACHI/pete, whose features and refinement are compared, as formulas in
float64, in ``tests/modules/embeddings/test_fourier.py``; its kernels need CUDA.
Identical: the features, a linear refinement with a residual and an RMS norm; post-norm layers with
rotary positions, as many heads as layers, and gated GELU of inner width 4 D; a layer with tanh
over the mean. The released layer leaves the result of its feed-forward block out; here it counts,
as in the paper.
Different: x is ``2 p / V - 1`` instead of ``2 p / (V - 1) - 1``, whose first and last ids are the
same (give the embedding ``period=30521`` for that). Norms of the layers take the mean away (layer
norms without biases, which have as many parameters as RMS norms). The mean leaves out padding. The
last layer has no bias, so that a text without tokens is zero: there are D parameters less than
the 1,184,256 (1 layer, D=256) and 8,929,792 (2 layers, D=512) that follow from the paper, which
prints 1.1M and 8.9M.
Published: STS-B validation, trained on SNLI and MNLI, Spearman x 100: 74.93 (1 layer, D=256), 77.40
(2 layers, D=512); with tables of 8.9M and 24.3M parameters in all, 77.01 and 77.54.
"""

import functools
from typing import Any

from textzoo.config import ModelConfig, Part
from textzoo.registry import register_model
from textzoo.spec import ModelSpec

_spec = functools.partial(
    ModelSpec,
    paper="Ndubuaku and Talamadupula 2025, Parameter-Efficient Transformer Embeddings",
    kind="subword",
    status="architecture-only",
    license="Apache-2.0",
    max_length=128,
    training_data="none; in the paper, entailment pairs of SNLI and MNLI",
)


def _preset(*, width: int, num_layers: int, vocab_size: int = 30_522) -> ModelConfig:
    return ModelConfig(
        tokenizer=Part("SubwordTokenizer", max_length=128),
        embedding=Part("FourierEmbedding", vocab_size=vocab_size, width=width),
        encoder=Part(
            "TransformerEncoder", width=width, num_layers=num_layers, num_heads=num_layers,
            hidden_dim=4 * width, max_length=128, positions="rotary", use_input_norm=False,
            gated=True, norm_eps=1e-6, use_norm_bias=False,
        ),
        pooling=Part("MeanPooling"),
        heads=(
            Part("Dense", in_features=width, out_features=width, use_bias=False, activation="tanh"),
        ),
    )  # fmt: skip


@register_model(
    _spec(
        summary="PETE: Fourier features of ids and 1 layer of width 256",
        parameters=1_184_000,
        width=256,
        dimension=256,
    )
)
def fourier_l1_256(**overrides: Any) -> ModelConfig:
    """Fourier features of 30,522 ids, 1 layer, D=256."""
    return _preset(width=256, num_layers=1).with_options(**overrides)


@register_model(
    _spec(
        summary="PETE: Fourier features of ids and 2 layers of width 512",
        parameters=8_929_280,
        width=512,
        dimension=512,
    )
)
def fourier_l2_512(**overrides: Any) -> ModelConfig:
    """Fourier features of 30,522 ids, 2 layers, D=512."""
    return _preset(width=512, num_layers=2).with_options(**overrides)


@register_model(
    _spec(
        summary="PETE: Fourier features of ids and 1 layer of width 64",
        parameters=74_816,
        width=64,
        dimension=64,
    )
)
def fourier_l1_64(**overrides: Any) -> ModelConfig:
    """Fourier features of 30,522 ids, 1 layer, D=64; a size of our own."""
    return _preset(width=64, num_layers=1).with_options(**overrides)
