"""The parts that models are made of; every name exported here may stand in a config."""

from textzoo.modules.embeddings import SubwordEmbedding
from textzoo.modules.encoders import IdentityEncoder, TransformerEncoder, WaveEncoder
from textzoo.modules.heads import Dense, Normalize, TokenProjection
from textzoo.modules.pooling import (
    AggretrieverPooling,
    AttentionPooling,
    ClsPooling,
    DittoPooling,
    LastPooling,
    LatentAttentionPooling,
    LayerMeanPooling,
    MaxPooling,
    MeanPooling,
    MeanSqrtLengthPooling,
    WeightedMeanPooling,
)
from textzoo.modules.postprocessing import (
    Centering,
    ComponentRemoval,
    PrincipalComponents,
    Standardization,
    Whitening,
)
from textzoo.modules.tokenizers import SubwordTokenizer, Tokenized, Tokenizer
from textzoo.modules.types import Hidden, TextBatch, TextOutput

PARTS = (
    AggretrieverPooling,
    AttentionPooling,
    Centering,
    ClsPooling,
    ComponentRemoval,
    Dense,
    DittoPooling,
    IdentityEncoder,
    LastPooling,
    LatentAttentionPooling,
    LayerMeanPooling,
    MaxPooling,
    MeanPooling,
    MeanSqrtLengthPooling,
    Normalize,
    PrincipalComponents,
    Standardization,
    SubwordEmbedding,
    SubwordTokenizer,
    TokenProjection,
    TransformerEncoder,
    WaveEncoder,
    WeightedMeanPooling,
    Whitening,
)
"""What a config may name in ``type``, besides what :func:`textzoo.register_module` adds."""

__all__ = [
    "PARTS",
    "AggretrieverPooling",
    "AttentionPooling",
    "Centering",
    "ClsPooling",
    "ComponentRemoval",
    "Dense",
    "DittoPooling",
    "Hidden",
    "IdentityEncoder",
    "LastPooling",
    "LatentAttentionPooling",
    "LayerMeanPooling",
    "MaxPooling",
    "MeanPooling",
    "MeanSqrtLengthPooling",
    "Normalize",
    "PrincipalComponents",
    "Standardization",
    "SubwordEmbedding",
    "SubwordTokenizer",
    "TextBatch",
    "TextOutput",
    "TokenProjection",
    "Tokenized",
    "Tokenizer",
    "TransformerEncoder",
    "WaveEncoder",
    "WeightedMeanPooling",
    "Whitening",
]
