"""Encoders answer "how do the tokens relate?": states to states."""

from textzoo.modules.encoders.identity import IdentityEncoder
from textzoo.modules.encoders.transformer import TransformerEncoder

__all__ = ["IdentityEncoder", "TransformerEncoder"]
