"""Tables with fewer rows than there are ids: several hashes choose the rows of an id."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, UInt32

from textzoo.modules.embeddings.rows import ComputedRows, check_sizes
from textzoo.modules.parameters import DtypeName, as_dtype, logical_axes, truncated_normal
from textzoo.modules.partitioning import take_rows

_STEP = 0x9E3779B9  # 2 ** 32 over the golden ratio: multiples of it are far from each other


class HashedEmbedding(ComputedRows):
    """``e(p) = sum_k w_{p,k} E[h_k(p)]``: k rows of a small table, the same for every run.

    With one hash ``p mod n`` it is the hashing trick (Weinberger et al. 2009); with several and a
    plain sum, Bloom embeddings (Serra and Karatzoglou 2017); with importance weights, hash
    embeddings (Svenstrup et al. 2017, section 3.1).

    Args:
        vocab_size: V, ids are below this.
        width: D.
        num_rows: n, rows of the table.
        num_hashes: k. Two ids share all their rows with a probability of about ``k! / n^k``.
        hash_function: ``"mixed"``, which spreads any ids evenly; or ``"modulo"``, ``p mod n``, of
            which there is only one.
        use_weights: whether ids have importance weights ``w``, k numbers for each; otherwise they
            are one.
        dtype, param_dtype: computation and storage types.
        rngs: source of initial values.

    Notes:
        The mixed hash is the last step of MurmurHash3's 32-bit form, applied to the id plus k
        times a constant: the same numbers on every machine, and in every version.

        Svenstrup et al. initialise the weights from a normal distribution of deviation 5e-4; they
        begin at one here, so that a fresh embedding is that without weights.

    Example:
        >>> from flax import nnx
        >>> embedding = HashedEmbedding(30_522, 16, num_rows=500, num_hashes=2, rngs=nnx.Rngs(0))
        >>> embedding.table.shape
        (500, 16)
    """

    def __init__(
        self, vocab_size: int, width: int, *, num_rows: int, num_hashes: int = 2,
        hash_function: str = "mixed", use_weights: bool = False,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        check_sizes(vocab_size=vocab_size, width=width, num_rows=num_rows, num_hashes=num_hashes)
        if hash_function not in ("mixed", "modulo"):
            raise ValueError(f"hash_function={hash_function!r}; use 'mixed' or 'modulo'")
        if hash_function == "modulo" and num_hashes != 1:
            raise ValueError(
                f"hash_function='modulo' is one hash, but num_hashes={num_hashes}; use "
                "num_hashes=1, or hash_function='mixed'"
            )
        self.vocab_size = vocab_size
        self.width = width
        self.num_rows = num_rows
        self.num_hashes = num_hashes
        self.hash_function = hash_function
        self.dtype = as_dtype(dtype)
        storage = as_dtype(param_dtype)
        # A sum of k rows has the deviation of one row of a plain table.
        self.table = nnx.Param(
            truncated_normal(0.02 * num_hashes**-0.5)(rngs.params(), (num_rows, width), storage),
            **logical_axes("vocab", "embed"),
        )
        self.weights = (
            nnx.Param(jnp.ones((vocab_size, num_hashes), storage), **logical_axes("vocab", None))
            if use_weights
            else None
        )

    def hashes(self, ids: Int[Array, "*B"]) -> Int[Array, "*B K"]:
        """The k rows of each id."""
        if self.hash_function == "modulo":
            return (ids % self.num_rows)[..., None]
        steps = jnp.arange(1, self.num_hashes + 1, dtype=jnp.uint32) * jnp.uint32(_STEP)
        words = mix(ids.astype(jnp.uint32)[..., None] + steps)
        return (words % jnp.uint32(self.num_rows)).astype(jnp.int32)

    def rows(self, ids: Int[Array, "*B"]) -> Float[Array, "*B D"]:
        """Sums of k rows."""
        found = take_rows(self.table[...], self.hashes(ids))
        found = found.astype(self.dtype or found.dtype)
        if self.weights is not None:
            found = found * take_rows(self.weights[...], ids)[..., None].astype(found.dtype)
        return found.sum(axis=-2)


def mix(words: UInt32[Array, "*B"]) -> UInt32[Array, "*B"]:
    """Spreads 32-bit words so that every bit depends on every bit; a one-to-one map.

    The finalizer of MurmurHash3 (Appleby 2011, public domain).
    """
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        words = (words ^ (words >> jnp.uint32(shift))) * jnp.uint32(factor)
    return words ^ (words >> jnp.uint32(16))
