"""Open-vocabulary word vectors from hashed lexical features, as in spaCy."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from textzoo.modules.embeddings.rows import check_sizes
from textzoo.modules.parameters import DtypeName, as_dtype, layer_norm, linear, logical_axes
from textzoo.modules.partitioning import take_rows
from textzoo.modules.types import Hidden, TextBatch

_HASHES = 4  # words of a 128-bit hash


class MultiHashEmbedding(nnx.Module):
    """Four features, four rows of a small table for each, and a maxout layer.

    ``e_i = sum_{k=1..4} E_i[hash_k(f_i) mod n_i]`` for each feature ``f_i`` of a word (its norm,
    prefix, suffix and shape), then ``LN(max_p(W_p [e_1; ...; e_4] + b_p))`` (Miranda et al. 2022,
    "Multi hash embeddings in spaCy", arXiv 2212.09255; spaCy's ``MultiHashEmbed``, thinc's
    ``HashEmbed`` and ``Maxout``).

    It reads ``units [B, L, 4 N]``, four 32-bit hashes of each of N features, which a
    ``LexicalTokenizer`` makes: JAX has no 64-bit integers to make them of.

    Args:
        width: D, of the result and of the tables.
        num_rows: n_i, rows of each feature's table; a feature for each of them, in the order of the
            tokenizer. 2,000 to 10,000 are recommended; the paper's benchmark has 5,000, 2,500,
            2,500 and 2,500.
        num_pieces: p, linear maps whose maximum is taken.
        norm_eps: of the layer norm.
        dtype, param_dtype: computation and storage types.
        rngs: source of initial values.

    Notes:
        Rows are those of thinc: the hashes modulo the number of rows.

        spaCy drops out features of the tables and of the maxout layer, the same ones in the whole
        batch, at a rate of 0 unless told otherwise; there is none here. To add pretrained vectors,
        put this beside their table in a ``ConcatenateEmbedding`` with a ``width``: in spaCy they
        enter before the maxout layer.

        It cannot score its vocabulary, which is open: there is no ``attend``.

    Example:
        >>> from flax import nnx
        >>> make = lambda: MultiHashEmbedding(96, rngs=nnx.Rngs(0))
        >>> embedding = nnx.eval_shape(make)  # Its shapes alone.
        >>> [table.shape for table in embedding.tables]
        [(5000, 96), (2500, 96), (2500, 96), (2500, 96)]
    """

    def __init__(
        self, width: int, *, num_rows: Sequence[int] = (5000, 2500, 2500, 2500),
        num_pieces: int = 3, norm_eps: float = 1e-8,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        check_sizes(width=width, num_pieces=num_pieces)
        if isinstance(num_rows, (int, str)) or not num_rows:
            raise ValueError(f"num_rows={num_rows!r}; give one number for each feature")
        for rows in num_rows:
            check_sizes(num_rows=rows)
        self.width = width
        self.num_units = _HASHES * len(num_rows)
        self.num_pieces = num_pieces
        self.dtype = as_dtype(dtype)
        uniform = nnx.initializers.uniform(0.2)
        self.tables = nnx.List(
            nnx.Param(
                uniform(rngs.params(), (rows, width), as_dtype(param_dtype)) - 0.1,
                **logical_axes("vocab", "embed"),
            )
            for rows in num_rows
        )
        features = len(num_rows) * width
        self.maxout = linear(
            features, (num_pieces, width), axes=("embed", None, None), use_bias=True,
            stddev=(2 / (features + num_pieces * width)) ** 0.5, dtype=dtype,
            param_dtype=param_dtype, rngs=rngs,
        )  # fmt: skip
        self.norm = layer_norm(
            width, epsilon=norm_eps, use_bias=True, dtype=dtype, param_dtype=param_dtype, rngs=rngs
        )

    def __call__(self, batch: TextBatch) -> Hidden:
        """Embeds every word by its features.

        Raises:
            ValueError: the batch has no units, or not four for every feature.
        """
        wanted = self.num_units
        if batch.units is None or batch.units.shape[-1] != wanted:
            found = "no units" if batch.units is None else f"{batch.units.shape[-1]} units a word"
            raise ValueError(
                f"the batch has {found}, and MultiHashEmbedding reads {wanted}, {_HASHES} for each "
                f"of {len(self.tables)} features; tokenize with a LexicalTokenizer"
            )
        # The sign of an integer is the first bit of a hash.
        hashes = jax.lax.bitcast_convert_type(jnp.asarray(batch.units, jnp.int32), jnp.uint32)
        embedded = []
        for index, table in enumerate(self.tables):
            own = hashes[..., _HASHES * index : _HASHES * (index + 1)]
            rows = (own % jnp.uint32(table.shape[0])).astype(jnp.int32)
            taken = take_rows(table[...], rows)
            embedded.append(taken.astype(self.dtype or taken.dtype).sum(axis=-2))
        pieces = self.maxout(jnp.concatenate(embedded, axis=-1))  # [B, L, P, D]
        return batch.with_states(self.norm(pieces.max(axis=-2)))
