"""Gradient-based subword tokenization: soft mixtures of blocks of bytes, and fewer of them."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from textzoo.modules.convolution import Convolution
from textzoo.modules.embeddings.rows import check_sizes
from textzoo.modules.parameters import (
    DtypeName,
    as_dtype,
    linear,
    logical_axes,
    truncated_normal,
)
from textzoo.modules.partitioning import keep_rows_apart, take_rows, whole_parameter
from textzoo.modules.types import Hidden, TextBatch

CONVOLUTIONS = ("full", "depthwise", "none")


class GBSTEmbedding(nnx.Module):
    """Bytes into a sequence that is shorter: at each position a mixture of the blocks around it.

    Gradient-based subword tokenization, the first layers of Charformer (Tay et al. 2022,
    "Charformer: Fast Character Transformers via Gradient-based Subword Tokenization", section 2).
    ``X = conv(E[ids])``; for every block size b and offset o, the text is divided into blocks that
    begin at ``o, o + b, ...``, and ``X_b[i]`` is the mean of the block that position i is in. Then

    - scores ``p_b[i] = w_b . X_b[i]`` and ``P[i] = softmax_b(p[i])``;
    - calibrated scores, if wanted: ``P <- softmax_j(P P^T) P`` over the positions of a text;
    - ``Y[i] = sum_b P_b[i] X_b[i]``;
    - means of ``d`` positions at a time: L bytes become ``ceil(L / d)`` states.

    Args:
        vocab_size: V, ids are below this.
        width: D.
        block_sizes: of the blocks that are mixed.
        downsample: d.
        use_offsets: whether there are blocks of size b at every offset from 0 to b - 1, rather than
            at 0 alone.
        convolution: ``"full"``: from D to D features, centered, without a bias; ``"depthwise"``:
            along each feature, from a byte to those behind it, then a linear map; ``"none"``.
            Without one, the order of the bytes in a block makes no difference.
        kernel_size: taps of the convolution; odd for a full one.
        share_scores: one ``w`` for all sizes.
        calibrate: whether scores are calibrated, at a cost that grows with the square of L.
        dtype, param_dtype: computation and storage types.
        rngs: source of initial values.

    Raises:
        ValueError: rows are packed, or bring positions.

    Notes:
        Built from the paper and from a reading of two programs. Google's (mesh-tensorflow): full
        convolution with 5 taps, blocks of 1 to 4, a ``w_b`` for each, no calibration, d = 2 or 3;
        these are the defaults, with d = 2. ``lucidrains/charformer-pytorch``: depthwise convolution
        with as many taps as the largest block, one ``w``, calibration, d = 4. The tests compare
        with both readings.

        Google's program repeats the mean of a block along a new last axis and then reshapes, which
        seems to repeat features rather than positions; it shifts blocks with an offset in the
        direction that takes them away from their positions; and its calibration ends in one number
        to a position rather than a matrix. The paper's formulas are built here, as in the other
        program.

        Padding is nowhere read: means are of the bytes of a text, also in the last block, which
        both programs fill up with padding. A shared bias of the scores, as in the second program,
        has no effect behind a softmax, and is left out.

        States are no longer those of tokens, so there is no ``attend``, and vectors of tokens and
        spans are refused.

    Example:
        >>> from flax import nnx
        >>> make = lambda: GBSTEmbedding(384, 16, downsample=3, rngs=nnx.Rngs(0))
        >>> embedding = nnx.eval_shape(make)  # Its shapes alone.
        >>> batch = TextBatch(ids=jnp.ones((1, 10), int), mask=jnp.ones((1, 10), bool))
        >>> nnx.eval_shape(lambda embedding: embedding(batch), embedding).states.shape
        (1, 4, 16)
    """

    def __init__(
        self, vocab_size: int, width: int, *, block_sizes: Sequence[int] = (1, 2, 3, 4),
        downsample: int = 2, use_offsets: bool = False, convolution: str = "full",
        kernel_size: int = 5, share_scores: bool = False, calibrate: bool = False,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        check_sizes(vocab_size=vocab_size, width=width, downsample=downsample)
        if not block_sizes or len(set(block_sizes)) < len(block_sizes) or min(block_sizes) < 1:
            raise ValueError(
                f"block_sizes={tuple(block_sizes)}; use different sizes of 1 or more, such as "
                "(1, 2, 3, 4)"
            )
        if convolution not in CONVOLUTIONS:
            raise ValueError(
                f"convolution={convolution!r} is unknown; use one of {', '.join(CONVOLUTIONS)}"
            )
        self.vocab_size = vocab_size
        self.width = width
        self.downsample = downsample
        self.calibrate = calibrate
        self.dtype = as_dtype(dtype)
        self.blocks = tuple(
            (size, offset) for size in block_sizes for offset in range(size if use_offsets else 1)
        )
        storage = as_dtype(param_dtype)
        self.table = nnx.Param(
            truncated_normal(0.02)(rngs.params(), (vocab_size, width), storage),
            **logical_axes("vocab", "embed"),
        )
        self.convolution = (
            None
            if convolution == "none"
            else Convolution(
                width, width, kernel_size=kernel_size, use_bias=False, dtype=dtype,
                param_dtype=param_dtype, rngs=rngs,
            )
            if convolution == "full"
            else DepthwiseConvolution(
                width, kernel_size=kernel_size, dtype=dtype, param_dtype=param_dtype, rngs=rngs
            )
        )  # fmt: skip
        # As spread as those of a linear map of this width; there is one row to a block, or one.
        shape = (1 if share_scores else len(self.blocks), width)
        self.score_kernel = nnx.Param(
            truncated_normal(width**-0.5)(rngs.params(), shape, storage),
            **logical_axes(None, "embed"),
        )

    def __call__(self, batch: TextBatch) -> Hidden:
        """Embeds texts; ids outside the table are a bug of the caller and give NaN."""
        if batch.segment_ids is not None or batch.positions is not None:
            raise ValueError(
                "GBSTEmbedding makes one state of several tokens, and this batch brings positions "
                "or holds several texts to a row; give it one text to a row, without positions"
            )
        ids, mask = jnp.asarray(batch.ids), jnp.asarray(batch.mask)
        known = (ids >= 0) & (ids < self.vocab_size)
        x = take_rows(self.table[...], jnp.where(known, ids, 0))
        x = jnp.where(known[..., None], x, jnp.nan).astype(self.dtype or x.dtype)
        x = jnp.where(mask[..., None], x, 0)
        if self.convolution is not None:
            x = keep_rows_apart(self.convolution(x, mask))
        y = self.mixtures(x, mask)
        types = None
        if batch.type_ids is not None:
            types = jnp.asarray(batch.type_ids)[:, :: self.downsample]
        groups = _cut(mask, self.downsample)
        return Hidden(
            states=_block_means(y, mask, self.downsample).astype(x.dtype),
            mask=groups.any(axis=-1), type_ids=types,
        )  # fmt: skip

    def mixtures(self, x: Float[Array, "B L D"], mask: Bool[Array, "B L"]) -> Float[Array, "B L D"]:
        """``Y``: the mixture of blocks at every position; float32.

        Args:
            x: vectors of bytes.
            mask: True where a byte is real.
        """
        blocks = [_repeated(x, mask, size, offset) for size, offset in self.blocks]
        weights = self._weights(blocks, mask)
        return sum(
            (weights[..., index, None] * block for index, block in enumerate(blocks)),
            start=jnp.float32(0),
        )

    def _weights(
        self, blocks: list[Float[Array, "B L D"]], mask: Bool[Array, "B L"]
    ) -> Float[Array, "B L M"]:
        kernel = self.score_kernel[...].astype(jnp.float32)
        kernel = jnp.broadcast_to(kernel, (len(blocks), self.width))
        scores = [block @ row for block, row in zip(blocks, kernel, strict=True)]
        weights = jax.nn.softmax(jnp.stack(scores, axis=-1), axis=-1)
        if not self.calibrate:
            return weights
        similar = weights @ jnp.swapaxes(weights, 1, 2)
        similar = jnp.where(mask[:, None], similar, -1e30)
        return jax.nn.softmax(similar, axis=-1) @ weights


class DepthwiseConvolution(nnx.Module):
    """``y_t = W (sum_k x_{t + k} * kernel_k + b) + c``: from a token to those behind it.

    Args:
        width: D.
        kernel_size: number of taps.
        dtype, param_dtype: computation and storage types.
        rngs: source of initial values.
    """

    def __init__(
        self, width: int, *, kernel_size: int,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        check_sizes(kernel_size=kernel_size)
        shape, storage = (kernel_size, width), as_dtype(param_dtype)
        self.kernel = nnx.Param(
            truncated_normal((3 * kernel_size) ** -0.5)(rngs.params(), shape, storage),
            **logical_axes(None, None),
        )
        self.bias = nnx.Param(jnp.zeros(width, storage), **logical_axes(None))
        self.projection = linear(
            width, width, axes=("embed", None), use_bias=True, stddev=width**-0.5, dtype=dtype,
            param_dtype=param_dtype, rngs=rngs,
        )  # fmt: skip

    def __call__(self, x: Float[Array, "B L D"], mask: Bool[Array, "B L"]) -> Float[Array, "B L D"]:
        """Convolves the tokens under the mask."""
        x = jnp.where(mask[..., None], x, 0)
        kernel = whole_parameter(self.kernel[...]).astype(x.dtype)
        padded = jnp.pad(x, ((0, 0), (0, len(kernel) - 1), (0, 0)))
        y = self.bias[...].astype(x.dtype)
        for tap, row in enumerate(kernel):
            y = y + padded[:, tap : tap + x.shape[1]] * row
        return self.projection(y)


def _cut(x: Array, size: int, before: int = 0) -> Array:
    """Blocks ``[B, N, b, ...]`` of an array ``[B, L, ...]`` whose ends are filled up with zeros."""
    after = -(x.shape[1] + before) % size
    padded = jnp.pad(x, ((0, 0), (before, after), *((0, 0),) * (x.ndim - 2)))
    return padded.reshape(x.shape[0], -1, size, *x.shape[2:])


def _block_means(
    x: Float[Array, "B L D"], mask: Bool[Array, "B L"], size: int, before: int = 0
) -> Float[Array, "B N D"]:
    """The mean of the real tokens of each block, zero where there are none; float32."""
    real = _cut(mask, size, before).astype(jnp.float32)[..., None]
    total = (_cut(x, size, before).astype(jnp.float32) * real).sum(axis=2)
    return total / jnp.maximum(real.sum(axis=2), 1)


def _repeated(
    x: Float[Array, "B L D"], mask: Bool[Array, "B L"], size: int, offset: int
) -> Float[Array, "B L D"]:
    """For every position, the mean of the block that it is in."""
    before = (size - offset) % size
    means = _block_means(x, mask, size, before)
    return jnp.repeat(means, size, axis=1)[:, before : before + x.shape[1]]
