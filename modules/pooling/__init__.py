"""Poolings turn states into vectors, of whole texts or of spans."""

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
    "ClsPooling",
    "LastPooling",
    "LayerMeanPooling",
    "MaxPooling",
    "MeanPooling",
    "MeanSqrtLengthPooling",
    "WeightedMeanPooling",
]
