"""Late interaction: one vector per token, and texts compared token by token."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from textzoo.modules.heads.vectors import Normalize
from textzoo.modules.parameters import DtypeName, linear
from textzoo.modules.types import Hidden


class TokenProjection(nnx.Module):
    """An encoder with a narrow vector of unit length for every token (ColBERT).

    ``e_t = h_t W / ||h_t W||`` without a bias (Khattab and Zaharia 2020, section 3.2). It stands
    in the place of the encoder it wraps, so ``encode_tokens`` returns these vectors.

    Args:
        encoder: the encoder that is wrapped; a part of its own in a config.
        width: D, width of its states.
        out_features: E, width of the result; 128 in the paper.
        dtype, param_dtype: computation and storage types; the result is float32.
        rngs: source of initial values.

    Notes:
        ColBERT fills queries up to 32 tokens with ``[MASK]``, which take part in scoring, and puts
        ``[Q]`` or ``[D]`` in front. That is the business of the text and its tokenizer: nothing is
        added here.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from textzoo.modules import Hidden, IdentityEncoder
        >>> encoder = TokenProjection(IdentityEncoder(), 8, out_features=4, rngs=nnx.Rngs(0))
        >>> hidden = Hidden(states=jnp.ones((2, 3, 8)), mask=jnp.ones((2, 3), bool))
        >>> encoder(hidden).states.shape
        (2, 3, 4)
    """

    def __init__(
        self, encoder: Any, width: int, *, out_features: int = 128, dtype: DtypeName = None,
        param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        for name, size in (("width", width), ("out_features", out_features)):
            if size < 1:
                raise ValueError(f"{name}={size}; use 1 or more")
        self.encoder = encoder
        self.linear = linear(
            width, out_features, axes=("embed", None), use_bias=False, dtype=dtype,
            param_dtype=param_dtype, rngs=rngs,
        )  # fmt: skip
        self.normalize = Normalize()
        self.max_length = getattr(encoder, "max_length", None)

    def __call__(
        self,
        hidden: Hidden,
        *,
        return_layers: bool = False,
        return_attention_diagonal: bool = False,
        rngs: nnx.Rngs | None = None,
    ) -> Hidden:
        """Relates the tokens, then maps each of them; padding gives zeros.

        Args:
            hidden: what the embedding returned.
            return_layers: as for the encoder inside; its layers are not mapped.
            return_attention_diagonal: as for the encoder inside.
            rngs: for dropout.
        """
        inner = self.encoder(
            hidden, return_layers=return_layers,
            return_attention_diagonal=return_attention_diagonal, rngs=rngs,
        )  # fmt: skip
        mapped = self.normalize(self.linear(inner.states))
        return inner.replace(states=jnp.where(inner.mask[..., None], mapped, 0))


def max_similarity(
    queries: Float[Array, "Q L E"],
    query_mask: Bool[Array, "Q L"],
    documents: Float[Array, "N M E"],
    document_mask: Bool[Array, "N M"],
) -> Float[Array, "Q N"]:
    """``sum_i max_j q_i . d_j`` of every query with every document, over real tokens (MaxSim).

    Masks may be of spans: then only the tokens of a phrase or proposition are compared. A query or
    document without tokens scores 0. All ``[Q, L, N, M]`` products exist at once.

    Args:
        queries: token vectors.
        query_mask: True where a token takes part.
        documents: token vectors.
        document_mask: True where a token takes part.
    """
    products = jnp.einsum(
        "qle,nme->qlnm", queries.astype(jnp.float32), documents.astype(jnp.float32),
        precision=jax.lax.Precision.HIGHEST,
    )  # fmt: skip
    # Not zero in place of padding: it would win against negative products.
    best = jnp.where(document_mask, products, -jnp.inf).max(axis=-1)
    counted = query_mask[..., None] & document_mask.any(axis=-1)
    return jnp.where(counted, best, 0).sum(axis=1)
