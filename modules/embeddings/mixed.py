"""Several vocabularies in one row of ids, each with a table of its own."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from textzoo.modules.embeddings.composition import Attend, common_width, scorers_of, states_of
from textzoo.modules.types import Hidden, TextBatch


class MixedVocabularyEmbedding(nnx.Module):
    """``e(p) = E_k(p - o_k)`` for the vocabulary k that id p is of, ``o_k <= p < o_k + V_k``.

    For the first stage of Zhao et al. 2021 ("Extremely Small BERT Models from Mixed-Vocabulary
    Training", EACL): pieces of the teacher's vocabulary have rows of its table, and those of a
    small vocabulary have narrow rows of their own and an affine map to the teacher's width,
    ``Part("SubwordEmbedding", vocab_size=4928, width=1024, factor_dim=48, factor_bias=True)``. Both
    go through the teacher's encoder, so that the narrow rows come to mean what it understands.

    Args:
        parts: embeddings of the same width, each with a ``vocab_size``. Ids of the first begin at
            0, those of the next one at the end of it.

    Example:
        >>> from flax import nnx
        >>> from textzoo.modules import SubwordEmbedding
        >>> parts = [SubwordEmbedding(rows, 8, rngs=nnx.Rngs(0)) for rows in (100, 30)]
        >>> embedding = MixedVocabularyEmbedding(parts)
        >>> embedding.vocab_size, embedding.starts
        (130, (0, 100))
    """

    def __init__(self, parts: Sequence[Any]) -> None:
        self.width = common_width(parts, "MixedVocabularyEmbedding")
        for index, part in enumerate(parts):
            if not isinstance(getattr(part, "vocab_size", None), int):
                raise ValueError(
                    f"parts[{index}] of MixedVocabularyEmbedding is {type(part).__name__}, which "
                    "has no vocab_size; use embeddings that read ids"
                )
        self.parts = nnx.List(parts)

    @property
    def sizes(self) -> tuple[int, ...]:
        """V of every vocabulary."""
        return tuple(part.vocab_size for part in self.parts)

    @property
    def starts(self) -> tuple[int, ...]:
        """First id of every vocabulary."""
        return tuple(sum(self.sizes[:k]) for k in range(len(self.parts)))

    @property
    def vocab_size(self) -> int:
        """Ids of all vocabularies together."""
        return sum(self.sizes)

    def __call__(self, batch: TextBatch) -> Hidden:
        """Embeds every id with its own part; ids of no vocabulary give NaN."""
        ids = jnp.asarray(batch.ids)
        places = [(ids >= start) & (ids < start + size)
                  for start, size in zip(self.starts, self.sizes, strict=True)]  # fmt: skip
        shifted = [
            batch.replace(ids=jnp.where(own, ids - start, 0))
            for own, start in zip(places, self.starts, strict=True)
        ]
        found = states_of(self.parts, shifted)
        states = jnp.full_like(found[0].states, jnp.nan)
        for own, hidden in zip(places, found, strict=True):
            states = jnp.where(own[..., None], hidden.states.astype(states.dtype), states)
        return found[0].replace(states=states)

    @property
    def attend(self) -> Attend:
        """Scores the ids of all vocabularies, side by side; only where all parts can."""
        scorers = scorers_of(self.parts)

        def attend(states: Float[Array, "*B D"], *, dtype: Any = jnp.float32) -> Array:
            return jnp.concatenate([part(states, dtype=dtype) for part in scorers], axis=-1)

        return attend
