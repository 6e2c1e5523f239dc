"""Poolings turn states into vectors, of whole texts or of spans."""

from textzoo.modules.pooling.aggretriever import AggretrieverPooling
from textzoo.modules.pooling.attention import (
    AttentionPooling,
    DittoPooling,
    LatentAttentionPooling,
)
from textzoo.modules.pooling.basic import (
    ClsPooling,
    LastPooling,
    LayerMeanPooling,
    MaxPooling,
    MeanPooling,
    MeanSqrtLengthPooling,
    WeightedMeanPooling,
)
from textzoo.modules.pooling.flatten import FlattenPooling
from textzoo.modules.pooling.recurrent import FinalStatePooling
from textzoo.modules.pooling.scalar_mix import ScalarMix

__all__ = [
    "AggretrieverPooling",
    "AttentionPooling",
    "ClsPooling",
    "DittoPooling",
    "FinalStatePooling",
    "FlattenPooling",
    "LastPooling",
    "LatentAttentionPooling",
    "LayerMeanPooling",
    "MaxPooling",
    "MeanPooling",
    "MeanSqrtLengthPooling",
    "ScalarMix",
    "WeightedMeanPooling",
]
