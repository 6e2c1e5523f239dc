"""The few states of a text side by side."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from textzoo.modules.pooling.basic import Spans
from textzoo.modules.types import Hidden


class FlattenPooling(nnx.Module):
    """``[h_1; h_2; ...; h_P]``, for encoders that return P states of every text.

    Args:
        num_positions: P; where a text has fewer states, zeros stand.
    """

    def __init__(self, num_positions: int = 4) -> None:
        if num_positions < 1:
            raise ValueError(f"num_positions={num_positions}; use 1 or more")
        self.num_positions = num_positions

    def __call__(self, hidden: Hidden, spans: Spans | None = None) -> Float[Array, "B E"]:
        """Pools each text ``[B, P D]``; float32.

        Raises:
            ValueError: there are spans, or another number of states.
        """
        if spans is not None:
            raise ValueError(
                "FlattenPooling keeps all states of a text and has no vectors of spans; use an "
                "encoder with a state for each token, and MeanPooling"
            )
        count = hidden.mask.shape[1]
        if count != self.num_positions:
            raise ValueError(
                f"num_positions={self.num_positions}, but texts have {count} states; use it behind "
                "an encoder that always returns as many, such as RecursiveConvolution"
            )
        states = jnp.where(hidden.mask[..., None], hidden.states.astype(jnp.float32), 0)
        return states.reshape(states.shape[0], -1)
