"""A row from two small tables: the quotient and the remainder of the id."""

import math

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from textzoo.modules.embeddings.rows import ComputedRows, check_sizes
from textzoo.modules.parameters import DtypeName, as_dtype, logical_axes, truncated_normal
from textzoo.modules.partitioning import take_rows

_OPERATIONS = ("multiply", "add", "concatenate")


class QuotientRemainderEmbedding(ComputedRows):
    """``e(p) = Q[p div m] o R[p mod m]`` (Shi et al. 2020, "Compositional Embeddings").

    No two ids have the same two rows. The tables have ``ceil(V / m) + m`` rows, fewest at
    ``m = sqrt(V)``.

    Args:
        vocab_size: V, ids are below this.
        width: D.
        num_remainders: m; ``None``: the square root of V, rounded up.
        operation: o, ``"multiply"``, ``"add"`` or ``"concatenate"`` (both tables half as wide).
        dtype, param_dtype: computation and storage types.
        rngs: source of initial values.

    Notes:
        Initial entries have the deviation for which those of a row have 0.02, as in a plain table:
        0.141 in each factor of a product. The paper draws uniformly from an interval that gets
        smaller with the number of rows.

    Example:
        >>> from flax import nnx
        >>> embedding = QuotientRemainderEmbedding(30_522, 16, rngs=nnx.Rngs(0))
        >>> embedding.quotients.shape, embedding.remainders.shape
        ((175, 16), (175, 16))
    """

    def __init__(
        self, vocab_size: int, width: int, *, num_remainders: int | None = None,
        operation: str = "multiply",
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        check_sizes(vocab_size=vocab_size, width=width)
        if num_remainders is None:
            num_remainders = math.isqrt(vocab_size - 1) + 1
        check_sizes(num_remainders=num_remainders)
        if operation not in _OPERATIONS:
            raise ValueError(f"operation={operation!r}; use one of {', '.join(_OPERATIONS)}")
        if operation == "concatenate" and width % 2:
            raise ValueError(f"width={width} has no half; use width={width + 1}")
        self.vocab_size = vocab_size
        self.width = width
        self.num_remainders = num_remainders
        self.operation = operation
        self.dtype = as_dtype(dtype)
        deviation = {"multiply": 0.02**0.5, "add": 0.02 * 0.5**0.5, "concatenate": 0.02}[operation]
        columns = width // 2 if operation == "concatenate" else width

        def make_table(rows: int) -> nnx.Param:
            values = truncated_normal(deviation)(
                rngs.params(), (rows, columns), as_dtype(param_dtype)
            )
            return nnx.Param(values, **logical_axes("vocab", "embed"))

        self.quotients = make_table(-(-vocab_size // num_remainders))
        self.remainders = make_table(num_remainders)

    def rows(self, ids: Int[Array, "*B"]) -> Float[Array, "*B D"]:
        """Rows of both tables, combined."""
        quotients = take_rows(self.quotients[...], ids // self.num_remainders)
        remainders = take_rows(self.remainders[...], ids % self.num_remainders)
        dtype = self.dtype or quotients.dtype
        quotients, remainders = quotients.astype(dtype), remainders.astype(dtype)
        if self.operation == "multiply":
            return quotients * remainders
        if self.operation == "add":
            return quotients + remainders
        return jnp.concatenate([quotients, remainders], axis=-1)
