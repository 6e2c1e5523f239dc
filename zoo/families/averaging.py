"""Deep averaging networks: the mean of word vectors, and a feed-forward network.

Paper: Iyyer et al. 2015, "Deep Unordered Composition Rivals Syntactic Methods for Text
Classification", ACL; Cer et al. 2018, "Universal Sentence Encoder", arXiv 1803.11175.
Reference: none of the authors' that runs without TensorFlow 1.
Identical: an average, then layers with an activation; the widths (300 and three layers; 512).
Different: there is no encoder of its own, since a mean pooling and heads are all of it. Words are
subwords here. The Universal Sentence Encoder also averages vectors of bi-grams, and does not say
how many layers it has; four are taken, behind the sum over the root of the length. Layers have no
biases, so that a text without tokens is zero. Word dropout (Iyyer et al.) belongs to training.
Published: figures are of models trained with data that are not public.
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
    max_length=512,
)


def _preset(
    *, width: int, num_layers: int, pooling: str, activation: str, vocab_size: int = 30_522
) -> ModelConfig:
    return ModelConfig(
        tokenizer=Part("SubwordTokenizer", max_length=512),
        # Entries of the table have a deviation of 0.02; times 50, of one.
        embedding=Part("SubwordEmbedding", vocab_size=vocab_size, width=width, scale=50.0),
        pooling=Part(pooling),
        heads=tuple(
            Part(
                "Dense", in_features=width, out_features=width, use_bias=False,
                activation=activation,
            )
            for _ in range(num_layers)
        ),
    )  # fmt: skip


@register_model(
    _spec(
        summary="Universal Sentence Encoder's averaging network: 4 layers of width 512",
        paper="Cer et al. 2018, arXiv 1803.11175",
        parameters=16_675_840,
        width=512,
        dimension=512,
        training_data="none; in the paper, the web, Wikipedia, conversations and SNLI",
    )
)
def averaging_network_use(**overrides: Any) -> ModelConfig:
    """Sum over the root of the length, then 4 layers with tanh, D=512."""
    return _preset(
        width=512, num_layers=4, pooling="MeanSqrtLengthPooling", activation="tanh"
    ).with_options(**overrides)


@register_model(
    _spec(
        summary="Deep averaging network of Iyyer et al.: 3 layers of width 300",
        paper="Iyyer et al. 2015, Deep Unordered Composition, ACL",
        parameters=9_426_600,
        width=300,
        dimension=300,
        training_data="none; in the paper, the texts of the task alone",
    )
)
def averaging_network_base(**overrides: Any) -> ModelConfig:
    """The mean of word vectors, then 3 layers with tanh, D=300."""
    return _preset(width=300, num_layers=3, pooling="MeanPooling", activation="tanh").with_options(
        **overrides
    )


@register_model(
    _spec(
        summary="Deep averaging network: 2 layers of width 64",
        paper="Iyyer et al. 2015, Deep Unordered Composition, ACL",
        parameters=1_961_600,
        width=64,
        dimension=64,
        training_data="none",
    )
)
def averaging_network_tiny(**overrides: Any) -> ModelConfig:
    """The mean of word vectors, then 2 layers with tanh, D=64; a size of our own."""
    return _preset(width=64, num_layers=2, pooling="MeanPooling", activation="tanh").with_options(
        **overrides
    )
