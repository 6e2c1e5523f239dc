"""CANINE's vectors of code points: parts of several small tables, chosen by hashes."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Int

from textzoo.modules.embeddings.rows import ConcatenatedRows, check_sizes
from textzoo.modules.parameters import DtypeName, as_dtype, logical_axes, truncated_normal

PRIMES = (31, 43, 59, 61, 73, 97, 103, 113)
"""Of the hashes, in their order."""


class CodePointHashEmbedding(ConcatenatedRows):
    """``e(p) = [E_1[h_1(p)]; ...; E_k[h_k(p)]]`` with ``h_j(p) = (p + 1) prime_j mod n``.

    The multi-hash embedding of CANINE (Clark et al. 2022, "CANINE: Pre-training an Efficient
    Tokenization-Free Encoder for Language Representation", TACL, section 3.1): no vocabulary, and
    a vector for each of Unicode's 1,114,112 code points. ``HashedEmbedding`` adds rows of one
    table, this one puts parts from several side by side.

    Args:
        vocab_size: V, ids are below this.
        width: D, a multiple of the number of hashes; each part is ``D / k`` wide.
        num_rows: n, rows of each table.
        num_hashes: k, 8 or fewer: the primes are 31, 43, 59, 61, 73, 97, 103 and 113.
        dtype, param_dtype: computation and storage types.
        rngs: source of initial values.

    Notes:
        The same rows as in transformers' ``CanineModel``, which adds positions and token types to
        them, and norms the sum; here these are the encoder's.

        With 16,384 rows, which no prime divides, code points share all of their rows or none: those
        that differ by a multiple of 16,384 have the same vector. What the reference has is kept.

    Example:
        >>> from flax import nnx
        >>> make = lambda: CodePointHashEmbedding(0x110000, 16, num_rows=512, rngs=nnx.Rngs(0))
        >>> embedding = nnx.eval_shape(make)  # Its shapes alone.
        >>> [table.shape for table in embedding.tables][:2]
        [(512, 2), (512, 2)]
    """

    def __init__(
        self, vocab_size: int, width: int, *, num_rows: int = 16_384, num_hashes: int = 8,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        check_sizes(vocab_size=vocab_size, width=width, num_rows=num_rows, num_hashes=num_hashes)
        if num_hashes > len(PRIMES):
            raise ValueError(f"num_hashes={num_hashes}; use {len(PRIMES)} or fewer")
        if width % num_hashes:
            raise ValueError(
                f"width={width} is not divisible by num_hashes={num_hashes}; use a multiple of "
                f"{num_hashes}, e.g. width={max(1, width // num_hashes) * num_hashes}"
            )
        self.vocab_size = vocab_size
        self.width = width
        self.num_rows = num_rows
        self.dtype = as_dtype(dtype)
        shape, storage = (num_rows, width // num_hashes), as_dtype(param_dtype)
        self.tables = nnx.List(
            nnx.Param(
                truncated_normal(0.02)(rngs.params(), shape, storage),
                **logical_axes("vocab", "embed"),
            )
            for _ in range(num_hashes)
        )

    def codes(self, ids: Int[Array, "*B"]) -> Int[Array, "*B K"]:
        """The row of each table that each id has."""
        primes = jnp.asarray(PRIMES[: len(self.tables)], jnp.int32)
        return (ids.astype(jnp.int32)[..., None] + 1) * primes % self.num_rows
