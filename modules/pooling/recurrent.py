"""The last states of a recurrent network."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from textzoo.modules.functional import masked_sum
from textzoo.modules.pooling.basic import Spans, pooling_mask
from textzoo.modules.types import Hidden


class FinalStatePooling(nnx.Module):
    """What each direction of a bidirectional network has read when it comes to its end.

    The first half of the features from the last real token of the text or span, the second half
    from the first one; zeros where the mask is empty. For one direction, take ``LastPooling``.

    Reference: the BiGRU of Conneau et al. 2017 (InferSent), section 3.2.1, and the BiLSTM of
    Tang et al. 2019, "Distilling Task-Specific Knowledge from BERT into Simple Neural Networks".
    """

    def __call__(self, hidden: Hidden, spans: Spans | None = None) -> Float[Array, "B *S D"]:
        """Pools each text ``[B, D]``, or each of its spans ``[B, S, D]``; float32."""
        mask = pooling_mask(hidden, spans)
        width = hidden.states.shape[-1]
        if width % 2:
            raise ValueError(
                f"states are {width} wide, which is not two halves; use LastPooling for a network "
                "of one direction"
            )
        first = mask & (jnp.cumsum(mask, axis=-1) == 1)
        last = mask & (jnp.cumsum(mask[..., ::-1], axis=-1)[..., ::-1] == 1)
        forward = masked_sum(hidden.states[..., : width // 2], last)
        backward = masked_sum(hidden.states[..., width // 2 :], first)
        return jnp.concatenate([forward, backward], axis=-1)
