"""One group of convolutions, applied again and again until four states of a text are left."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from textzoo.modules.convolution import Convolution
from textzoo.modules.dropout import Dropout
from textzoo.modules.functional import normalized
from textzoo.modules.parameters import DtypeName, as_dtype, logical_axes
from textzoo.modules.partitioning import keep_rows_apart
from textzoo.modules.rematerialization import check_remat, run_layer
from textzoo.modules.types import Hidden

NORMS = ("layer", "affine", "none")
POSITIONS = 4
"""States that are left of a text."""


class ResidualConvolution(nnx.Module):
    """``y = relu(N(conv(relu(N(conv(x))))) + x)`` with three taps and no biases.

    Args:
        width: D.
        num_norms: sets of scales and shifts of the two N, one for each recursion or one for all.
        norm: ``"layer"``, ``"affine"`` (scale and shift alone) or ``"none"``.
        dropout: rate on the input.
        dtype, param_dtype: computation and storage types.
        rngs: source of initial values.
    """

    def __init__(
        self, width: int, *, num_norms: int, norm: str, dropout: float,
        dtype: DtypeName, param_dtype: str, rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        make = functools.partial(
            Convolution, width, width, use_bias=False, dtype=dtype, param_dtype=param_dtype,
            rngs=rngs,
        )  # fmt: skip
        self.first, self.second = make(), make()
        self.norm = norm
        shape, storage = (num_norms, 2, width), as_dtype(param_dtype)
        if norm == "none":
            self.scale = self.shift = nnx.data(None)
        else:
            self.scale = nnx.Param(jnp.ones(shape, storage), **logical_axes(None, None, None))
            self.shift = nnx.Param(jnp.zeros(shape, storage), **logical_axes(None, None, None))
        self.dropout = Dropout(dropout, deterministic=True)

    def __call__(
        self, x: Float[Array, "B L D"], mask: Bool[Array, "B L"], *, step: int = 0,
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "B L D"]:  # fmt: skip
        """Returns the new states; ``step`` counts the recursions."""
        x = self.dropout(x, rngs=rngs)
        y = self._normalize(self.first(x, mask), step, 0)
        y = self._normalize(self.second(jax.nn.relu(y), mask), step, 1)
        return jax.nn.relu(y + x)

    def _normalize(self, x: Array, step: int, place: int) -> Array:
        if self.scale is None or self.shift is None:
            return x
        row = min(step, self.scale.shape[0] - 1)
        y = normalized(x) if self.norm == "layer" else x.astype(jnp.float32)
        return (y * self.scale[row, place] + self.shift[row, place]).astype(x.dtype)


class RecursiveConvolution(nnx.Module):
    """Residual convolutions, then a group of them and a maximum over pairs, until four are left.

    ``x = prefix(x)``, then ``x = maxpool_2(group(x))`` as often as a text of n tokens needs to
    come down to four states: ``r = max(0, ceil(log2 n) - 2)`` times, always with the same weights.
    So a text of any length becomes four states, in a depth that grows with the logarithm of n.
    ``FlattenPooling(4)`` puts them side by side.

    Reference: Malik, Lancucki and Chorowski 2018, "Efficient Purely Convolutional Text Encoding",
    arXiv 1808.01160, and its code.

    Args:
        width: D.
        num_layers: residual blocks of two convolutions, so many in the prefix and so many in the
            group; half of the paper's n.
        norm: behind each convolution. ``"layer"``: a layer norm. ``"affine"``: a scale and a shift
            for each feature; that is what a trained batch norm, the reference's choice, amounts to
            when it is used. ``"none"``.
        separate_norms: whether each recursion has scales and shifts of its own.
        max_length: longest text, in tokens; only ``separate_norms`` need one.
        dropout: rate on the input of every block.
        dtype, param_dtype: computation and storage types.
        rngs: source of initial values.

    Notes:
        A text is padded to a power of two. In the reference, what convolutions and batch norms
        make of padding takes part from then on, and a text depends on its batch; here padding is
        zero at every convolution, so that only texts of 4, 8, 16, ... tokens are the same in both.
        Statistics of batches are not taken in training, either. The length of a text counts up
        to its last real token.
    """

    def __init__(
        self, width: int, *, num_layers: int = 4, norm: str = "layer",
        separate_norms: bool = False, max_length: int | None = None, dropout: float = 0.0,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        if norm not in NORMS:
            raise ValueError(f"norm={norm!r} is unknown; use one of {', '.join(NORMS)}")
        if width < 1 or num_layers < 1:
            raise ValueError(f"width={width}, num_layers={num_layers}; use 1 or more of both")
        if separate_norms and (max_length is None or max_length < 1):
            raise ValueError(
                f"separate_norms=True with max_length={max_length}; give the longest text in "
                "tokens, e.g. max_length=512"
            )
        self.width = width
        self.max_length = max_length if separate_norms else None
        recursions = _recursions(max_length) if separate_norms and max_length else 1

        def make_blocks(num_norms: int) -> nnx.List:
            return nnx.List([
                ResidualConvolution(
                    width, num_norms=num_norms, norm=norm, dropout=dropout, dtype=dtype,
                    param_dtype=param_dtype, rngs=rngs,
                )
                for _ in range(num_layers)
            ])  # fmt: skip

        self.prefix = make_blocks(1)
        self.group = make_blocks(max(1, recursions))
        self.remat = "none"

    def __call__(
        self,
        hidden: Hidden,
        *,
        return_layers: bool = False,
        return_attention_diagonal: bool = False,
        rngs: nnx.Rngs | None = None,
    ) -> Hidden:
        """Returns four states for each text; the mask says how many of them a text needs.

        Args:
            hidden: what the embedding returned.
            return_layers: refused; each recursion has another length.
            return_attention_diagonal: refused; there is no attention.
            rngs: for dropout.

        Raises:
            ValueError: the states have another width, texts are longer than ``max_length``, or
                rows are packed.
        """
        self._check(hidden, return_layers, return_attention_diagonal)
        steps = _recursions(hidden.mask.shape[1])
        extra = POSITIONS * 2**steps - hidden.mask.shape[1]
        x = jnp.pad(hidden.states, ((0, 0), (0, extra), (0, 0)))
        mask = jnp.pad(hidden.mask, ((0, 0), (0, extra)))
        lengths = jnp.where(mask, jnp.arange(1, mask.shape[1] + 1), 0).max(axis=1)
        x = self._run(self.prefix, keep_rows_apart(x), mask, 0, rngs)
        states, real = x[:, :POSITIONS], mask[:, :POSITIONS]
        for step in range(steps):
            with jax.named_scope(f"recursion_{step}"):
                x = self._run(self.group, x, mask, step, rngs)
                # Results are not negative, so padding's zero does not win over anything.
                x = jnp.where(mask[..., None], x, 0)
                # The slope of a reduction compares with its result, which may have been computed
                # again and be another number in its last digit; that of a maximum of two does not.
                pairs = x.reshape(x.shape[0], -1, 2, self.width)
                x = keep_rows_apart(jnp.maximum(pairs[:, :, 0], pairs[:, :, 1]))
                mask = mask.reshape(mask.shape[0], -1, 2).any(axis=2)
            needed = (lengths > POSITIONS * 2**step)[:, None]
            states = jnp.where(needed[..., None], x[:, :POSITIONS], states)
            real = jnp.where(needed, mask[:, :POSITIONS], real)
        return Hidden(states=jnp.where(real[..., None], states, 0), mask=real)

    def set_view(self, remat: str | None = None) -> None:
        """Called by ``nnx.view``: what a backward pass keeps of every block.

        Args:
            remat: see :data:`textzoo.modules.rematerialization.REMAT`.
        """
        if remat is not None:
            self.remat = check_remat(remat)

    def _run(self, blocks: Any, x: Array, mask: Array, step: int, rngs: nnx.Rngs | None) -> Array:
        for block in blocks:
            run = functools.partial(block, step=step)
            x = keep_rows_apart(run_layer(run, x, remat=self.remat, rngs=rngs, mask=mask))
        return x

    def _check(self, hidden: Hidden, return_layers: bool, return_diagonal: bool) -> None:
        if return_diagonal:
            raise ValueError("RecursiveConvolution has no attention; use a TransformerEncoder")
        if return_layers:
            raise ValueError(
                "RecursiveConvolution halves a text again and again, and has no layers of one "
                "length; use a pooling of the last states, such as FlattenPooling"
            )
        if hidden.segment_ids is not None:
            raise ValueError(
                "RecursiveConvolution makes four states of a row, and these rows hold several "
                "texts; give it one text to a row"
            )
        if hidden.states.shape[-1] != self.width:
            raise ValueError(
                f"states are {hidden.states.shape[-1]} wide, the encoder {self.width}; give the "
                f"embedding width={self.width}"
            )
        length = hidden.mask.shape[1]
        if self.max_length is not None and length > self.max_length:
            raise ValueError(
                f"the batch is {length} tokens long, the encoder takes at most "
                f"{self.max_length}; truncate, or build it with max_length={length}"
            )


def _recursions(length: int) -> int:
    """How often the longest text is halved: ``max(0, ceil(log2 length) - 2)``."""
    return max(0, (length - 1).bit_length() - 2)
