"""Convolutions: stacks of them along the text, and one group that is applied again and again.

Paper: Malik, Lancucki and Chorowski 2018, "Efficient Purely Convolutional Text Encoding", arXiv
1808.01160 (``recursive_convolution_*``); Kalchbrenner et al. 2016, "Neural Machine Translation in
Linear Time", arXiv 1610.10099 (dilations that double); Dauphin et al. 2017, "Language Modeling with
Gated Convolutional Networks", arXiv 1612.08083 (gates).
Reference: github.com/smalik169/recursive-convolutional-autoencoder;
``tests/golden/make_recursive_convolution.py``.
Identical: the recursive convolution of texts of 4, 8, 16, ... tokens, with batch norms as they are
after training (``norm="affine"``).
Different: the presets have layer norms, and padding is never seen; see ``RecursiveConvolution``.
The paper reads bytes or words, these read subwords; the maps behind the four states
(``ResidualDense``) are left out, as the code has it without its linear layers. Stacks are sizes of
our own: the papers' are causal or half of a translator.
Published: figures are of other sizes and data.
"""

import functools
from typing import Any

from textzoo.config import ModelConfig, Part
from textzoo.registry import register_model
from textzoo.spec import ModelSpec

_spec = functools.partial(
    ModelSpec,
    kind="subword",
    status="architecture-only",
    license="Apache-2.0",
    training_data="none",
    max_length=512,
)


def _preset(encoder: Part, pooling: Part) -> ModelConfig:
    return ModelConfig(
        tokenizer=Part("SubwordTokenizer", max_length=512),
        embedding=Part(
            "SubwordEmbedding", vocab_size=30_522, width=encoder.options["width"], scale=50.0
        ),
        encoder=encoder,
        pooling=pooling,
    )


@register_model(
    _spec(
        summary="Recursive convolution: 4 + 4 blocks of width 256, four states",
        paper="Malik et al. 2018, arXiv 1808.01160",
        parameters=10_967_552,
        width=256,
        dimension=1_024,
    )
)
def recursive_convolution_base(**overrides: Any) -> ModelConfig:
    """The sizes of the reference code: n = 8, D=256, vectors of 1024."""
    return _preset(
        Part("RecursiveConvolution", width=256, num_layers=4),
        Part("FlattenPooling", num_positions=4),
    ).with_options(**overrides)


@register_model(
    _spec(
        summary="Gated convolutions with dilations 1, 2, 4, 8: 8 layers of width 512",
        paper="Dauphin et al. 2017, arXiv 1612.08083; Kalchbrenner et al. 2016, arXiv 1610.10099",
        parameters=28_227_584,
        width=512,
        dimension=512,
    )
)
def convolution_gated_base(**overrides: Any) -> ModelConfig:
    """Eight gated linear units that see 61 tokens, D=512."""
    return _preset(
        Part(
            "ConvolutionEncoder", width=512, num_layers=8, dilations=(1, 2, 4, 8), gated=True,
            activation="identity", use_final_norm=True, dropout=0.1,
        ),
        Part("MeanPooling"),
    ).with_options(**overrides)  # fmt: skip


@register_model(
    _spec(
        summary="Convolutions: 4 layers of width 128",
        paper="none; plain residual convolutions",
        parameters=4_104_960,
        width=128,
        dimension=128,
    )
)
def convolution_tiny(**overrides: Any) -> ModelConfig:
    """Four plain convolutions that see 9 tokens, D=128."""
    return _preset(
        Part("ConvolutionEncoder", width=128, num_layers=4, norm="post"), Part("MaxPooling")
    ).with_options(**overrides)
