"""Functions that several modules share: activations, masked reductions, rotary positions."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int


def gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Exact GELU, ``x * Phi(x)``, with Phi from erf.

    ``jax.nn.gelu(approximate=False)`` uses erfc, which keeps relative precision in the far left
    tail, where the result is below 1e-7 anyway; erf is several times faster on a CPU.
    """
    half = jnp.asarray(0.5, x.dtype)
    return half * x * (1 + jax.lax.erf(x * jnp.asarray(math.sqrt(0.5), x.dtype)))


def gelu_tanh(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """GELU by its tanh approximation (``gelu_new`` in BERT's later relatives)."""
    return jax.nn.gelu(x, approximate=True)


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
    "identity": lambda x: x,
}


def activation(name: str) -> Callable[[Array], Array]:
    """Returns the activation of that name."""
    try:
        return ACTIVATIONS[name]
    except KeyError:
        raise ValueError(
            f"activation={name!r} is unknown; use one of {', '.join(sorted(ACTIVATIONS))}"
        ) from None


def masked_sum(
    x: Float[Array, "B L D"], mask: Bool[Array, "B *S L"] | Float[Array, "B *S L"]
) -> Float[Array, "B *S D"]:
    """Sum over L of the states where the mask is on (or times its weights), in float32.

    A mask ``[B, L]`` gives ``[B, D]``; masks ``[B, S, L]`` give ``[B, S, D]``, all from one
    matrix product.
    """
    weights, states = mask.astype(jnp.float32), x.astype(jnp.float32)
    if weights.ndim == 2:
        return (states * weights[..., None]).sum(axis=1)
    return jnp.einsum("bsl,bld->bsd", weights, states, precision=jax.lax.Precision.HIGHEST)


def masked_mean(
    x: Float[Array, "B L D"], mask: Bool[Array, "B *S L"] | Float[Array, "B *S L"]
) -> Float[Array, "B *S D"]:
    """Mean over L under a mask or weights, in float32; an empty mask gives zeros."""
    total = mask.astype(jnp.float32).sum(axis=-1, keepdims=True)
    return masked_sum(x, mask) / jnp.where(total == 0, 1, total)


def normalized(x: Float[Array, "*B D"], *, epsilon: float = 1e-5) -> Float[Array, "*B D"]:
    """Mean zero and variance one over the last axis, without parameters, in float32."""
    y = x.astype(jnp.float32)
    y = y - y.mean(axis=-1, keepdims=True)
    return y * jax.lax.rsqrt(jnp.square(y).mean(axis=-1, keepdims=True) + epsilon)


def rotate(
    x: Float[Array, "B L H K"], positions: Int[Array, "#B L"], theta: float
) -> Float[Array, "B L H K"]:
    """Rotary positions (Su et al. 2021), halves paired as ``(x[:K/2], x[K/2:])``.

    Pair i of a head is turned by ``position * theta ** (-2 i / K)``; angles are float32.
    """
    half = x.shape[-1] // 2
    # On the host: at position 8,000 an angle shows the last bit of its frequency, and devices
    # round powers differently.
    exponents = np.arange(half, dtype=np.float32) / np.float32(half)
    frequencies = 1 / np.float32(theta) ** exponents
    angles = positions.astype(jnp.float32)[..., None, None] * frequencies
    cosine, sine = jnp.cos(angles), jnp.sin(angles)
    first, second = x[..., :half].astype(jnp.float32), x[..., half:].astype(jnp.float32)
    turned = jnp.concatenate(
        [first * cosine - second * sine, second * cosine + first * sine], axis=-1
    )
    return turned.astype(x.dtype)


def relative_buckets(
    distance: Int[Array, "..."], num_buckets: int, max_distance: int
) -> Int[Array, "..."]:
    """Bidirectional log-spaced buckets of ``key position - query position`` (T5, MPNet).

    Half of the buckets are for keys to the right; in each half, the first half counts single
    steps and the rest grows logarithmically up to ``max_distance``, beyond which all share one.
    """
    half = num_buckets // 2
    exact = half // 2
    size = jnp.abs(distance)
    # Where each wide bucket starts, as whole numbers: a logarithm on the device may put a
    # distance that sits on a border into the bucket before it.
    wide = half - exact
    starts = [
        math.ceil(exact * (max_distance / exact) ** (step / wide) - 1e-6) for step in range(1, wide)
    ]
    far = exact + sum((size >= start).astype(jnp.int32) for start in starts)
    return jnp.where(distance > 0, half, 0) + jnp.where(size < exact, size, far)
