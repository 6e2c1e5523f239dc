"""Rows that are given once and never trained."""

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from textzoo.modules.embeddings.rows import ComputedRows, check_sizes
from textzoo.modules.parameters import DtypeName, as_dtype, linear, truncated_normal
from textzoo.modules.partitioning import take_rows
from textzoo.modules.types import AnyArray


class FrozenRows(nnx.Variable):
    """Rows of a table: saved with the model, never trained."""


class FrozenEmbedding(ComputedRows):
    """``e(p) = T[p]``, or ``T[p] W + b``, where T is never trained, and W and b are.

    Bochkov 2025, "Emergent Semantics Beyond Token Embeddings", has rows of pictures of characters
    (``textzoo.frozen_rows.glyph_rows``), by which tokens mean nothing, and all meaning is the
    encoder's; EELBERT (Cohn et al. 2023, arXiv 2310.20144) has hashes of n-grams
    (``textzoo.frozen_rows.n_gram_rows``). Fresh rows are of length one in random directions, which
    is the control that such rows are to be compared with.

    Args:
        vocab_size: V, ids are below this.
        width: D.
        table_dim: width of T; ``None``: D, and there is no map.
        dtype, param_dtype: computation and storage types; of T, too.
        rngs: source of initial values.

    Notes:
        Its rows can score states (``attend``); in both papers the output layer has a table of its
        own, which is trained: build the head with ``tied=False``.

    Example:
        >>> import jax
        >>> from flax import nnx
        >>> embedding = FrozenEmbedding(100, 8, table_dim=16, rngs=nnx.Rngs(0))
        >>> embedding.table.shape, [leaf.shape for leaf in jax.tree.leaves(nnx.state(
        ...     embedding, nnx.Param))]
        ((100, 16), [(8,), (16, 8)])
    """

    def __init__(
        self, vocab_size: int, width: int, *, table_dim: int | None = None,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        size = width if table_dim is None else table_dim
        check_sizes(vocab_size=vocab_size, width=width, table_dim=size)
        self.vocab_size = vocab_size
        self.width = width
        self.dtype = as_dtype(dtype)
        rows = truncated_normal(1.0)(rngs.params(), (vocab_size, size), jnp.float32)
        rows = rows / jnp.linalg.norm(rows, axis=1, keepdims=True)
        self.table = FrozenRows(rows.astype(as_dtype(param_dtype)))
        self.projection = (
            None
            if table_dim is None
            else linear(
                size, width, axes=(None, "embed"), use_bias=True, stddev=size**-0.5, dtype=dtype,
                param_dtype=param_dtype, rngs=rngs,
            )
        )  # fmt: skip

    def set_rows(self, rows: Float[AnyArray, "V E"]) -> None:
        """Puts rows in place of those that are there.

        Args:
            rows: of every id, as wide as the table.
        """
        if rows.shape != self.table.shape:
            raise ValueError(f"rows have shape {rows.shape}; expected [V, E] = {self.table.shape}")
        if not np.isfinite(np.asarray(rows)).all():
            raise ValueError("some rows have numbers that are not finite")
        self.table.set_value(jnp.asarray(rows, self.table.dtype))

    def rows(self, ids: Int[Array, "*B"]) -> Float[Array, "*B D"]:
        """Rows of the table, mapped if there is a map."""
        found = take_rows(self.table[...], ids)
        found = found.astype(self.dtype or found.dtype)
        return found if self.projection is None else self.projection(found)
