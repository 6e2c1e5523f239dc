"""The position-wise feed-forward block of a transformer layer."""

import functools

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from textzoo.modules.functional import activation
from textzoo.modules.parameters import DtypeName, linear


class FeedForward(nnx.Module):
    """``W_down f(W_up x)``, or gated ``W_down (f(a) * b)`` with ``[a; b] = W_up x``.

    The gated form with GELU is GeGLU (Shazeer 2020), as in ModernBERT.

    Args:
        width: D.
        hidden_dim: F.
        activation: name of f.
        gated: whether the block is gated.
        use_bias: whether the linear maps have biases.
        dtype, param_dtype: computation and storage types.
        rngs: source of initial values.
    """

    def __init__(
        self, width: int, hidden_dim: int, *, activation: str = "gelu", gated: bool = False,
        use_bias: bool = True,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        self.activation = activation
        self.gated = gated
        make = functools.partial(
            linear, use_bias=use_bias, dtype=dtype, param_dtype=param_dtype, rngs=rngs
        )
        if gated:
            self.up = make(width, (2, hidden_dim), axes=("embed", None, "mlp"))
        else:
            self.up = make(width, hidden_dim, axes=("embed", "mlp"))
        self.down = make(hidden_dim, width, axes=("mlp", "embed"))

    def __call__(self, x: Float[Array, "B L D"]) -> Float[Array, "B L D"]:
        """Applies the block to every token."""
        f = activation(self.activation)
        hidden = self.up(x)
        if self.gated:
            first, gate = jnp.moveaxis(hidden, -2, 0)
            hidden = f(first) * gate
        else:
            hidden = f(hidden)
        return self.down(hidden)
