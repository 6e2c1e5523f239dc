"""Multi-head self-attention: one module and the function that does the arithmetic."""

import functools
import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from textzoo.modules.dropout import Dropout
from textzoo.modules.functional import rotate
from textzoo.modules.parameters import DtypeName, linear

# On a CPU, attention runs over blocks whose scores hold at most about this many numbers: a batch of
# long texts text by text, a very long text some queries at a time. That bounds memory, and larger
# blocks leave the processor's caches (1.1 times as long at 2 texts of 512 tokens).
_CPU_BLOCK_SCORES = 1 << 22


class SelfAttention(nnx.Module):
    """Scaled dot-product self-attention with H heads of width K = D / H.

    ``softmax(q k^T / sqrt(K) + bias) v`` with ``q, k, v`` from one linear map (Vaswani et al.
    2017). Softmax is float32. A query that may attend to nothing gets zeros.

    Args:
        width: D.
        num_heads: H; must divide D.
        use_bias: whether the linear maps have biases.
        rotary_theta: base of rotary positions on q and k; ``None`` for none.
        dropout: rate on attention weights, when the module is not deterministic.
        dtype, param_dtype: computation and storage types.
        rngs: source of initial values.
    """

    def __init__(
        self, width: int, *, num_heads: int, use_bias: bool = True,
        rotary_theta: float | None = None, dropout: float = 0.0,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        if width % num_heads:
            raise ValueError(
                f"width={width} is not divisible by num_heads={num_heads}; use a multiple of "
                f"{num_heads}, e.g. width={max(1, width // num_heads) * num_heads}"
            )
        if rotary_theta is not None and width // num_heads % 2:
            raise ValueError(
                f"rotary positions turn pairs of features, but heads are {width // num_heads} wide "
                f"(width={width}, num_heads={num_heads}); make width a multiple of {2 * num_heads}"
            )
        self.num_heads = num_heads
        self.rotary_theta = rotary_theta
        heads = (num_heads, width // num_heads)
        make = functools.partial(
            linear, use_bias=use_bias, dtype=dtype, param_dtype=param_dtype, rngs=rngs
        )
        self.qkv = make(width, (3, *heads), axes=("embed", None, "heads", None))
        self.out = make(heads, width, axes=("heads", None, "embed"))
        self.dropout = Dropout(dropout, deterministic=True)

    def __call__(
        self,
        x: Float[Array, "B L D"],
        allowed: Bool[Array, "#B 1 #L L"],
        *,
        positions: Int[Array, "#B L"] | None = None,
        bias: Float[Array, "1 H L L"] | None = None,
        return_diagonal: bool = False,
        rngs: nnx.Rngs | None = None,
    ) -> tuple[Float[Array, "B L D"], Float[Array, "B H L"] | None]:
        """Attends from every token to every token that ``allowed`` permits.

        Args:
            x: states.
            allowed: True where a query (second to last axis) may see a key (last axis).
            positions: needed with rotary positions.
            bias: added to the scores.
            return_diagonal: also return each token's attention to itself.
            rngs: for dropout.

        Returns:
            The new states, and the diagonal of the attention matrix or ``None``.
        """
        q, k, v = jnp.moveaxis(self.qkv(x), 2, 0)
        if self.rotary_theta is not None:
            if positions is None:
                raise ValueError("rotary attention needs positions [B, L]")
            q = rotate(q, positions, self.rotary_theta)
            k = rotate(k, positions, self.rotary_theta)
        if self.dropout.deterministic or self.dropout.rate == 0.0:
            dropout = None
        else:
            dropout = functools.partial(self.dropout, rngs=rngs)
        if dropout is None and not return_diagonal:
            # Which blocks are best depends on where this runs, which is known when it is lowered.
            context = jax.lax.platform_dependent(
                q, k, v, allowed, bias, cpu=_attend_in_blocks, default=_attend
            )
            return self.out(context), None
        weights = attention_weights(q, k, allowed, bias)
        diagonal = jnp.diagonal(weights, axis1=-2, axis2=-1) if return_diagonal else None
        if dropout is not None:
            weights = dropout(weights)
        return self.out(_mix(weights, v)), diagonal


def attention_weights(
    q: Float[Array, "B L H K"],
    k: Float[Array, "B M H K"],
    allowed: Bool[Array, "#B 1 #L M"],
    bias: Float[Array, "1 H L M"] | None = None,
) -> Float[Array, "B H L M"]:
    """``softmax(q k^T / sqrt(K) + bias)`` over the allowed keys, in float32."""
    weights, total = _exponentials(q, k, allowed, bias)
    return jnp.where(allowed.any(-1, keepdims=True), weights / total, 0)


def _exponentials(
    q: Array, k: Array, allowed: Array, bias: Array | None
) -> tuple[Float[Array, "B H L M"], Float[Array, "B H #L 1"]]:
    """The softmax before its division, and what to divide by."""
    q, k = jnp.swapaxes(q, 1, 2), jnp.swapaxes(k, 1, 2)
    # Plain batched products of [B*H, L, K]: XLA's CPU backend is up to 1.4 times slower on the
    # equivalent einsum over [B, L, H, K].
    scores = jax.lax.dot_general(
        q * jnp.asarray(1 / math.sqrt(q.shape[-1]), q.dtype), k,
        (((3,), (3,)), ((0, 1), (0, 1))), preferred_element_type=jnp.float32,
    )  # fmt: skip
    # A finite number rather than -inf, so that a query without any key has no NaN. Added, because
    # selecting score by score takes longer.
    shift = jnp.where(allowed, 0.0, -1e30)
    scores = scores + (shift if bias is None else shift + bias)
    weights = jnp.exp(scores - jax.lax.stop_gradient(scores.max(axis=-1, keepdims=True)))
    return weights, weights.sum(axis=-1, keepdims=True)


def _mix(weights: Array, v: Array) -> Array:
    return jnp.swapaxes(jnp.matmul(weights.astype(v.dtype), jnp.swapaxes(v, 1, 2)), 1, 2)


def _attend(q: Array, k: Array, v: Array, allowed: Array, bias: Array | None) -> Array:
    weights, total = _exponentials(q, k, allowed, bias)
    # Dividing after the product with v saves a pass over [B, H, L, M]. The choice comes after the
    # division: before it, XLA fuses it with the sum and computes the exponentials twice.
    mixed = jnp.matmul(
        weights.astype(v.dtype), jnp.swapaxes(v, 1, 2), preferred_element_type=jnp.float32
    )
    mixed = jnp.where(allowed.any(-1, keepdims=True), mixed / total, 0)
    return jnp.swapaxes(mixed.astype(v.dtype), 1, 2)


def _attend_in_blocks(q: Array, k: Array, v: Array, allowed: Array, bias: Array | None) -> Array:
    """:func:`_attend` on a few texts at a time, or on a few queries of one text."""
    batch, length, heads, _ = q.shape
    scores = heads * length * length
    block = _largest_divisor(batch, _CPU_BLOCK_SCORES // scores)
    if block == batch:
        return _attend(q, k, v, allowed, bias)
    if block > 1 or scores <= 4 * _CPU_BLOCK_SCORES:
        allowed = jnp.broadcast_to(allowed, (batch, *allowed.shape[1:]))
        parts = [x.reshape(batch // block, block, *x.shape[1:]) for x in (q, k, v, allowed)]
        out = jax.lax.map(lambda part: _attend(part[0], part[1], part[2], part[3], bias), parts)
        return out.reshape(q.shape)
    # Long texts: blocks of queries of one text.
    rows = _largest_divisor(length, _CPU_BLOCK_SCORES // (heads * length))
    allowed = jnp.broadcast_to(allowed, (batch, 1, *jnp.broadcast_shapes(
        allowed.shape[2:], (length if allowed.shape[2] > 1 else 1, length))))  # fmt: skip

    def one_text(text: tuple[Array, ...]) -> Array:
        q_text, k_text, v_text, allowed_text = (x[None] for x in text)

        def one_block(start: Array) -> Array:
            q_rows = jax.lax.dynamic_slice_in_dim(q_text, start, rows, axis=1)
            seen = allowed_text
            if seen.shape[2] > 1:
                seen = jax.lax.dynamic_slice_in_dim(seen, start, rows, axis=2)
            shift = bias
            if shift is not None:
                shift = jax.lax.dynamic_slice_in_dim(shift, start, rows, axis=2)
            return _attend(q_rows, k_text, v_text, seen, shift)[0]

        blocks = jax.lax.map(one_block, jnp.arange(0, length, rows))
        return blocks.reshape(q_text.shape[1:])

    return jax.lax.map(one_text, (q, k, v, allowed))


def _largest_divisor(number: int, limit: int) -> int:
    """The largest divisor of ``number`` that is at most ``limit`` (at least 1)."""
    return next(d for d in range(max(1, min(number, limit)), 0, -1) if number % d == 0)
