"""A learned mixture of the layers of an encoder."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from textzoo.modules.functional import normalized
from textzoo.modules.parameters import as_dtype, logical_axes
from textzoo.modules.pooling.basic import MeanPooling, Spans
from textzoo.modules.types import Hidden


class ScalarMix(nnx.Module):
    """``h~ = gamma sum_l softmax(s)_l h^(l)``, pooled like the states of a single layer.

    Reference: ELMo (Peters et al. 2018, "Deep contextualized word representations", equation 1);
    in front of BERT's heads: BERMo (2021, "What can BERT learn from ELMo?").

    Args:
        num_layers: how many layers are mixed, the last ones of ``Hidden.layers``: ``N + 1`` for
            all of an encoder of N layers and its embedding, N without the embedding.
        use_layer_norm: normalize each layer's vectors before they are mixed, without parameters.
        pooling: a part that pools the mixture, such as ``Part("ClsPooling")``; ``None``: the mean.
        param_dtype: storage type; all is computed in float32.
        rngs: source of initial values, none of which are random: ``s = 0`` and ``gamma = 1``.

    Notes:
        BERMo says one scalar a layer; that its mixture has a gamma and begins with the embedding,
        as ELMo's does, is our reading. ELMo's code normalizes with the mean and variance of all
        tokens of a batch, which would make a vector depend on its batch; here, each token has its
        own. Train s and gamma with ten to a hundred times the learning rate of the rest, and
        without weight decay.
    """

    needs_layers = True

    def __init__(
        self, num_layers: int, *, use_layer_norm: bool = False, pooling: Any = None,
        param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        if num_layers < 1:
            raise ValueError(f"num_layers={num_layers}; use 1 or more")
        if getattr(pooling, "needs_layers", False):
            raise ValueError(
                f"pooling={type(pooling).__name__} mixes layers itself; use one of states, such "
                "as MeanPooling"
            )
        self.num_layers = num_layers
        self.use_layer_norm = use_layer_norm
        self.pooling = MeanPooling() if pooling is None else pooling
        self.needs_attention_diagonal = getattr(self.pooling, "needs_attention_diagonal", False)
        storage = as_dtype(param_dtype)
        self.scores = nnx.Param(jnp.zeros(num_layers, storage), **logical_axes(None))
        self.gamma = nnx.Param(jnp.ones((), storage), **logical_axes())

    def __call__(self, hidden: Hidden, spans: Spans | None = None) -> Float[Array, "B *S E"]:
        """Pools each text ``[B, E]``, or each of its spans ``[B, S, E]``.

        Raises:
            ValueError: the encoder returned fewer layers, or none.
        """
        return self.pooling(hidden.replace(states=self.mix(hidden)), spans)

    def mix(self, hidden: Hidden) -> Float[Array, "B L D"]:
        """The mixture, float32."""
        if hidden.layers is None:
            raise ValueError(
                "ScalarMix needs Hidden.layers; call the encoder with return_layers=True"
            )
        if len(hidden.layers) < self.num_layers:
            raise ValueError(
                f"num_layers={self.num_layers}, but the encoder returned {len(hidden.layers)}, "
                f"with its embedding; use num_layers={len(hidden.layers)} to mix them all"
            )
        weights = jax.nn.softmax(self.scores[...].astype(jnp.float32))
        weights = weights * self.gamma[...].astype(jnp.float32)
        total = jnp.zeros(hidden.states.shape, jnp.float32)
        for weight, layer in zip(weights, hidden.layers[-self.num_layers :], strict=True):
            states = layer.astype(jnp.float32)
            if self.use_layer_norm:
                states = normalized(states, epsilon=1e-12)
            total = total + weight * states
        return total
