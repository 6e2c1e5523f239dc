"""Heads map vectors or states to outputs."""

from textzoo.modules.heads.late_interaction import TokenProjection, max_similarity
from textzoo.modules.heads.letters import LettersHead
from textzoo.modules.heads.masked_language import MaskedLanguageHead
from textzoo.modules.heads.replaced_token import ReplacedTokenHead
from textzoo.modules.heads.residual import ResidualDense
from textzoo.modules.heads.vectors import Dense, Normalize
from textzoo.modules.heads.word_pieces import WordPiecesHead

__all__ = [
    "Dense",
    "LettersHead",
    "MaskedLanguageHead",
    "Normalize",
    "ReplacedTokenHead",
    "ResidualDense",
    "TokenProjection",
    "WordPiecesHead",
    "max_similarity",
]
