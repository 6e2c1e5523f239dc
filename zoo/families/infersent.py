"""InferSent: a bidirectional LSTM over word vectors, and the largest value of each feature.

Paper: Conneau et al. 2017, "Supervised Learning of Universal Sentence Representations from Natural
Language Inference Data", arXiv 1705.02364.
Reference: facebookresearch/InferSent, over torch's LSTM; ``tests/golden/make_recurrent.py``.
Identical: the states, and the maximum of the second version, where padding is out of reach.
Different: in the first version, the zeros of a batch's padding take part in the maximum of all
texts but its longest; ``infersent_v1`` lets a zero take part in all of them. Words are what the
tokenizer says; the paper has GloVe (version 1) or fastText vectors (version 2), frozen, of the
words it finds. Training is with ``NLIObjective``; the paper's classifier has two layers of 512
without activation.
Published (SentEval, version 1): MR 81.1, SST 84.6, TREC 88.2, STS-B 75.8/75.5.
"""

import functools
from typing import Any

from textzoo.config import ModelConfig, Part
from textzoo.registry import register_model
from textzoo.spec import ModelSpec

_spec = functools.partial(
    ModelSpec,
    paper="Conneau et al. 2017, arXiv 1705.02364",
    kind="subword",
    status="architecture-only",
    license="Apache-2.0",
    training_data="none; in the paper, SNLI and MultiNLI over vectors of words",
    max_length=512,
)


def _preset(*, width: int, embed_dim: int, include_zero: bool = False) -> ModelConfig:
    return ModelConfig(
        tokenizer=Part("SubwordTokenizer", max_length=512),
        embedding=Part("SubwordEmbedding", vocab_size=30_522, width=embed_dim, scale=50.0),
        encoder=Part("RecurrentEncoder", width=width, embed_dim=embed_dim),
        pooling=Part("MaxPooling", include_zero=include_zero),
    )


@register_model(
    _spec(
        summary="InferSent, version 1: BiLSTM of width 4096, maximum with a zero",
        parameters=47_642_616,
        width=4_096,
        dimension=4_096,
    )
)
def infersent_v1(**overrides: Any) -> ModelConfig:
    """The version over GloVe's vectors, in whose maximum a zero takes part, D=4096."""
    return _preset(width=4096, embed_dim=300, include_zero=True).with_options(**overrides)


@register_model(
    _spec(
        summary="InferSent, version 2: BiLSTM of width 4096, maximum",
        parameters=47_642_616,
        width=4_096,
        dimension=4_096,
    )
)
def infersent_v2(**overrides: Any) -> ModelConfig:
    """The version over fastText's vectors, whose maximum is over real tokens, D=4096."""
    return _preset(width=4096, embed_dim=300).with_options(**overrides)


@register_model(
    _spec(
        summary="InferSent in small: BiLSTM with 64 units a direction, maximum",
        parameters=2_019_456,
        width=128,
        dimension=128,
    )
)
def infersent_tiny(**overrides: Any) -> ModelConfig:
    """The second version with 64 units a direction, D=128; a size of our own."""
    return _preset(width=128, embed_dim=64).with_options(**overrides)
