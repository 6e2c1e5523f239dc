"""The parts that models are made of; every name exported here may stand in a config."""

from textzoo.modules.embeddings import SubwordEmbedding
from textzoo.modules.encoders import IdentityEncoder, TransformerEncoder, WaveEncoder
from textzoo.modules.heads import Dense, Normalize
from textzoo.modules.pooling import (
    ClsPooling,
    LastPooling,
    LayerMeanPooling,
    MaxPooling,
    MeanPooling,
    MeanSqrtLengthPooling,
    WeightedMeanPooling,
)
from textzoo.modules.tokenizers import SubwordTokenizer, Tokenized, Tokenizer
from textzoo.modules.types import Hidden, TextBatch, TextOutput

PARTS = (
    ClsPooling,
    Dense,
    IdentityEncoder,
    LastPooling,
    LayerMeanPooling,
    MaxPooling,
    MeanPooling,
    MeanSqrtLengthPooling,
    Normalize,
    SubwordEmbedding,
    SubwordTokenizer,
    TransformerEncoder,
    WaveEncoder,
    WeightedMeanPooling,
)
"""What a config may name in ``type``, besides what :func:`textzoo.register_module` adds."""

__all__ = [
    "PARTS",
    "ClsPooling",
    "Dense",
    "Hidden",
    "IdentityEncoder",
    "LastPooling",
    "LayerMeanPooling",
    "MaxPooling",
    "MeanPooling",
    "MeanSqrtLengthPooling",
    "Normalize",
    "SubwordEmbedding",
    "SubwordTokenizer",
    "TextBatch",
    "TextOutput",
    "Tokenized",
    "Tokenizer",
    "TransformerEncoder",
    "WaveEncoder",
    "WeightedMeanPooling",
]
