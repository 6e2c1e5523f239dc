"""A row in parts, each of which is one of a few codes."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, Integer

from textzoo.modules.embeddings.approximation import checked_rows, product_codes, put
from textzoo.modules.embeddings.hashed import mix
from textzoo.modules.embeddings.rows import ComputedRows, RowAssignment, check_sizes
from textzoo.modules.parameters import DtypeName, as_dtype, logical_axes, truncated_normal
from textzoo.modules.partitioning import take_rows
from textzoo.modules.types import AnyArray

_STEP = 0x9E3779B9  # as in hashed.py: multiples of it are far from each other


class ProductQuantizedEmbedding(ComputedRows):
    """``e(p) = [K_1[c_1(p)]; ...; K_N[c_N(p)]]``: each part of a row is one of C codes.

    Product quantization (Jegou et al. 2011): a token has a small whole number for each part,
    ``V N log2(C)`` bits in all, and the codes take ``C D`` numbers. :meth:`fit_rows` clusters the
    parts of another table. The codes are trained like any parameter; which ones a token has is
    fixed, or learned (``learn_codes``; DPQ: Chen et al. 2020, "Differentiable Product
    Quantization", the variant with distances): ``c_j(p) = argmin_i |q_j(p) - K_ji|^2`` for a
    query ``q(p)``, a row of a whole table that only training needs. The gradient of a part is
    that of its code, and of its query as well (straight through).

    Args:
        vocab_size: V, ids are below this.
        width: D.
        num_parts: N; D is a multiple of it.
        num_codes: C, codes of a part.
        learn_codes: whether the codes of tokens are learned. :meth:`compact` leaves the queries
            out when they are.
        dtype, param_dtype: computation and storage types.
        rngs: source of initial values.

    Notes:
        The codes of tokens are no parameters: ``parameters`` of a spec count ``C D``, and ``V D``
        more with queries. They are stored as bytes when there are at most 256 codes, and as 32-bit
        numbers otherwise, not in log2(C) bits.

        Codes that are fixed begin as hashes of the token's id, so that a model can be trained
        without another table; no two tokens are likely to have the same ones.

        DPQ moves codes by a term of its own in the loss, the squared distance of codes and queries,
        and normalizes distances over the batch. Here codes follow the loss directly, so that any
        objective trains them, and batches do not matter; :meth:`commitment` has the distance, for
        objectives that add it.

    Example:
        >>> from flax import nnx
        >>> embedding = ProductQuantizedEmbedding(30_522, 64, num_parts=8, rngs=nnx.Rngs(0))
        >>> embedding.codebooks.shape, embedding.assignment.shape
        ((8, 256, 8), (30522, 8))
    """

    def __init__(
        self, vocab_size: int, width: int, *, num_parts: int, num_codes: int = 256,
        learn_codes: bool = False,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        check_sizes(vocab_size=vocab_size, width=width, num_parts=num_parts, num_codes=num_codes)
        if width % num_parts:
            near = [n for n in range(1, width + 1) if width % n == 0]
            raise ValueError(
                f"width={width} has no {num_parts} equal parts; use num_parts="
                f"{min(near, key=lambda n: abs(n - num_parts))}"
            )
        self.vocab_size = vocab_size
        self.width = width
        self.num_parts = num_parts
        self.num_codes = num_codes
        self.dtype = as_dtype(dtype)
        storage = as_dtype(param_dtype)
        shape = (num_parts, num_codes, width // num_parts)
        self.codebooks = nnx.Param(
            truncated_normal(0.02)(rngs.params(), shape, storage), **logical_axes(None, None, None)
        )
        self.queries = (
            nnx.Param(
                truncated_normal(0.02)(rngs.params(), (vocab_size, width), storage),
                **logical_axes("vocab", "embed"),
            )
            if learn_codes
            else None
        )
        self.assignment = (
            None
            if learn_codes
            else RowAssignment(self._stored(self._hashes(jnp.arange(vocab_size))))
        )

    def codes(self, ids: Int[Array, "*B"]) -> Int[Array, "*B N"]:
        """The code of each part of each id."""
        if self.assignment is not None:
            return jnp.take(self.assignment[...], ids, axis=0, mode="clip").astype(jnp.int32)
        assert self.queries is not None
        return self._nearest(take_rows(self.queries[...], ids))

    def rows(self, ids: Int[Array, "*B"]) -> Float[Array, "*B D"]:
        """The codes of each id, side by side."""
        if self.queries is None:
            return self._joined(self.codes(ids))
        queries = take_rows(self.queries[...], ids)
        found = self._joined(self._nearest(queries))
        # Adds zero, whose slope is one.
        return found + (queries - jax.lax.stop_gradient(queries)).astype(found.dtype)

    def commitment(self, ids: Int[Array, "*B"]) -> Float[Array, "*B"]:
        """``|q(p) - e(p)|^2 / D`` of each id, float32; zero where codes are fixed."""
        if self.queries is None:
            return jnp.zeros(ids.shape, jnp.float32)
        queries = take_rows(self.queries[...], ids).astype(jnp.float32)
        codes = self._joined(self._nearest(queries)).astype(jnp.float32)
        return jnp.square(queries - codes).mean(axis=-1)

    def fit_rows(self, rows: Float[AnyArray, "V D"], *, seed: int = 0) -> None:
        """Makes the embedding give rows near to these: the parts of all rows are clustered.

        Args:
            rows: of another table, for every id; the queries, where codes are learned.
            seed: of k-means.
        """
        rows = checked_rows(self, rows)
        codebooks, codes = product_codes(rows, self.num_parts, self.num_codes, seed=seed)
        put(self.codebooks, codebooks)
        if self.queries is not None:
            put(self.queries, rows)
        if self.assignment is not None:
            self.assignment.set_value(self._stored(jnp.asarray(codes)))

    def assign(self, codes: Int[AnyArray, "V N"]) -> None:
        """Gives every token its codes.

        Args:
            codes: ``[V, N]``, each from 0 to C - 1.
        """
        if self.assignment is None:
            raise ValueError("the codes of tokens are learned; build learn_codes=False to set them")
        codes = np.asarray(codes)
        wanted = (self.vocab_size, self.num_parts)
        if codes.shape != wanted:
            raise ValueError(f"codes have shape {codes.shape}; expected [V, N] = {wanted}")
        if codes.min() < 0 or codes.max() >= self.num_codes:
            raise ValueError(
                f"codes go from {codes.min()} to {codes.max()}; use 0 to {self.num_codes - 1}"
            )
        self.assignment.set_value(self._stored(jnp.asarray(codes)))

    def compact(self) -> "ProductQuantizedEmbedding":
        """The same vectors with fixed codes, and without queries."""
        fixed = ProductQuantizedEmbedding(
            self.vocab_size, self.width, num_parts=self.num_parts, num_codes=self.num_codes,
            dtype=None if self.dtype is None else self.dtype.name,
            param_dtype=self.codebooks.dtype.name, rngs=nnx.Rngs(0),
        )  # fmt: skip
        fixed.codebooks.set_value(self.codebooks[...])
        fixed.assign(np.asarray(self.codes(jnp.arange(self.vocab_size, dtype=jnp.int32))))
        return fixed

    def _joined(self, codes: Int[Array, "*B N"]) -> Float[Array, "*B D"]:
        parts = self.codebooks[...][jnp.arange(self.num_parts), codes]
        return parts.reshape(*codes.shape[:-1], self.width).astype(self.dtype or parts.dtype)

    def _nearest(self, queries: Float[Array, "*B D"]) -> Int[Array, "*B N"]:
        """Codes that are nearest to queries, one part after the other: they fill less memory."""
        parts = queries.astype(jnp.float32).reshape(-1, self.num_parts, queries.shape[-1] //
                                                    self.num_parts)  # fmt: skip
        parts, books = jax.lax.stop_gradient(
            (jnp.moveaxis(parts, 1, 0), self.codebooks[...].astype(jnp.float32))
        )

        def nearest(part: tuple[Array, Array]) -> Array:
            points, centers = part
            products = jnp.matmul(points, centers.T, precision=jax.lax.Precision.HIGHEST)
            return jnp.argmin(jnp.square(centers).sum(axis=1) - 2 * products, axis=1)

        found = jax.lax.map(nearest, (parts, books))  # [N, *B]
        return found.T.reshape(*queries.shape[:-1], self.num_parts).astype(jnp.int32)

    def _hashes(self, ids: Int[Array, "*B"]) -> Integer[Array, "*B N"]:
        steps = jnp.arange(1, self.num_parts + 1, dtype=jnp.uint32) * jnp.uint32(_STEP)
        return mix(ids.astype(jnp.uint32)[..., None] + steps) % jnp.uint32(self.num_codes)

    def _stored(self, codes: Integer[Array, "V N"]) -> Integer[Array, "V N"]:
        return codes.astype(jnp.uint8 if self.num_codes <= 256 else jnp.int32)
