"""Heads map vectors or states to outputs."""

from textzoo.modules.heads.late_interaction import TokenProjection, max_similarity
from textzoo.modules.heads.masked_language import MaskedLanguageHead
from textzoo.modules.heads.replaced_token import ReplacedTokenHead
from textzoo.modules.heads.residual import ResidualDense
from textzoo.modules.heads.vectors import Dense, Normalize

__all__ = [
    "Dense",
    "MaskedLanguageHead",
    "Normalize",
    "ReplacedTokenHead",
    "ResidualDense",
    "TokenProjection",
    "max_similarity",
]
