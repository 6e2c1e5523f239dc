"""Vectors for runs of tokens: hashed bigrams, trigrams and longer ones."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, UInt32

from textzoo.modules.embeddings.hashed import mix
from textzoo.modules.embeddings.rows import check_sizes
from textzoo.modules.parameters import DtypeName, as_dtype, logical_axes, truncated_normal
from textzoo.modules.partitioning import take_rows
from textzoo.modules.types import Hidden, TextBatch

_FACTOR = 0x01000193  # Of the FNV hash, which joins words in the same way.


class TokenNGramEmbedding(nnx.Module):
    """``e_t = sum_n E[h(id_{t-n+1}, ..., id_t)]``: the runs of tokens that end at t.

    What Joulin et al. 2016 ("Bag of Tricks for Efficient Text Classification", arXiv 1607.01759,
    section 2.2) add to a bag of words, as an embedding that goes in front of any encoder: beside a
    table of tokens in a :class:`SumEmbedding`, or next to it in a :class:`ConcatenateEmbedding`.

    A run lies within one text; where a text has fewer than n tokens before and at t, that n adds
    nothing.

    Args:
        width: D.
        num_rows: n-grams of all sizes share a table of so many rows.
        sizes: the n, all of which are 2 or more.
        scale: vectors are multiplied by this.
        dtype, param_dtype: computation and storage types.
        rngs: source of initial values.

    Notes:
        Deviations: fastText hashes words, and averages n-grams and words of the text with the same
        weight, as a mean over states does here. Its hash is another. Ours starts from n,
        multiplies and adds an id at a time, and spreads the result as :class:`HashedEmbedding`
        does: the same rows on every machine.

    Example:
        >>> from flax import nnx
        >>> embedding = TokenNGramEmbedding(16, num_rows=1000, sizes=(2, 3), rngs=nnx.Rngs(0))
        >>> embedding.table.shape
        (1000, 16)
    """

    def __init__(
        self, width: int, *, num_rows: int, sizes: tuple[int, ...] = (2,), scale: float = 1.0,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        check_sizes(width=width, num_rows=num_rows)
        wrong = not sizes or len(set(sizes)) < len(sizes)
        if wrong or any(not isinstance(size, int) or size < 2 for size in sizes):
            raise ValueError(
                f"sizes={sizes}; use different numbers of 2 or more, such as (2, 3); single "
                "tokens are what SubwordEmbedding is for"
            )
        self.width = width
        self.num_rows = num_rows
        self.sizes = tuple(sizes)
        self.scale = scale
        self.dtype = as_dtype(dtype)
        self.table = nnx.Param(
            truncated_normal(0.02)(rngs.params(), (num_rows, width), as_dtype(param_dtype)),
            **logical_axes("vocab", "embed"),
        )

    def __call__(self, batch: TextBatch) -> Hidden:
        """Sums the vectors of the runs that end at each token."""
        total: Float[Array, "B L D"] | None = None
        for size in self.sizes:
            hashes, is_whole = self.hashes(batch, size)
            places = (hashes % jnp.uint32(self.num_rows)).astype(jnp.int32)
            rows = jnp.where(is_whole[..., None], take_rows(self.table[...], places), 0)
            total = rows if total is None else total + rows
        assert total is not None
        states = total.astype(self.dtype or total.dtype)
        return batch.with_states(states * jnp.asarray(self.scale, states.dtype))

    def hashes(
        self, batch: TextBatch, size: int
    ) -> tuple[UInt32[Array, "B L"], Bool[Array, "B L"]]:
        """A number for the run of ``size`` tokens that ends at each, and whether there is one.

        Args:
            batch: tokenized texts, also several to a row.
            size: n.
        """
        ids = jnp.asarray(batch.ids).astype(jnp.uint32)
        mask = jnp.asarray(batch.mask)
        hashes = jnp.full_like(ids, size)
        is_whole = mask
        for back in range(size - 1, -1, -1):
            hashes = (hashes * jnp.uint32(_FACTOR)) ^ mix(_earlier(ids, back) + jnp.uint32(1))
            is_whole = is_whole & _earlier(mask, back)
            if back and batch.segment_ids is not None:
                segments = jnp.asarray(batch.segment_ids)
                is_whole = is_whole & (_earlier(segments, back) == segments)
        return mix(hashes), is_whole


def _earlier(x: Array, steps: int) -> Array:
    """What stood so many places before; zero or False before the first place."""
    length = x.shape[1]
    steps = min(steps, length)
    return jnp.pad(x[:, : length - steps], ((0, 0), (steps, 0)))
