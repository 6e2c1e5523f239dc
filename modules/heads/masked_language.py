"""The head that guesses which token stood at a position."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from textzoo.modules.functional import activation as get_activation
from textzoo.modules.parameters import DtypeName, as_dtype, layer_norm, linear, logical_axes


class MaskedLanguageHead(nnx.Module):
    """Scores every token of the vocabulary: ``LN(f(h W + b)) T^T + c``.

    ``T`` is the table of the embedding (tied, BERT: Devlin et al. 2019, section 3.1 and its code)
    or a table of the head's own. Give it the states of the masked positions alone: the product
    with ``T`` is V wide.

    Args:
        width: D, width of the incoming states.
        vocab_size: V, rows of the table.
        inner_dim: E, width of what is compared with the table, where that is not D (ALBERT and
            ELECTRA's generator: the width of their embeddings).
        tied: score against the embedding that the call is given; otherwise a table of its own.
        transform: whether there is ``LN(f(h W + b))``; without it E is D.
        activation: name of f.
        use_bias: whether b exists (ModernBERT: no).
        use_norm: whether there is a layer norm.
        norm_eps, use_norm_bias: of the layer norm (BERT: 1e-12 and yes, RoBERTa: 1e-5 and yes,
            ModernBERT: 1e-5 and no).
        use_output_bias: whether c, one number per token, exists.
        dtype, param_dtype: computation and storage types. Scores are float32; with a narrower
            ``dtype`` their factors are narrow, and their sums float32.
        rngs: source of initial values.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from textzoo.modules import SubwordEmbedding
        >>> embedding = SubwordEmbedding(100, 16, rngs=nnx.Rngs(0))
        >>> head = MaskedLanguageHead(16, 100, rngs=nnx.Rngs(1))
        >>> head(jnp.ones((2, 3, 16)), embedding).shape
        (2, 3, 100)
    """

    def __init__(
        self, width: int, vocab_size: int, *, inner_dim: int | None = None, tied: bool = True,
        transform: bool = True, activation: str = "gelu", use_bias: bool = True,
        use_norm: bool = True, norm_eps: float = 1e-12, use_norm_bias: bool = True,
        use_output_bias: bool = True, dtype: DtypeName = None, param_dtype: str = "float32",
        rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        for name, size in (("width", width), ("vocab_size", vocab_size)):
            if size < 1:
                raise ValueError(f"{name}={size}; use 1 or more")
        if not transform and inner_dim not in (None, width):
            raise ValueError(
                f"inner_dim={inner_dim} differs from width={width}, and without a transform "
                "nothing maps one to the other; leave inner_dim out, or set transform=True"
            )
        inner = inner_dim or width
        self._activation = get_activation(activation)
        self.dtype = as_dtype(dtype)
        options: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.dense = (
            linear(width, inner, axes=("embed", None), use_bias=use_bias, **options)
            if transform
            else None
        )
        self.norm = (
            layer_norm(inner, epsilon=norm_eps, use_bias=use_norm_bias, **options)
            if transform and use_norm
            else None
        )
        self.output = (
            None
            if tied
            else linear(inner, vocab_size, axes=("embed", "vocab"), use_bias=False, **options)
        )
        self.output_bias = (
            nnx.Param(jnp.zeros((vocab_size,), as_dtype(param_dtype)), **logical_axes("vocab"))
            if use_output_bias
            else None
        )

    def __call__(self, states: Float[Array, "*B D"], embedding: Any = None) -> Float[Array, "*B V"]:
        """Scores of all tokens, float32: :meth:`transform`, then :meth:`score`."""
        return self.score(self.transform(states), embedding)

    def transform(self, states: Float[Array, "*B D"]) -> Float[Array, "*B E"]:
        """What is compared with the rows of the table."""
        if self.dense is not None:
            states = self._activation(self.dense(states))
        return states if self.norm is None else self.norm(states)

    def score(
        self, transformed: Float[Array, "*B E"], embedding: Any = None
    ) -> Float[Array, "*B V"]:
        """Compares with every row of the table.

        Args:
            transformed: what :meth:`transform` returned.
            embedding: of the model; its ``attend`` scores the tied table.
        """
        if self.output is not None:
            scores = self.output(transformed).astype(jnp.float32)
        elif not hasattr(embedding, "attend"):
            raise ValueError(
                f"a tied head scores against the embedding's table, and {type(embedding).__name__} "
                "has no attend(); pass the model's embedding, or build the head with tied=False"
            )
        else:
            scores = embedding.attend(transformed, dtype=self.dtype or jnp.float32)
        if self.output_bias is None:
            return scores
        return scores + self.output_bias[...].astype(jnp.float32)
