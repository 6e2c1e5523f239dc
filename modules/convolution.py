"""Convolution along the tokens of a text, in padded and in packed rows."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from textzoo.modules.parameters import DtypeName, as_dtype, logical_axes, truncated_normal
from textzoo.modules.partitioning import whole_parameter


def convolve(
    x: Float[Array, "B L D"],
    kernel: Float[Array, "W D E"],
    *,
    dilation: int = 1,
    segment_ids: Int[Array, "B L"] | None = None,
) -> Float[Array, "B L E"]:
    """``y_t = sum_k x_{t + d (k - (W - 1) / 2)} kernel_k``, zero beyond the ends of a text.

    Args:
        x: what is zero where there is no token.
        kernel: an odd number W of taps.
        dilation: d, the distance of neighboring taps.
        segment_ids: of packed rows; a tap that would reach into another text finds zero.
    """
    half = dilation * (kernel.shape[0] // 2)
    kernel = kernel.astype(x.dtype)
    if segment_ids is None:
        return jax.lax.conv_general_dilated(
            x, kernel, window_strides=(1,), padding=((half, half),), rhs_dilation=(dilation,),
            dimension_numbers=("NWC", "WIO", "NWC"),
        )  # fmt: skip
    total = x @ kernel[kernel.shape[0] // 2]
    for tap in range(kernel.shape[0]):
        offset = dilation * tap - half
        if offset and abs(offset) < x.shape[1]:
            same = _shift(segment_ids, offset) == segment_ids
            source = jnp.where(same[..., None], _shift(x, offset), 0)
            total = total + source @ kernel[tap]
    return total


class Convolution(nnx.Module):
    """A convolution along the tokens that never reads padding, nor another text of its row.

    Args:
        in_features, out_features: D and E.
        kernel_size: W, odd.
        dilation: distance of neighboring taps.
        use_bias: whether a bias is added.
        stddev: of the initial kernel; ``None``: that of torch's, ``(3 W D)^-0.5``.
        dtype, param_dtype: computation and storage types.
        rngs: source of initial values.
    """

    def __init__(
        self, in_features: int, out_features: int, *, kernel_size: int = 3, dilation: int = 1,
        use_bias: bool = True, stddev: float | None = None,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size={kernel_size}; use an odd number, e.g. kernel_size=3")
        if dilation < 1:
            raise ValueError(f"dilation={dilation}; use 1 or more")
        self.dilation = dilation
        self.dtype = as_dtype(dtype)
        shape, storage = (kernel_size, in_features, out_features), as_dtype(param_dtype)
        spread = (3 * kernel_size * in_features) ** -0.5 if stddev is None else stddev
        self.kernel = nnx.Param(
            truncated_normal(spread)(rngs.params(), shape, storage),
            **logical_axes(None, "embed", None),
        )
        self.bias = (
            nnx.Param(jnp.zeros(out_features, storage), **logical_axes(None)) if use_bias else None
        )

    def __call__(
        self,
        x: Float[Array, "B L D"],
        mask: Bool[Array, "B L"],
        segment_ids: Int[Array, "B L"] | None = None,
    ) -> Float[Array, "B L E"]:
        """Convolves the tokens under the mask.

        Args:
            x: token vectors; what stands under padding makes no difference.
            mask: True where a token is real.
            segment_ids: of packed rows.
        """
        x = jnp.where(mask[..., None], x.astype(self.dtype or x.dtype), 0)
        kernel = whole_parameter(self.kernel[...])
        y = convolve(x, kernel, dilation=self.dilation, segment_ids=segment_ids)
        return y if self.bias is None else y + self.bias[...].astype(y.dtype)


def _shift(x: Array, offset: int) -> Array:
    """What stands ``offset`` places further on, and zero beyond the ends."""
    before, after = (0, offset) if offset > 0 else (-offset, 0)
    padded = jnp.pad(x, ((0, 0), (before, after), *((0, 0),) * (x.ndim - 2)))
    return padded[:, after : after + x.shape[1]]
