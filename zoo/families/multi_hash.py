"""Open-vocabulary words by hashed features, under convolutions, in the manner of spaCy.

Paper: Miranda et al. 2022, "Multi hash embeddings in spaCy", arXiv 2212.09255.
Reference: github.com/explosion/spaCy (``MultiHashEmbed``) and github.com/explosion/thinc.
Identical: features, hashes, rows, the maxout layer and its norm (golden values in
``tests/modules/embeddings/test_multi_hash.py``); rows and widths of the benchmark and of pipelines.
Different: spaCy's context layers are ``x + LN(maxout(W [x_{i-1}; x_i; x_{i+1}]))``; here they are
convolutions of the same reach with a ReLU and a norm before it, and a mean over the words follows.
spaCy's rules of cutting words are those of a language; here there is one for all.
Published: figures are of tagging, not of vectors of texts.
"""

import functools
from collections.abc import Sequence
from typing import Any

from textzoo.config import ModelConfig, Part
from textzoo.registry import register_model
from textzoo.spec import ModelSpec

_spec = functools.partial(
    ModelSpec,
    paper="Miranda et al. 2022, Multi hash embeddings in spaCy, arXiv 2212.09255",
    kind="word",
    status="architecture-only",
    license="Apache-2.0",
    max_length=512,
    training_data="none; in the paper, sets of named entities",
)


def _preset(*, width: int, num_rows: Sequence[int], num_layers: int) -> ModelConfig:
    return ModelConfig(
        tokenizer=Part("LexicalTokenizer", max_length=512),
        embedding=Part("MultiHashEmbedding", width=width, num_rows=tuple(num_rows)),
        encoder=Part("ConvolutionEncoder", width=width, num_layers=num_layers),
        pooling=Part("MeanPooling"),
    )


@register_model(
    _spec(
        summary="Multi hash embeddings of the paper's benchmark, 8 convolutions of width 256",
        parameters=5_566_720,
        width=256,
        dimension=256,
    )
)
def multi_hash_base(**overrides: Any) -> ModelConfig:
    """5,000 and three times 2,500 rows, 8 layers, D=256."""
    return _preset(width=256, num_rows=(5000, 2500, 2500, 2500), num_layers=8).with_options(
        **overrides
    )


@register_model(
    _spec(
        summary="Multi hash embeddings as in spaCy's pipelines, 4 convolutions of width 96",
        parameters=1_422_816,
        width=96,
        dimension=96,
    )
)
def multi_hash_small(**overrides: Any) -> ModelConfig:
    """5,000 and three times 2,500 rows, 4 layers, D=96."""
    return _preset(width=96, num_rows=(5000, 2500, 2500, 2500), num_layers=4).with_options(
        **overrides
    )


@register_model(
    _spec(
        summary="Multi hash embeddings, 2 convolutions of width 64",
        parameters=394_432,
        width=64,
        dimension=64,
    )
)
def multi_hash_tiny(**overrides: Any) -> ModelConfig:
    """2,000 and three times 1,000 rows, 2 layers, D=64; a size of our own."""
    return _preset(width=64, num_rows=(2000, 1000, 1000, 1000), num_layers=2).with_options(
        **overrides
    )
