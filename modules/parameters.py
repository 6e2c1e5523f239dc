"""How parameters are declared: storage type, initial values, logical axes for sharding."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

DtypeName = str | None
"""A dtype as configs write it (``"bfloat16"``); ``None`` infers it from input and parameters."""


def logical_axes(*names: str | None) -> dict[str, Any]:
    """Names the axes of a parameter, so that a trainer can map them to mesh axes.

    The names in use: ``vocab`` (table rows), ``embed`` (model width), ``heads``, ``mlp``
    (feed-forward width); ``None`` for an axis that is never split. Parameters are not placed when
    they are made: whoever has a mesh places them, in one go, from these names.
    """
    return {"out_sharding": names, "eager_sharding": False}


def truncated_normal(stddev: float) -> nnx.Initializer:
    """Normal values with the given standard deviation, cut at two of them (BERT's choice)."""
    return jax.nn.initializers.truncated_normal(stddev)


def as_dtype(name: DtypeName) -> Any:
    """Returns the floating dtype of that name, ``None`` for ``None``."""
    if name is None:
        return None
    try:
        dtype = jnp.dtype(name)
    except TypeError:
        dtype = None
    if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(
            f"{name!r} is not a type of floating point numbers; "
            "use 'float32', 'bfloat16' or 'float16'"
        )
    return dtype


def layer_norm(
    width: int,
    *,
    epsilon: float,
    use_bias: bool,
    dtype: DtypeName,
    param_dtype: str,
    rngs: nnx.Rngs,
) -> nnx.LayerNorm:
    """A layer norm over the last axis; its statistics are float32 whatever ``dtype`` is."""
    return nnx.LayerNorm(
        width, epsilon=epsilon, use_bias=use_bias, dtype=as_dtype(dtype),
        param_dtype=as_dtype(param_dtype), rngs=rngs,
        scale_metadata=logical_axes(None), bias_metadata=logical_axes(None),
    )  # fmt: skip


def linear(
    in_features: int | tuple[int, ...],
    out_features: int | tuple[int, ...],
    *,
    axes: tuple[str | None, ...],
    use_bias: bool,
    stddev: float = 0.02,
    dtype: DtypeName,
    param_dtype: str,
    rngs: nnx.Rngs,
) -> nnx.LinearGeneral:
    """A linear map between the last axes, its kernel's axes named for sharding."""
    inputs = in_features if isinstance(in_features, tuple) else (in_features,)
    return nnx.LinearGeneral(
        inputs, out_features, axis=tuple(range(-len(inputs), 0)), use_bias=use_bias,
        kernel_init=truncated_normal(stddev), dtype=as_dtype(dtype),
        param_dtype=as_dtype(param_dtype), rngs=rngs,
        kernel_metadata=logical_axes(*axes), bias_metadata=logical_axes(*axes[len(inputs):]),
    )  # fmt: skip
