"""A temperature that is learned, within CLIP's limit."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

LARGEST_SCALE = 100.0
"""CLIP's limit of ``1 / temperature`` (Radford et al. 2021, section 2.5)."""


@jax.custom_vjp
def limited_scale(log_scale: Float[Array, ""]) -> Float[Array, ""]:
    """``min(exp(log_scale), 100)``, whose gradient at the limit only leads back.

    CLIP cuts the parameter itself to its range after every update. A loss cannot change a
    parameter, so this cuts the value, and of a parameter beyond the limit it passes on a gradient
    that would make it smaller, and none that would make it larger. Descent then stays where CLIP's
    does, but for the length of a step.
    """
    return jnp.minimum(jnp.exp(log_scale.astype(jnp.float32)), LARGEST_SCALE)


def _forward(log_scale: Array) -> tuple[Array, tuple[Array, Array]]:
    scale = limited_scale(log_scale)
    return scale, (scale, log_scale)


def _backward(saved: tuple[Array, Array], gradient: Array) -> tuple[Array]:
    scale, log_scale = saved
    passed = jnp.where(jnp.exp(log_scale) > LARGEST_SCALE, jnp.maximum(gradient, 0), gradient)
    return ((passed * scale).astype(log_scale.dtype),)


limited_scale.defvjp(_forward, _backward)
