"""Heads that map vectors to vectors."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from textzoo.modules.functional import activation as get_activation
from textzoo.modules.parameters import DtypeName, linear


class Dense(nnx.Module):
    """``y = f(x W + b)``.

    Args:
        in_features: width of the incoming vectors.
        out_features: width of the result.
        use_bias: whether b exists.
        activation: name of f; the default leaves the result as it is. (sentence-transformers'
            ``Dense`` defaults to tanh; imported models say which they use.)
        labels: names of the features of the result where they have any, such as the classes of a
            classifier; kept with the model for whoever reads the result.
        dtype, param_dtype: computation and storage types.
        rngs: source of initial values.
    """

    def __init__(
        self, in_features: int, out_features: int, *, use_bias: bool = True,
        activation: str = "identity", labels: Sequence[str] | None = None,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        if labels is not None and (isinstance(labels, str) or len(labels) != out_features):
            raise ValueError(
                f"labels={labels!r} with out_features={out_features}; give a name for each feature"
            )
        self.labels = None if labels is None else tuple(labels)
        self._activation = get_activation(activation)
        self.linear = linear(
            in_features, out_features, axes=("embed", None), use_bias=use_bias, dtype=dtype,
            param_dtype=param_dtype, rngs=rngs,
        )  # fmt: skip

    def __call__(self, vectors: Float[Array, "*B D"]) -> Float[Array, "*B E"]:
        """Maps every vector."""
        return self._activation(self.linear(vectors))


class Normalize(nnx.Module):
    """``x / max(||x||_2, 1e-12)`` in float32; a zero vector stays zero, with zero gradient."""

    def __call__(self, vectors: Float[Array, "*B E"]) -> Float[Array, "*B E"]:
        """Gives every vector length one."""
        x = vectors.astype(jnp.float32)
        squared = jnp.square(x).sum(axis=-1, keepdims=True)
        # The equation's gradient at zero is 1e12, which one empty text would send into training.
        return x * jnp.where(squared == 0, 0, jax.lax.rsqrt(jnp.maximum(squared, 1e-24)))
