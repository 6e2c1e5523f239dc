"""What embeddings share that have a row for every id and store fewer numbers than that."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from textzoo.modules.partitioning import take_rows
from textzoo.modules.types import Hidden, TextBatch


class RowAssignment(nnx.Variable):
    """Which rows of small tables a token has: saved with the model, never trained."""


class ComputedRows(nnx.Module):
    """Rows that are computed from ids; a class that inherits it says how, in :meth:`rows`.

    Attributes:
        vocab_size: V, ids are below this.
        width: D.
        dtype: of the states, ``None`` for what the computation gives.
    """

    vocab_size: int
    width: int
    dtype: Any

    def __call__(self, batch: TextBatch) -> Hidden:
        """Embeds every id; ids outside the table are a bug of the caller and give NaN."""
        ids = jnp.asarray(batch.ids)
        known = (ids >= 0) & (ids < self.vocab_size)
        states = self.rows(jnp.where(known, ids, 0))
        states = jnp.where(known[..., None], states, jnp.nan).astype(self.dtype or states.dtype)
        return batch.with_states(states)

    def rows(self, ids: Int[Array, "*B"]) -> Float[Array, "*B D"]:
        """Rows of some ids, all of which are in the table."""
        raise NotImplementedError

    def all_rows(self) -> Float[Array, "V D"]:
        """The row of every id."""
        return self.rows(jnp.arange(self.vocab_size, dtype=jnp.int32))

    def attend(
        self, states: Float[Array, "*B D"], *, dtype: Any = jnp.float32
    ) -> Float[Array, "*B V"]:
        """Scores every row against the states: a tied output layer, float32.

        All rows are computed for it, once a call.

        Args:
            states: what is compared with the rows.
            dtype: of the factors; their sums are float32 in any case.
        """
        return product(states.astype(dtype), self.all_rows().astype(dtype).T)


class ConcatenatedRows(ComputedRows):
    """Rows in several parts, side by side, each from a small table of its own.

    Attributes:
        tables: of the parts; their widths add up to D.
    """

    tables: nnx.List

    def codes(self, ids: Int[Array, "*B"]) -> Int[Array, "*B N"]:
        """The row that each id has in each table."""
        raise NotImplementedError

    def rows(self, ids: Int[Array, "*B"]) -> Float[Array, "*B D"]:
        """The parts of each id, side by side."""
        codes = self.codes(ids)
        parts = [take_rows(table[...], codes[..., j]) for j, table in enumerate(self.tables)]
        joined = jnp.concatenate(parts, axis=-1)
        return joined.astype(self.dtype or joined.dtype)

    def attend(
        self, states: Float[Array, "*B D"], *, dtype: Any = jnp.float32
    ) -> Float[Array, "*B V"]:
        """Scores every id: a tied output layer, float32, whose products are as wide as a table.

        Args:
            states: what is compared with the rows.
            dtype: of the factors; their sums are float32 in any case.
        """
        codes = self.codes(jnp.arange(self.vocab_size, dtype=jnp.int32))
        scores, start = jnp.float32(0), 0
        for j, table in enumerate(self.tables):
            part = states[..., start : start + table.shape[1]].astype(dtype)
            scored = product(part, table[...].astype(dtype).T)
            scores = scores + jnp.take(scored, codes[:, j], axis=-1, mode="clip")
            start += table.shape[1]
        return scores


def product(x: Float[Array, "*B D"], y: Float[Array, "D V"]) -> Float[Array, "*B V"]:
    """A matrix product whose sums are float32 whatever the factors are."""
    return jnp.matmul(x, y, preferred_element_type=jnp.float32)


def check_sizes(**sizes: int) -> None:
    """Raises for a size that is not a whole number of at least one."""
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f"{name}={size!r}; use a whole number, 1 or more")
