"""Statistics of a collection of vectors, and the heads that apply them."""

from textzoo.modules.postprocessing.covariance import Moments, moments
from textzoo.modules.postprocessing.fitted import (
    Centering,
    ComponentRemoval,
    FittedHead,
    PrincipalComponents,
    Standardization,
    Statistic,
    Whitening,
)

__all__ = [
    "Centering",
    "ComponentRemoval",
    "FittedHead",
    "Moments",
    "PrincipalComponents",
    "Standardization",
    "Statistic",
    "Whitening",
    "moments",
]
