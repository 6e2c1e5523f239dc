"""Words from their bytes by cross-attention."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from textzoo.modules.embeddings.rows import check_sizes
from textzoo.modules.embeddings.units import unit_vectors, units_of
from textzoo.modules.functional import activation as get_activation
from textzoo.modules.parameters import (
    DtypeName,
    as_dtype,
    layer_norm,
    linear,
    logical_axes,
    truncated_normal,
)
from textzoo.modules.types import Hidden, TextBatch


class Byte2WordEmbedding(nnx.Module):
    """Learned queries attend to the bytes of a word, and what they find is the word.

    "Word-Level Representation From Bytes For Language Modeling", Lee et al. 2022, arXiv
    2211.12677. With the vectors ``X = E[bytes] + P`` of a word and K queries Q that all words
    share::

        A = LN(Q + attention(Q, X))        H heads, over the bytes of the word alone
        Z = LN(A + f(A W_1 + b_1) W_2 + b_2)
        e = [z_1; ...; z_K] W_o + b

    It reads ``units [B, L, C]`` of a ``WordTokenizer``.

    Args:
        width: D, of the result.
        unit_vocab_size: units are below this; 263 are bytes and what a tokenizer adds to them.
        unit_dim: width of the vectors of bytes.
        num_queries: K.
        num_heads: H; divides ``unit_dim``.
        hidden_dim: F, inner width of the feed-forward map; four times ``unit_dim`` when absent.
        max_units: C is at most this: so many places have a vector in P.
        activation: name of f.
        norm_eps: of the layer norms.
        dtype, param_dtype: computation and storage types. The softmax is float32.
        rngs: source of initial values.

    Notes:
        Of the paper's model only the abstract could be read: cross-attention from bytes to a word,
        subwords predicted from states of words (see ``WordPiecesHead``), a tenth of BERT's table.
        Sizes and layers are a reading of it: the usual block of a transformer, after which norms
        stand. With the sizes here and D = 768 it has 1.65 million parameters, 7% of BERT's table.

        A word without bytes is zero. It cannot score its vocabulary, which is open: there is no
        ``attend``.

    Example:
        >>> import numpy as np
        >>> from flax import nnx
        >>> from textzoo.modules import WordTokenizer
        >>> make = lambda: Byte2WordEmbedding(8, unit_dim=4, num_heads=2, rngs=nnx.Rngs(0))
        >>> embedding = nnx.eval_shape(make)  # Its shapes alone.
        >>> batch = WordTokenizer(max_units=32)(["Hello world"]).batch(np.array([0]), 4)
        >>> nnx.eval_shape(lambda embedding: embedding(batch), embedding).states.shape
        (1, 4, 8)
    """

    def __init__(
        self, width: int, *, unit_vocab_size: int = 263, unit_dim: int = 256,
        num_queries: int = 4, num_heads: int = 4, hidden_dim: int | None = None,
        max_units: int = 32, activation: str = "gelu", norm_eps: float = 1e-12,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        inner = 4 * unit_dim if hidden_dim is None else hidden_dim
        check_sizes(
            width=width, unit_vocab_size=unit_vocab_size, unit_dim=unit_dim,
            num_queries=num_queries, num_heads=num_heads, hidden_dim=inner, max_units=max_units,
        )  # fmt: skip
        if unit_dim % num_heads:
            raise ValueError(
                f"unit_dim={unit_dim} is not divisible by num_heads={num_heads}; use a multiple, "
                f"e.g. unit_dim={(unit_dim // num_heads + 1) * num_heads}"
            )
        self.width = width
        self.unit_vocab_size = unit_vocab_size
        self.max_units = max_units
        self.num_units = min(8, max_units)
        self.dtype = as_dtype(dtype)
        self._activation = get_activation(activation)
        storage = as_dtype(param_dtype)

        def rows(count: int, *names: str | None) -> nnx.Param:
            values = truncated_normal(0.02)(rngs.params(), (count, unit_dim), storage)
            return nnx.Param(values, **logical_axes(*names))

        self.table = rows(unit_vocab_size, None, "embed")
        self.positions = rows(max_units, None, "embed")
        # Queries that begin alike would stay alike.
        self.queries = rows(num_queries, None, "embed")
        options: dict[str, Any] = {
            "use_bias": True, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs,
        }  # fmt: skip
        heads = (num_heads, unit_dim // num_heads)
        self.query = linear(unit_dim, heads, axes=("embed", "heads", None), **options)
        self.key = linear(unit_dim, heads, axes=("embed", "heads", None), **options)
        self.value = linear(unit_dim, heads, axes=("embed", "heads", None), **options)
        self.attended = linear(heads, unit_dim, axes=("heads", None, "embed"), **options)
        self.attention_norm = layer_norm(unit_dim, epsilon=norm_eps, **options)
        self.up = linear(unit_dim, inner, axes=("embed", "mlp"), **options)
        self.down = linear(inner, unit_dim, axes=("mlp", "embed"), **options)
        self.norm = layer_norm(unit_dim, epsilon=norm_eps, **options)
        self.output = linear((num_queries, unit_dim), width, axes=(None, None, "embed"), **options)

    def __call__(self, batch: TextBatch) -> Hidden:
        """Embeds every word by its bytes.

        Raises:
            ValueError: the batch has no units, or more than ``max_units``.
        """
        units, mask = units_of(batch, name="Byte2WordEmbedding", most=self.max_units)
        x = unit_vectors(self.table[...], units, mask) + self.positions[...][: units.shape[-1]]
        x = x.astype(self.dtype or x.dtype)
        queries = self.queries[...].astype(x.dtype)
        found = self.attention_norm(queries + self.attended(self._attend(queries, x, mask)))
        found = self.norm(found + self.down(self._activation(self.up(found))))
        states = self.output(found)
        return batch.with_states(jnp.where(mask.any(axis=-1, keepdims=True), states, 0))

    def _attend(
        self, queries: Float[Array, "N D"], x: Float[Array, "B L C D"], mask: Bool[Array, "B L C"]
    ) -> Float[Array, "B L N H K"]:
        """What each head of each query finds among the bytes of a word."""
        query, key, value = self.query(queries), self.key(x), self.value(x)
        scores = jnp.einsum("nhk,blchk->blnhc", query, key).astype(jnp.float32)
        scores = scores * query.shape[-1] ** -0.5
        # A finite number, so that a word without bytes has weights, and slopes, that are finite.
        scores = jnp.where(mask[:, :, None, None], scores, jnp.finfo(jnp.float32).min)
        weights = jax.nn.softmax(scores, axis=-1).astype(value.dtype)
        return jnp.einsum("blnhc,blchk->blnhk", weights, value)
