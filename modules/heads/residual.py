"""A head that adds to its input."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from textzoo.modules.functional import normalized
from textzoo.modules.parameters import DtypeName, as_dtype, linear, logical_axes

NORMS = ("layer", "affine", "none")


class ResidualDense(nnx.Module):
    """``y = N(W relu(N(W x + b)) + b) + x``, and a relu of that where it is asked for.

    The block behind the four states of ``RecursiveConvolution`` in Malik et al. 2018, arXiv
    1808.01160; there, N is a batch norm.

    Args:
        width: of the vectors.
        norm: ``"layer"``; ``"affine"`` (scale and shift: a batch norm as it is used after
            training); or ``"none"``.
        use_final_activation: whether a relu follows; in the reference, behind all but the last.
        dtype, param_dtype: computation and storage types.
        rngs: source of initial values.
    """

    def __init__(
        self, width: int, *, norm: str = "layer", use_final_activation: bool = False,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        if norm not in NORMS:
            raise ValueError(f"norm={norm!r} is unknown; use one of {', '.join(NORMS)}")
        self.norm = norm
        self.use_final_activation = use_final_activation
        self.first, self.second = (
            linear(
                width, width, axes=("embed", None), use_bias=True, stddev=(3 * width) ** -0.5,
                dtype=dtype, param_dtype=param_dtype, rngs=rngs,
            )
            for _ in range(2)
        )  # fmt: skip
        storage = as_dtype(param_dtype)
        if norm == "none":
            self.scale = self.shift = nnx.data(None)
        else:
            self.scale = nnx.Param(jnp.ones((2, width), storage), **logical_axes(None, None))
            self.shift = nnx.Param(jnp.zeros((2, width), storage), **logical_axes(None, None))

    def __call__(self, vectors: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
        """Maps every vector."""
        inner = jax.nn.relu(self._normalize(self.first(vectors), 0))
        result = self._normalize(self.second(inner), 1) + vectors
        return jax.nn.relu(result) if self.use_final_activation else result

    def _normalize(self, x: Array, place: int) -> Array:
        if self.scale is None or self.shift is None:
            return x
        y = normalized(x) if self.norm == "layer" else x.astype(jnp.float32)
        return (y * self.scale[place] + self.shift[place]).astype(x.dtype)
