"""Batches that stand for real ones where only shapes matter."""

import jax.numpy as jnp

from textzoo.modules.types import TextBatch


def example_batch(embedding: object, size: int = 1, length: int = 4) -> TextBatch:
    """A batch such as an embedding reads: all tokens real, all numbers zero.

    Args:
        embedding: asked for ``num_units``, the units of a token that it reads; one that is made
            of others, for those of its ``parts``. Without any, the batch has ids alone.
        size: B.
        length: L.
    """
    tokens = jnp.zeros((size, length), jnp.int32)
    batch = TextBatch(ids=tokens, mask=jnp.ones(tokens.shape, bool))
    count = _num_units(embedding)
    if count is None:
        return batch
    units = jnp.zeros((size, length, count), jnp.int32)
    return batch.replace(units=units, unit_mask=jnp.ones(units.shape, bool))


def _num_units(embedding: object) -> int | None:
    own = getattr(embedding, "num_units", None)
    if isinstance(own, int):
        return own
    found = [_num_units(part) for part in getattr(embedding, "parts", ())]
    return next((count for count in found if count is not None), None)
