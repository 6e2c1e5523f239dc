"""What a backward pass keeps of a layer, and what it computes again."""

import functools
from collections.abc import Callable
from typing import Any

import jax
from flax import nnx
from jaxtyping import Array

_POLICIES = {
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    "full": jax.checkpoint_policies.nothing_saveable,
}
REMAT = ("none", *_POLICIES)
"""``"none"`` keeps everything, ``"dots"`` the results of matrix products with parameters,
``"full"`` only the input of each layer. Values and gradients are the same."""


def check_remat(name: str) -> str:
    """Returns the name, if it is one of :data:`REMAT`."""
    if name not in REMAT:
        raise ValueError(f"remat={name!r} is unknown; use one of {', '.join(REMAT)}")
    return name


def run_layer(
    layer: Callable[..., Array],
    x: Array,
    *,
    remat: str,
    rngs: nnx.Rngs | None,
    **options: Any,
) -> Array:
    """Calls ``layer(x, rngs=..., **options)``.

    The layer gets a dropout key of its own, so that computing it again draws the same numbers.

    Args:
        layer: a module.
        x: what is kept.
        remat: one of :data:`REMAT`.
        rngs: stream ``dropout``.
        **options: further arguments of the layer.
    """
    key = None if rngs is None else rngs.dropout()
    run: Callable[..., Array] = functools.partial(_with_key, layer, **options)
    if remat != "none":
        run = jax.checkpoint(run, policy=_POLICIES[remat])
    return run(x, key)


def _with_key(layer: Callable[..., Array], x: Array, key: Array | None, **options: Any) -> Array:
    return layer(x, rngs=None if key is None else nnx.Rngs(dropout=key), **options)
