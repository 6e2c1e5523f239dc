"""Embeddings answer "what is this token?": ids or units to states."""

from textzoo.modules.embeddings.subword import SubwordEmbedding

__all__ = ["SubwordEmbedding"]
