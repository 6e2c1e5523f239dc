"""The one way parts make a model."""

from collections.abc import Sequence
from typing import Any

from flax import nnx

from textzoo.config import ModelConfig
from textzoo.modules.types import TextBatch, TextOutput


class TextModel(nnx.Module):
    """Embedding, encoder, pooling and heads, applied in this order.

    ``TextBatch -> embedding -> Hidden -> encoder -> Hidden -> pooling -> vectors -> heads``

    Args:
        embedding: callable ``TextBatch -> Hidden``.
        encoder: callable ``(Hidden, *, return_layers, return_attention_diagonal, rngs) ->
            Hidden``.
        pooling: callable ``(Hidden, spans) -> vectors``, or ``None`` for states only. A pooling
            with ``needs_layers = True`` or ``needs_attention_diagonal = True`` gets those.
        heads: callables ``vectors -> vectors``, applied one after the other.
        config: what the parts were built from; :func:`textzoo.build` fills it in, and only a
            model that has it can be saved.
    """

    def __init__(
        self,
        *,
        embedding: Any,
        encoder: Any,
        pooling: Any = None,
        heads: Sequence[Any] = (),
        config: ModelConfig | None = None,
    ) -> None:
        self.embedding = embedding
        self.encoder = encoder
        self.pooling = pooling
        self.heads = nnx.List(heads)
        self.config = config

    def __call__(self, batch: TextBatch, *, rngs: nnx.Rngs | None = None) -> TextOutput:
        """Encodes a batch.

        Args:
            batch: tokenized texts; with ``spans [B, S, L]``, vectors are per span.
            rngs: for dropout, in a view with ``deterministic=False``.

        Returns:
            ``vectors [B, E]`` or ``[B, S, E]``, and the encoder's states.
        """
        hidden = self.encoder(
            self.embedding(batch),
            return_layers=getattr(self.pooling, "needs_layers", False),
            return_attention_diagonal=getattr(self.pooling, "needs_attention_diagonal", False),
            rngs=rngs,
        )
        if self.pooling is None:
            return TextOutput(vectors=None, hidden=hidden)
        vectors = self.pooling(hidden, batch.spans)
        for head in self.heads:
            vectors = head(vectors)
        return TextOutput(vectors=vectors, hidden=hidden)
