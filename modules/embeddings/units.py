"""What embeddings share that read the units of tokens."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from textzoo.modules.partitioning import take_rows
from textzoo.modules.types import TextBatch


def units_of(
    batch: TextBatch, *, name: str, most: int | None = None
) -> tuple[Int[Array, "B L C"], Bool[Array, "B L C"]]:
    """The units of a batch, and which of them are real.

    Args:
        batch: with units.
        name: of the embedding, for messages.
        most: the C that it can read.

    Raises:
        ValueError: there are no units, or more than it can read.
    """
    if batch.units is None or batch.unit_mask is None:
        raise ValueError(
            f"the batch has no units, and {name} reads them; tokenize with one that gives some, "
            "such as WordTokenizer(), or SubwordTokenizer(..., units='characters')"
        )
    count = batch.units.shape[-1]
    if most is not None and count > most:
        raise ValueError(
            f"the batch has {count} units a token, {name} reads {most}; build it with "
            f"max_units={count}, or the tokenizer with max_units={most}"
        )
    return jnp.asarray(batch.units), jnp.asarray(batch.unit_mask)


def unit_vectors(
    table: Float[Array, "V D"], units: Int[Array, "*B"], mask: Bool[Array, "*B"]
) -> Float[Array, "*B D"]:
    """Rows of the units; zero where there is none, NaN for one that has no row.

    A unit without a row is a bug of the caller: tokenizer and embedding do not belong together.
    """
    known = (units >= 0) & (units < table.shape[0])
    vectors = take_rows(table, jnp.where(mask & known, units, 0))
    vectors = jnp.where(mask[..., None], vectors, 0)
    return jnp.where((mask & ~known)[..., None], jnp.nan, vectors)
