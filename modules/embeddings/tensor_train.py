"""A table as a product of small tensors, one for each digit of the id."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from textzoo.modules.embeddings.approximation import (
    checked_rows,
    put,
    tensor_train_cores,
    tensor_train_ranks,
)
from textzoo.modules.embeddings.rows import ComputedRows, check_sizes
from textzoo.modules.parameters import DtypeName, as_dtype, logical_axes, truncated_normal
from textzoo.modules.types import AnyArray


class TensorTrainEmbedding(ComputedRows):
    """``e(p)[j_1..j_K] = G_1[i_1, j_1] G_2[i_2, j_2] ... G_K[i_K, j_K]``, a product of matrices.

    A table in the tensor-train format (Hrinchuk et al. 2020, "Tensorized Embedding Layers", of
    Oseledets 2011). The id is written in mixed radix, ``p = (i_1 n_2 + i_2) n_3 + i_3`` for K = 3,
    and so is the column, with ``D = d_1 d_2 d_3``; ``G_k[i, j]`` is a matrix of ``r_{k-1}`` times
    ``r_k`` numbers, ``r_0 = r_K = 1``. It has ``sum_k n_k r_{k-1} d_k r_k`` parameters.

    Args:
        vocab_size: V, ids are below this.
        width: D.
        rank: r of all cuts, less where the numbers on one side of a cut are fewer.
        vocab_factors: n_1, ..., n_K, whose product is at least V; three numbers near the cube root
            of V if absent, or as many as ``width_factors``.
        width_factors: d_1, ..., d_K, whose product is D; as near to each other as D allows if
            absent.
        dtype, param_dtype: computation and storage types.
        rngs: source of initial values.

    Notes:
        Tokens that share digits share matrices, so the order of ids matters; that of WordPiece is
        roughly by frequency.

        Initial entries are normal and all of the deviation for which those of a row have 0.02, as
        in a plain table; the paper derives the same from Glorot's.

    Example:
        >>> from flax import nnx
        >>> embedding = TensorTrainEmbedding(30_522, 256, rank=16, rngs=nnx.Rngs(0))
        >>> [core.shape for core in embedding.cores]
        [(32, 1, 8, 16), (31, 16, 8, 16), (31, 16, 4, 1)]
    """

    def __init__(
        self, vocab_size: int, width: int, *, rank: int = 16,
        vocab_factors: Sequence[int] | None = None, width_factors: Sequence[int] | None = None,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        check_sizes(vocab_size=vocab_size, width=width, rank=rank)
        given = next((f for f in (vocab_factors, width_factors) if f is not None), (1, 1, 1))
        order = len(given)
        rows = tuple(vocab_factors or _covering(vocab_size, order))
        columns = tuple(width_factors or _dividing(width, order))
        for name, factors in (("vocab_factors", rows), ("width_factors", columns)):
            check_sizes(**{f"{name}[{k}]": factor for k, factor in enumerate(factors)})
        if order < 2 or len(rows) != len(columns):
            raise ValueError(
                f"vocab_factors={rows} and width_factors={columns}; use as many of one as of the "
                "other, and at least two"
            )
        if math.prod(rows) < vocab_size:
            raise ValueError(
                f"vocab_factors={rows} tell {math.prod(rows)} tokens apart, fewer than vocab_size="
                f"{vocab_size}; use vocab_factors={_covering(vocab_size, order)}"
            )
        if math.prod(columns) != width:
            raise ValueError(
                f"width_factors={columns} have the product {math.prod(columns)}, and width="
                f"{width}; use width_factors={_dividing(width, order)}"
            )
        self.vocab_size = vocab_size
        self.width = width
        self.vocab_factors = rows
        self.width_factors = columns
        self.rank = rank
        self.dtype = as_dtype(dtype)
        ranks = tensor_train_ranks(rows, columns, rank)
        # A row's entry is a sum over all ways through the cuts, of products of K entries.
        deviation = (0.02 / math.sqrt(math.prod(ranks))) ** (1 / order)
        shapes = zip(rows, ranks, columns, ranks[1:], strict=False)
        self.cores = nnx.List(
            nnx.Param(
                truncated_normal(deviation)(rngs.params(), shape, as_dtype(param_dtype)),
                **logical_axes(None, None, None, None),
            )
            for shape in shapes
        )

    def rows(self, ids: Int[Array, "*B"]) -> Float[Array, "*B D"]:
        """Products of the matrices of each id."""
        remaining, digits = ids, []
        for factor in reversed(self.vocab_factors):
            digits.append(remaining % factor)
            remaining = remaining // factor
        found = jnp.ones((*ids.shape, 1, 1), self.dtype or self.cores[0].dtype)
        for core, digit in zip(self.cores, reversed(digits), strict=True):
            matrices = jnp.take(core[...], digit, axis=0, mode="clip").astype(found.dtype)
            found = jnp.einsum("...dr,...res->...des", found, matrices)
            found = found.reshape(*ids.shape, -1, found.shape[-1])
        return found[..., 0]

    def all_rows(self) -> Float[Array, "V D"]:
        """The row of every id, one core after the other instead of one id after the other."""
        found = jnp.ones((1, 1, 1), self.dtype or self.cores[0].dtype)
        for core in self.cores:
            values = core[...].astype(found.dtype)
            found = jnp.einsum("vdr,nres->vndes", found, values)
            v, n, d, e, s = found.shape
            found = found.reshape(v * n, d * e, s)
        return found[: self.vocab_size, :, 0]

    def fit_rows(self, rows: Float[AnyArray, "V D"], *, seed: int = 0) -> None:
        """Makes the embedding give rows near to these, by singular value decompositions.

        Args:
            rows: of another table, for every id.
            seed: has no effect: there is nothing to draw.
        """
        rows = checked_rows(self, rows)
        cores = tensor_train_cores(rows, self.vocab_factors, self.width_factors, self.rank)
        for core, values in zip(self.cores, cores, strict=True):
            put(core, values)


def _covering(number: int, count: int) -> tuple[int, ...]:
    """Factors near each other, whose product is at least a number, the largest first."""
    factors: list[int] = []
    for left in range(count, 0, -1):
        rest = -(-number // math.prod(factors))
        factor = max(1, round(rest ** (1 / left)) - 1)
        while factor**left < rest:
            factor += 1
        factors.append(factor)
    return tuple(factors)


def _dividing(number: int, count: int) -> tuple[int, ...]:
    """Factors near each other, whose product is a number, the largest first."""
    factors: list[int] = []
    for left in range(count, 0, -1):
        rest = number // math.prod(factors)
        divisors = [d for d in range(1, rest + 1) if rest % d == 0]
        factors.append(min(divisors, key=lambda d: (abs(math.log(d**left / rest)), -d)))
    return tuple(sorted(factors, reverse=True))
