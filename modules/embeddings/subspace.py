"""A vector in several parts, each from a small table that many tokens share."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Int

from textzoo.modules.embeddings.rows import ConcatenatedRows, RowAssignment, check_sizes
from textzoo.modules.parameters import DtypeName, as_dtype, logical_axes
from textzoo.modules.types import AnyArray


class SubspaceEmbedding(ConcatenatedRows):
    """``e(p) = [E_1[c_1(p)]; ...; E_f[c_f(p)]]`` (Jaiswal and Liu 2023).

    "Lightweight Adaptation of Neural Language Models via Subspace Embedding", CIKM. Each part has
    n rows, ``n = floor(V^(1/f)) + 1``, and every token has a combination of its own: its id written
    with f digits in base n, ``c_j(p) = floor(p / n^(j-1)) mod n``, or what it is assigned.

    Args:
        vocab_size: V, ids are below this.
        width: D. Parts are ``D // f`` wide, and the last has the remainder as well.
        num_parts: f.
        num_rows: n, where it is not as above; ``n^f`` must not be below V.
        learn_assignment: whether tokens are assigned their rows by :meth:`assign` (clusters of
            pretrained vectors, say; see ``ProductQuantizedEmbedding``) rather than by their digits.
            Until then, they have those of their digits.
        dtype, param_dtype: computation and storage types.
        rngs: source of initial values.

    Notes:
        Initial values are uniform between -0.1 and 0.1, as in the released code. That has a row
        more in each part, for padding; padding is masked here, and has no row.

        With digits, tokens that share a digit share a whole part, whatever they mean.

        Published are compressions by more than 99.8%, without the sizes they belong to. For V =
        50,265 and D = 768, two parts have 172,800 parameters (99.55% less than the table) and three
        have 28,416 (99.93%).

    Example:
        >>> from flax import nnx
        >>> embedding = SubspaceEmbedding(30_522, 256, num_parts=3, rngs=nnx.Rngs(0))
        >>> [table.shape for table in embedding.tables]
        [(32, 85), (32, 85), (32, 86)]
    """

    def __init__(
        self, vocab_size: int, width: int, *, num_parts: int = 2, num_rows: int | None = None,
        learn_assignment: bool = False,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        check_sizes(vocab_size=vocab_size, width=width, num_parts=num_parts)
        if num_parts > width:
            raise ValueError(f"num_parts={num_parts} of width={width}; use {width} or fewer")
        rows = _integer_root(vocab_size, num_parts) + 1 if num_rows is None else num_rows
        check_sizes(num_rows=rows)
        if rows**num_parts < vocab_size:
            raise ValueError(
                f"num_rows={rows} with num_parts={num_parts} tell {rows**num_parts} tokens apart, "
                f"fewer than vocab_size={vocab_size}; use num_rows="
                f"{_integer_root(vocab_size - 1, num_parts) + 1}, or more parts"
            )
        self.vocab_size = vocab_size
        self.width = width
        self.num_rows = rows
        self.dtype = as_dtype(dtype)
        widths = [width // num_parts] * num_parts
        widths[-1] += width % num_parts
        self.tables = nnx.List(
            nnx.Param(
                nnx.initializers.uniform(0.2)(rngs.params(), (rows, columns), as_dtype(param_dtype))
                - 0.1,
                **logical_axes("vocab", "embed"),
            )
            for columns in widths
        )
        self.assignment = (
            RowAssignment(jnp.asarray(self._digits(np.arange(vocab_size)), jnp.int32))
            if learn_assignment
            else None
        )

    def assign(self, codes: Int[AnyArray, "V N"]) -> None:
        """Gives every token its row in each part; no two tokens may have the same ones.

        Args:
            codes: ``[V, f]``, each from 0 to n - 1.
        """
        if self.assignment is None:
            raise ValueError("tokens have the rows of their digits; build learn_assignment=True")
        codes = np.asarray(codes)
        wanted = (self.vocab_size, len(self.tables))
        if codes.shape != wanted:
            raise ValueError(f"codes have shape {codes.shape}; expected [V, f] = {wanted}")
        if codes.min() < 0 or codes.max() >= self.num_rows:
            raise ValueError(
                f"codes go from {codes.min()} to {codes.max()}; use 0 to {self.num_rows - 1}"
            )
        keys = codes.astype(np.int64) @ (self.num_rows ** np.arange(wanted[1], dtype=np.int64))
        different = len(np.unique(keys))
        if different < self.vocab_size:
            raise ValueError(
                f"{self.vocab_size} tokens have {different} combinations of rows; every token "
                "needs one of its own"
            )
        self.assignment.set_value(jnp.asarray(codes, jnp.int32))

    def codes(self, ids: Int[Array, "*B"]) -> Int[Array, "*B N"]:
        """The row that each id has in each part."""
        if self.assignment is not None:
            return jnp.take(self.assignment[...], ids, axis=0, mode="clip")
        return self._digits(ids)

    def _digits(self, ids: Any) -> Any:
        digits = [ids // self.num_rows**j % self.num_rows for j in range(len(self.tables))]
        stack = np.stack if isinstance(ids, np.ndarray) else jnp.stack
        return stack(digits, axis=-1)


def _integer_root(number: int, degree: int) -> int:
    """The largest whole number whose power is not above ``number``."""
    root = round(number ** (1 / degree))
    while root**degree > number:
        root -= 1
    while (root + 1) ** degree <= number:
        root += 1
    return root
