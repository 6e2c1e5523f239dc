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

__all__ = [
    "AggretrieverPooling",
    "AttentionPooling",
    "ClsPooling",
    "DittoPooling",
    "LastPooling",
    "LatentAttentionPooling",
    "LayerMeanPooling",
    "MaxPooling",
    "MeanPooling",
    "MeanSqrtLengthPooling",
    "WeightedMeanPooling",
]
