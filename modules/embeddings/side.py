"""Vectors of what is known of a token besides its id: its language, its script."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from textzoo.modules.embeddings.rows import check_sizes
from textzoo.modules.parameters import DtypeName, as_dtype, logical_axes, truncated_normal
from textzoo.modules.partitioning import whole_rows
from textzoo.modules.types import Hidden, TextBatch


class SideEmbedding(nnx.Module):
    """``e_t = sum_n E_n[s_{t,n}]`` for the side ids ``s`` of a token.

    In a :class:`SumEmbedding` beside a table of tokens, the language embeddings of XLM (Conneau and
    Lample 2019, section 3.1), and ``Lang`` and ``Script`` of LangSAMP's input side. After an
    encoder, see :class:`SideVectorsEncoder`.

    Args:
        sizes: rows of each table, such as the numbers of languages and of scripts.
        width: D.
        dtype, param_dtype: computation and storage types.
        rngs: source of initial values.

    Notes:
        What is not known has -1 and adds nothing; so do batches without ``side_ids``.

    Example:
        >>> from flax import nnx
        >>> embedding = SideEmbedding((500, 30), 8, rngs=nnx.Rngs(0))
        >>> [table.shape for table in embedding.tables]
        [(500, 8), (30, 8)]
    """

    def __init__(
        self, sizes: Sequence[int], width: int, *,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        if isinstance(sizes, (int, str)) or not sizes:
            raise ValueError(f"sizes={sizes!r}; give a list with the rows of each table")
        check_sizes(width=width, **{f"sizes[{n}]": size for n, size in enumerate(sizes)})
        self.width = width
        self.dtype = as_dtype(dtype)
        self.tables = nnx.List(
            nnx.Param(
                truncated_normal(0.02)(rngs.params(), (size, width), as_dtype(param_dtype)),
                **logical_axes("vocab", "embed"),
            )
            for size in sizes
        )

    def __call__(self, batch: TextBatch) -> Hidden:
        """Adds up the vectors of the side ids; ids outside a table give NaN."""
        if batch.side_ids is None:
            dtype = self.dtype or self.tables[0].dtype
            return batch.with_states(jnp.zeros((*batch.ids.shape, self.width), dtype))
        return batch.with_states(self.vectors(jnp.asarray(batch.side_ids)))

    def vectors(self, side_ids: Int[Array, "*B N"]) -> Float[Array, "*B D"]:
        """Sums of the vectors of all side ids of a token.

        Args:
            side_ids: one for each table, in their order.
        """
        if side_ids.shape[-1] != len(self.tables):
            raise ValueError(
                f"tokens have {side_ids.shape[-1]} side ids, and there are {len(self.tables)} "
                "tables; give one for each, -1 for what is not known"
            )
        total: Any = jnp.zeros((), self.dtype or self.tables[0].dtype)
        for n, table in enumerate(self.tables):
            ids = side_ids[..., n]
            rows = jnp.take(
                whole_rows(table[...]), jnp.maximum(ids, 0), axis=0, mode="fill",
                fill_value=jnp.nan,
            )  # fmt: skip
            total = total + jnp.where((ids >= 0)[..., None], rows, 0).astype(total.dtype)
        return total

    def attend(
        self, states: Float[Array, "*B D"], *, dtype: Any = jnp.float32
    ) -> Float[Array, "*B 1"]:
        """Zero for any token: side ids tell none from another.

        Args:
            states: what tokens are compared with.
            dtype: has no effect.
        """
        return jnp.zeros((*states.shape[:-1], 1), jnp.float32)
