"""A transformer over vectors of chunks, in place of tokens."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from textzoo.modules.parameters import as_dtype, logical_axes, truncated_normal
from textzoo.modules.types import Hidden


class NextLevelEncoder(nnx.Module):
    """Reads ``[CLS] chunk_1 ... chunk_n [SEP]``, and returns the states of the chunks.

    The two special vectors are learned; chunk vectors take the place of token vectors, and the
    encoder inside adds positions and whatever else it does. It stands above a
    ``HierarchicalEncoder``, or reads vectors of chunks from wherever they come. A document is the
    mean of its chunks' states; ``textzoo.trainers.NextLevelObjective`` trains it.

    Reference: Czinczoll et al. 2024, "NextLevelBERT: Masked Language Modeling with Higher-Level
    Representations for Long Documents", arXiv 2402.17682, and its code: all-MiniLM-L6-v2 for the
    chunks, and the same transformer with new positions above them.

    Args:
        encoder: a part that relates vectors of width D, such as ``Part("TransformerEncoder",
            ...)``; it reads two more than there are chunks.
        width: D.
        param_dtype: storage type.
        rngs: source of initial values.

    Notes:
        The vector that hides a chunk in training belongs to the objective. The reference's fourth
        special vector, of padding, is zero there and masked, and does not exist here.
    """

    def __init__(
        self, encoder: Any, width: int, *, param_dtype: str = "float32", rngs: nnx.Rngs
    ) -> None:
        if width < 1:
            raise ValueError(f"width={width}; use 1 or more")
        self.width = width
        self.encoder = encoder
        # The reference draws them from a normal distribution with variance one.
        self.special = nnx.Param(
            truncated_normal(1.0)(rngs.params(), (2, width), as_dtype(param_dtype)),
            **logical_axes(None, "embed"),
        )

    def __call__(
        self,
        hidden: Hidden,
        *,
        return_layers: bool = False,
        return_attention_diagonal: bool = False,
        rngs: nnx.Rngs | None = None,
    ) -> Hidden:
        """Relates the chunks of each document to one another.

        Args:
            hidden: vectors of chunks.
            return_layers: also return the layers of the encoder inside.
            return_attention_diagonal: the same of each chunk's attention to itself.
            rngs: for dropout.

        Raises:
            ValueError: rows are packed, bring positions, or have vectors of another width.
        """
        if hidden.segment_ids is not None or hidden.positions is not None:
            raise ValueError(
                "NextLevelEncoder puts special vectors around the one document of a row; leave "
                "segment_ids and positions out"
            )
        if hidden.states.shape[-1] != self.width:
            raise ValueError(
                f"vectors of chunks are {hidden.states.shape[-1]} wide, the encoder {self.width}; "
                f"use width={hidden.states.shape[-1]}"
            )
        places = jnp.arange(hidden.mask.shape[1] + 2)
        chunks = jnp.pad(hidden.mask, ((0, 0), (1, 1)))
        last = jnp.where(chunks, places, 0).max(axis=1, keepdims=True)
        is_first, is_last = (places == 0) & (last > 0), (places == last + 1) & (last > 0)
        special = self.special[...].astype(hidden.states.dtype)
        x = jnp.pad(hidden.states, ((0, 0), (1, 1), (0, 0)))
        x = jnp.where(is_first[..., None], special[0], x)
        x = jnp.where(is_last[..., None], special[1], x)
        out = self.encoder(
            Hidden(states=x, mask=chunks | is_first | is_last), return_layers=return_layers,
            return_attention_diagonal=return_attention_diagonal, rngs=rngs,
        )  # fmt: skip
        diagonal = out.attention_diagonal
        return hidden.replace(
            states=_inner(out.states),
            layers=None if out.layers is None else tuple(_inner(layer) for layer in out.layers),
            attention_diagonal=None if diagonal is None else diagonal[..., 1:-1],
        )


def _inner(x: Float[Array, "B M D"]) -> Float[Array, "B L D"]:
    """Without the first and the last state."""
    return x[:, 1:-1]
