"""Wave networks: tokens as complex numbers, whose magnitude is that of the text.

Paper: Zhang and Sheng 2024, "Wave Network: An Ultra-Small Language Model", arXiv 2411.02674.
Reference: none of the authors'; the arithmetic is checked against complex numbers in polar form.
Identical: the representation (magnitude over the text, phase from the token), interference and
modulation, the order of superposition, feed-forward and norm, residual stacks (equation 8).
Chosen, because the paper does not say: sinusoidal positions, since learned ones would not fit into
2.4 million parameters; table entries of variance one; masked means in place of whatever the paper
pools with; and the map back to real numbers. ``wave_network_modulation`` takes the real part,
followed by two linear maps with a GELU between them; ``wave_network_interference`` maps both
parts, [2D to D], because the real part of a sum of waves is a bag of words. With a classifier for
four topics, 2,366,980 and 2,366,212 parameters are outside the table: "2.4 million" either way.
Different: padding is left out of the magnitude.
Published (AG News, 120,000 rows, accuracy): interference 90.91, modulation 91.66.
``wave_network_small`` and ``wave_network_deep`` are sizes of our own.
"""

import functools
from typing import Any

from textzoo.config import ModelConfig, Part
from textzoo.registry import register_model
from textzoo.spec import ModelSpec

_spec = functools.partial(
    ModelSpec,
    paper="Zhang and Sheng 2024, arXiv 2411.02674",
    kind="subword",
    status="architecture-only",
    license="Apache-2.0",
    training_data="none; in the paper, the texts of the task alone",
    max_length=512,
)


def _preset(*, width: int, vocab_size: int = 30_522, **options: Any) -> ModelConfig:
    return ModelConfig(
        tokenizer=Part("SubwordTokenizer", max_length=512),
        # Entries of the table have a deviation of 0.02; times 50, of one, as sinusoids have.
        embedding=Part("SubwordEmbedding", vocab_size=vocab_size, width=width, scale=50.0),
        encoder=Part("WaveEncoder", width=width, positions="sinusoidal", **options),
        pooling=Part("MeanPooling"),
    )


@register_model(
    _spec(
        summary="Wave network, interference: one layer of width 768",
        parameters=25_804_032,
        width=768,
        dimension=768,
    )
)
def wave_network_interference(**overrides: Any) -> ModelConfig:
    """The paper's single layer that adds waves, D=768."""
    return _preset(width=768, operation="interference", readout="linear").with_options(**overrides)


@register_model(
    _spec(
        summary="Wave network, modulation: one layer of width 768",
        parameters=25_804_800,
        width=768,
        dimension=768,
    )
)
def wave_network_modulation(**overrides: Any) -> ModelConfig:
    """The paper's single layer that multiplies waves, D=768."""
    return _preset(width=768, operation="modulation", hidden_dim=768).with_options(**overrides)


@register_model(
    _spec(
        summary="Wave network, modulation: one layer of width 128",
        parameters=3_973_120,
        width=128,
        dimension=128,
    )
)
def wave_network_small(**overrides: Any) -> ModelConfig:
    """The single layer that multiplies waves, D=128."""
    return _preset(width=128, operation="modulation", hidden_dim=128).with_options(**overrides)


@register_model(
    _spec(
        summary="Wave network, modulation: a residual stack of 6 layers of width 384",
        parameters=18_818_304,
        width=384,
        dimension=384,
    )
)
def wave_network_deep(**overrides: Any) -> ModelConfig:
    """Six residual layers that multiply waves and read both parts, D=384."""
    return _preset(
        width=384, num_layers=6, operation="modulation", readout="linear", hidden_dim=768,
        norm="pre", use_residual=True, use_input_norm=True, use_final_norm=True,
        length_normalization="mean", dropout=0.1,
    ).with_options(**overrides)  # fmt: skip
