"""A table with one row per subword."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from textzoo.modules.embeddings.approximation import checked_rows, low_rank_factors, put
from textzoo.modules.embeddings.rows import product
from textzoo.modules.parameters import (
    DtypeName,
    as_dtype,
    linear,
    logical_axes,
    truncated_normal,
)
from textzoo.modules.partitioning import whole_rows
from textzoo.modules.types import AnyArray, Hidden, TextBatch


class SubwordEmbedding(nnx.Module):
    """``e_t = table[id_t]``, or factorised ``e_t = table[id_t] W + b`` (ALBERT, Lan et al. 2020).

    A factorised table has ``V E + E D`` parameters, and D more with b, instead of ``V D``; rows of
    it lie in E dimensions.

    Args:
        vocab_size: V, rows of the table.
        width: D, width of the vectors it returns.
        factor_dim: width of the table when it is factorised; ``None`` for a plain table.
            BERT-like encoders factorise *after* positions and the input norm: for those, give
            the narrow width here as ``width`` and let ``TransformerEncoder(embed_dim=...)`` widen.
        factor_bias: whether a factorised table has the bias b.
        scale: vectors are multiplied by this.
        dtype, param_dtype: computation and storage types.
        rngs: source of initial values.

    Example:
        >>> from flax import nnx
        >>> embedding = SubwordEmbedding(100, 16, rngs=nnx.Rngs(0))
        >>> embedding.table.shape
        (100, 16)
    """

    def __init__(
        self, vocab_size: int, width: int, *, factor_dim: int | None = None,
        factor_bias: bool = False, scale: float = 1.0,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        for name, size in (("vocab_size", vocab_size), ("width", width)):
            if size < 1:
                raise ValueError(f"{name}={size}; use 1 or more")
        if factor_dim is None and factor_bias:
            raise ValueError("factor_bias=True needs a factorised table; give factor_dim")
        self.vocab_size = vocab_size
        self.width = width
        self.scale = scale
        self.dtype = as_dtype(dtype)
        shape = (vocab_size, factor_dim or width)
        self.table = nnx.Param(
            truncated_normal(0.02)(rngs.params(), shape, as_dtype(param_dtype)),
            **logical_axes("vocab", "embed"),
        )
        self.projection = (
            None
            if factor_dim is None
            else linear(
                factor_dim, width, axes=(None, "embed"), use_bias=factor_bias, dtype=dtype,
                param_dtype=param_dtype, rngs=rngs,
            )
        )  # fmt: skip

    def __call__(self, batch: TextBatch) -> Hidden:
        """Looks up every id; ids outside the table are a bug of the caller and give NaN."""
        rows = jnp.take(
            whole_rows(self.table[...]), batch.ids, axis=0, mode="fill", fill_value=jnp.nan
        )
        states = rows.astype(self.dtype or rows.dtype)
        if self.scale != 1.0:
            states = states * jnp.asarray(self.scale, states.dtype)
        if self.projection is not None:
            states = self.projection(states)
        return batch.with_states(states)

    def attend(
        self, states: Float[Array, "*B D"], *, dtype: Any = jnp.float32
    ) -> Float[Array, "*B V"]:
        """Scores every row of the table against the states: the tied output layer, float32.

        Args:
            states: what is compared with the rows.
            dtype: of the factors; their sums are float32 in any case.
        """
        states, constant = states.astype(dtype), jnp.float32(0)
        if self.projection is not None:
            if self.projection.bias is not None:  # It scores every row alike.
                bias = self.projection.bias[...].astype(dtype)
                constant = product(states, bias[:, None])
            states = product(states, self.projection.kernel[...].astype(dtype).T).astype(dtype)
        return product(states, self.table[...].astype(dtype).T) + constant

    def fit_rows(self, rows: Float[AnyArray, "V D"], *, seed: int = 0) -> None:
        """Makes the embedding give these rows: themselves, or the nearest of their rank.

        A factorised table is solved by a singular value decomposition, after the mean row was
        taken for the bias, if there is one. No other table of that size is nearer to the rows in
        squared error (Eckart and Young 1936).

        Args:
            rows: of another table, for every id.
            seed: has no effect: there is nothing to draw.
        """
        rows = checked_rows(self, rows)
        if self.projection is None:
            put(self.table, rows / self.scale)
            return
        mean = np.zeros(self.width) if self.projection.bias is None else rows.mean(axis=0)
        left, right = low_rank_factors(rows - mean, self.table.shape[1])
        put(self.table, left / self.scale)
        put(self.projection.kernel, right)
        if self.projection.bias is not None:
            put(self.projection.bias, mean)
