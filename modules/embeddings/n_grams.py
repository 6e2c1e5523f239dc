"""Tokens as bags of their character n-grams."""

import jax
import jax.numpy as jnp
from flax import nnx

from textzoo.modules.embeddings.rows import check_sizes
from textzoo.modules.embeddings.units import unit_vectors, units_of
from textzoo.modules.parameters import DtypeName, as_dtype, logical_axes, truncated_normal
from textzoo.modules.partitioning import take_rows
from textzoo.modules.types import Hidden, TextBatch

POOLINGS = ("mean", "root", "sum")


class NGramEmbedding(nnx.Module):
    """Vectors of the n-grams S of a token together, and of the token itself where it has one.

    ======== ================================== ======================================
    pooling  without rows of tokens             with rows E of tokens
    ======== ================================== ======================================
    mean     ``sum_{g in S} G[g] / |S|``        ``(E[t] + sum_g G[g]) / (1 + |S|)``
    root     ``sum_{g in S} G[g] / sqrt(|S|)``  ``E[t] + sum_g G[g] / sqrt(|S|)``
    sum      ``sum_{g in S} G[g]``              ``E[t] + sum_g G[g]``
    ======== ================================== ======================================

    The mean is fastText's vector of a word (Bojanowski et al. 2017, "Enriching Word Vectors with
    Subword Information", arXiv 1607.04606, section 3.2, and its code); it reads units of an
    ``NGramTokenizer``. The root, over pieces of a ``SubwordTokenizer(units="n_grams")``, is the
    n-hot sub-token embedding of "Mask and You Shall Receive" (BabyLM 2025): a row of zeros and ones
    times a table, beside the row of the token.

    Args:
        width: D.
        unit_vocab_size: rows of G; units are below this.
        vocab_size: V, rows of E; ``None`` for no rows of tokens.
        pooling: one of the table's.
        dtype, param_dtype: computation and storage types; the n-grams are added up in float32.
        rngs: source of initial values.

    Notes:
        Of the n-hot embedding only the idea is published, not its code: that a token keeps its own
        row, n-grams of one to three characters, and the root are a reading of it.

        A token without units is its own row, or zero. It cannot score a vocabulary by itself, for
        it does not know what the pieces are made of: there is no ``attend``. An objective can,
        see ``textzoo.trainers.objectives.spelling``.

    Example:
        >>> import numpy as np
        >>> from flax import nnx
        >>> from textzoo.modules import NGramTokenizer
        >>> tokenizer = NGramTokenizer(num_rows=100)
        >>> make = lambda: NGramEmbedding(8, unit_vocab_size=107, rngs=nnx.Rngs(0))
        >>> embedding = nnx.eval_shape(make)  # Its shapes alone.
        >>> batch = tokenizer(["Hello world"]).batch(np.array([0]), 4)
        >>> nnx.eval_shape(lambda embedding: embedding(batch), embedding).states.shape
        (1, 4, 8)
    """

    def __init__(
        self, width: int, *, unit_vocab_size: int, vocab_size: int | None = None,
        pooling: str = "mean", dtype: DtypeName = None, param_dtype: str = "float32",
        rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        check_sizes(width=width, unit_vocab_size=unit_vocab_size)
        if pooling not in POOLINGS:
            raise ValueError(f"pooling={pooling!r}; use 'mean', 'root' or 'sum'")
        if vocab_size is not None:
            check_sizes(vocab_size=vocab_size)
            self.vocab_size = vocab_size
        self.width = width
        self.unit_vocab_size = unit_vocab_size
        self.num_units = 8
        self.pooling = pooling
        self.dtype = as_dtype(dtype)

        def rows(count: int) -> nnx.Param:
            values = truncated_normal(0.02)(rngs.params(), (count, width), as_dtype(param_dtype))
            return nnx.Param(values, **logical_axes("vocab", "embed"))

        self.grams = rows(unit_vocab_size)
        self.table = None if vocab_size is None else rows(vocab_size)

    def __call__(self, batch: TextBatch) -> Hidden:
        """Embeds every token; ids outside the table are a bug of the caller and give NaN.

        Raises:
            ValueError: the batch has no units.
        """
        units, mask = units_of(batch, name="NGramEmbedding")
        total = unit_vectors(self.grams[...], units, mask).sum(axis=-2, dtype=jnp.float32)
        count = mask.sum(axis=-1, keepdims=True).astype(jnp.float32)
        if self.pooling == "root":
            total = total * jax.lax.rsqrt(jnp.maximum(count, 1))
        if self.table is not None:
            ids = jnp.asarray(batch.ids)
            known = (ids >= 0) & (ids < self.table.shape[0])
            own = take_rows(self.table[...], jnp.where(known, ids, 0)).astype(jnp.float32)
            total = total + jnp.where(known[..., None], own, jnp.nan)
            count = count + 1
        if self.pooling == "mean":
            total = total / jnp.maximum(count, 1)
        return batch.with_states(total.astype(self.dtype or self.grams.dtype))
