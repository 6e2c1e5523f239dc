"""The head that tells replaced tokens from original ones."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from textzoo.modules.functional import activation as get_activation
from textzoo.modules.parameters import DtypeName, linear


class ReplacedTokenHead(nnx.Module):
    """``w . f(h W + b) + c``, the log-odds that a token was replaced (ELECTRA, Clark et al. 2020).

    Args:
        width: D, width of the incoming states.
        activation: name of f.
        dtype, param_dtype: computation and storage types; the log-odds are float32.
        rngs: source of initial values.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> ReplacedTokenHead(16, rngs=nnx.Rngs(0))(jnp.ones((2, 5, 16))).shape
        (2, 5)
    """

    def __init__(
        self, width: int, *, activation: str = "gelu", dtype: DtypeName = None,
        param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        if width < 1:
            raise ValueError(f"width={width}; use 1 or more")
        self._activation = get_activation(activation)
        self.dense = linear(
            width, width, axes=("embed", None), use_bias=True, dtype=dtype,
            param_dtype=param_dtype, rngs=rngs,
        )  # fmt: skip
        self.output = linear(
            width, 1, axes=("embed", None), use_bias=True, dtype=dtype,
            param_dtype=param_dtype, rngs=rngs,
        )  # fmt: skip

    def __call__(self, states: Float[Array, "*B D"]) -> Float[Array, "*B"]:
        """One number per state, float32."""
        return self.output(self._activation(self.dense(states)))[..., 0].astype(jnp.float32)
