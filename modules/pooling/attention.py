"""Poolings that weigh tokens: by a learned score, through latents, by their self-attention."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from textzoo.modules.attention import attention_weights
from textzoo.modules.feed_forward import FeedForward
from textzoo.modules.functional import masked_mean, masked_sum
from textzoo.modules.parameters import DtypeName, as_dtype, layer_norm, linear, logical_axes
from textzoo.modules.pooling.basic import Spans, Vectors, pooling_mask
from textzoo.modules.types import Hidden


class AttentionPooling(nnx.Module):
    """``sum_t a_t h_t`` with ``a = softmax_t(u . tanh(W h_t + b))`` over the tokens of the mask.

    The word attention of hierarchical attention networks (Yang et al. 2016, equations 5 to 7).
    Zeros where the mask is empty.

    Args:
        width: D, width of the states.
        hidden_dim: width of ``W h_t``; D when absent.
        dtype, param_dtype: computation and storage types; scores, softmax and sum are float32.
        rngs: source of initial values.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from textzoo.modules import Hidden
        >>> pooling = AttentionPooling(8, rngs=nnx.Rngs(0))
        >>> pooling(Hidden(states=jnp.ones((2, 3, 8)), mask=jnp.ones((2, 3), bool))).shape
        (2, 8)
    """

    def __init__(
        self, width: int, *, hidden_dim: int | None = None, dtype: DtypeName = None,
        param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        _check_sizes(width=width, hidden_dim=hidden_dim)
        options: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        inner = hidden_dim or width
        self.dense = linear(width, inner, axes=("embed", None), use_bias=True, **options)
        self.query = linear(inner, 1, axes=(None, None), use_bias=False, **options)

    def __call__(self, hidden: Hidden, spans: Spans | None = None) -> Vectors:
        """Pools each text ``[B, D]``, or each of its spans ``[B, S, D]``; float32."""
        mask = pooling_mask(hidden, spans)
        scores = self.query(jnp.tanh(self.dense(hidden.states)))[..., 0].astype(jnp.float32)
        if mask.ndim == 3:
            scores = scores[:, None]
        return masked_sum(hidden.states, _masked_softmax(scores, mask))


class LatentAttentionPooling(nnx.Module):
    """Every token attends to trained latents; the mean of the results (NV-Embed, Lee et al. 2024).

    With latents ``T [M, D]`` and the states ``x`` of a text::

        x = x + Attention(q = LN(x) W_q, k = LN'(T) W_k, v = LN'(T) W_v) W_o
        x = x + W_down (GELU(a) * b)    with [a; b] = W_up LN''(x)
        vector = mean of x over the mask

    Tokens are the queries, unlike in a Perceiver. Instruction tokens are left out of the mean by
    spans that do not contain them.

    Args:
        width: D, width of the states.
        num_latents: M.
        num_heads: H.
        head_dim: K; D / H when absent (the released model has 8 heads of width 4096 at D = 4096).
        hidden_dim: F of the feed-forward block; four times D when absent.
        dtype, param_dtype: computation and storage types; softmax, norms and mean are float32.
        rngs: source of initial values; latents start as N(0, 1).

    Notes:
        As in the released code, whose feed-forward block is a GEGLU (the paper's section 3.2 draws
        a plain one). Its second half is the gate under the GELU, here it is the first. The unit
        length of its result is the business of a ``Normalize`` head.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from textzoo.modules import Hidden
        >>> pooling = LatentAttentionPooling(8, num_latents=4, num_heads=2, rngs=nnx.Rngs(0))
        >>> pooling(Hidden(states=jnp.ones((2, 3, 8)), mask=jnp.ones((2, 3), bool))).shape
        (2, 8)
    """

    def __init__(
        self, width: int, *, num_latents: int = 512, num_heads: int = 8,
        head_dim: int | None = None, hidden_dim: int | None = None, dtype: DtypeName = None,
        param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        _check_sizes(
            width=width, num_latents=num_latents, num_heads=num_heads, head_dim=head_dim,
            hidden_dim=hidden_dim,
        )  # fmt: skip
        if head_dim is None and width % num_heads:
            raise ValueError(
                f"width={width} is not divisible by num_heads={num_heads}; give head_dim, or "
                "another number of heads"
            )
        heads = (num_heads, head_dim or width // num_heads)
        options: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self._dtype = as_dtype(dtype)
        self.latents = nnx.Param(
            jax.random.normal(rngs.params(), (num_latents, width), as_dtype(param_dtype)),
            **logical_axes(None, "embed"),
        )

        def make_norm() -> nnx.LayerNorm:
            return layer_norm(width, epsilon=1e-5, use_bias=True, **options)

        self.attention_norm, self.latent_norm = make_norm(), make_norm()
        self.query = linear(width, heads, axes=("embed", "heads", None), use_bias=False, **options)
        self.key_value = linear(
            width, (2, *heads), axes=("embed", None, "heads", None), use_bias=False, **options
        )
        self.out = linear(heads, width, axes=("heads", None, "embed"), use_bias=False, **options)
        self.feed_forward_norm = make_norm()
        self.feed_forward = FeedForward(width, hidden_dim or 4 * width, gated=True, **options)

    def __call__(self, hidden: Hidden, spans: Spans | None = None) -> Vectors:
        """Pools each text ``[B, D]``, or each of its spans ``[B, S, D]``; float32."""
        x = hidden.states if self._dtype is None else hidden.states.astype(self._dtype)
        x = x + self._attend(self.attention_norm(x))
        x = x + self.feed_forward(self.feed_forward_norm(x))
        return masked_mean(x, pooling_mask(hidden, spans))

    def _attend(self, x: Float[Array, "B L D"]) -> Float[Array, "B L D"]:
        q = self.query(x)
        rows, length, heads, size = q.shape
        k, v = jnp.moveaxis(self.key_value(self.latent_norm(self.latents[...])), 1, 0)
        # All tokens share the latents, so they are queries of one long text.
        weights = attention_weights(
            q.reshape(1, rows * length, heads, size), k[None], jnp.ones((1, 1, 1, len(k)), bool)
        )
        mixed = jnp.einsum("htm,mhk->thk", weights[0].astype(v.dtype), v)
        return self.out(mixed.reshape(rows, length, heads, size))


class DittoPooling(nnx.Module):
    """``sum_t m_t A_tt h_t``: tokens weighed by their attention to themselves.

    Ditto (Chen et al. 2023). ``A`` is one head's attention after the softmax and before dropout;
    only its diagonal is needed. ``h`` is the mean of the embedding output and the last layer.
    There are no parameters, and nothing is trained.

    Args:
        layer: which layer's attention, from 0; negative numbers count from the top.
        head: which of its heads, from 0. The paper's code uses layer 0, head 9 for BERT base,
            head 4 for RoBERTa base and head 10 for ELECTRA base.
        states: ``"first_last"``, or ``"last"`` for the last layer alone.
        divide: divide by the sum of the weights. The reference does not, which the cosine cannot
            see; dot products can.

    Notes:
        Special tokens take part, as in the reference. Its variant on static embeddings is not
        here: ``Hidden.layers[0]`` has positions and the input norm in it already.
    """

    needs_layers = True
    needs_attention_diagonal = True

    def __init__(
        self, *, layer: int = 0, head: int = 0, states: str = "first_last", divide: bool = False
    ) -> None:
        if states not in ("first_last", "last"):
            raise ValueError(f"states={states!r} is unknown; use 'first_last' or 'last'")
        if head < 0:
            raise ValueError(f"head={head}; heads are counted from 0")
        self.layer, self.head, self.divide = layer, head, divide
        self.chosen = (0, -1) if states == "first_last" else (-1,)

    def __call__(self, hidden: Hidden, spans: Spans | None = None) -> Vectors:
        """Pools each text ``[B, D]``, or each of its spans ``[B, S, D]``; float32."""
        if hidden.layers is None or hidden.attention_diagonal is None:
            raise ValueError(
                "DittoPooling needs Hidden.layers and Hidden.attention_diagonal; call an encoder "
                "with attention, with return_layers=True and return_attention_diagonal=True"
            )
        count, heads = hidden.attention_diagonal.shape[1:3]
        if not -count <= self.layer < count or self.head >= heads:
            raise ValueError(
                f"layer={self.layer}, head={self.head}, but the encoder has {count} layers of "
                f"{heads} heads; use layers {-count} to {count - 1} and heads 0 to {heads - 1}"
            )
        diagonal = hidden.attention_diagonal[:, self.layer, self.head].astype(jnp.float32)
        chosen = [hidden.layers[index].astype(jnp.float32) for index in self.chosen]
        mask = pooling_mask(hidden, spans)
        weights = mask * (diagonal if mask.ndim == 2 else diagonal[:, None])
        pool = masked_mean if self.divide else masked_sum
        return pool(jnp.stack(chosen).mean(axis=0), weights)


def _masked_softmax(
    scores: Float[Array, "B *#S L"], mask: Bool[Array, "B *S L"]
) -> Float[Array, "B *S L"]:
    """Softmax over the tokens of the mask; zeros where it is empty, also in the gradient."""
    scores = jnp.where(mask, scores, -1e30)
    top = jax.lax.stop_gradient(scores.max(axis=-1, keepdims=True))
    weights = jnp.where(mask, jnp.exp(scores - top), 0)
    total = weights.sum(axis=-1, keepdims=True)
    return weights / jnp.where(total == 0, 1, total)


def _check_sizes(**sizes: int | None) -> None:
    for name, size in sizes.items():
        if size is not None and size < 1:
            raise ValueError(f"{name}={size}; use 1 or more")
