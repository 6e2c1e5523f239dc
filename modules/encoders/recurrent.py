"""Recurrent networks: LSTM and GRU, in one direction or both."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from textzoo.modules.dropout import Dropout
from textzoo.modules.parameters import (
    DtypeName,
    as_dtype,
    linear,
    logical_axes,
    truncated_normal,
)
from textzoo.modules.partitioning import keep_rows_apart, whole_parameter
from textzoo.modules.rematerialization import check_remat, run_layer
from textzoo.modules.types import Hidden
from textzoo.modules.wave import run_starts

CELLS = {"lstm": 4, "gru": 3}
"""Kinds of cells, and how many maps of width H each has: i, f, g, o, or r, z, n."""


class RecurrentLayer(nnx.Module):
    """One layer; with two directions, both take their steps in one scan.

    LSTM (Hochreiter and Schmidhuber 1997, with forget gates), ``a = x W + h U + b``::

        c' = sigmoid(a_f) c + sigmoid(a_i) tanh(a_g);  h' = sigmoid(a_o) tanh(c')

    GRU (Cho et al. 2014, as cuDNN and torch compute it)::

        r, z = sigmoid(x W + h U + b);  n = tanh(x W_n + b_n + r (h U_n + b'))
        h' = (1 - z) n + z h

    Args:
        in_features: width of the input.
        hidden_dim: H, units of one direction.
        num_directions: 1 or 2; the second reads from right to left.
        cell: one of :data:`CELLS`; the gates of kernels and biases stand in the order above.
        unroll: steps of one turn of the scan.
        dropout: rate on the input.
        dtype, param_dtype: computation and storage types.
        rngs: source of initial values.
    """

    def __init__(
        self, in_features: int, hidden_dim: int, *, num_directions: int, cell: str, unroll: int,
        dropout: float, dtype: DtypeName, param_dtype: str, rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        gates, spread = CELLS[cell], (3 * hidden_dim) ** -0.5
        self.cell = cell
        self.unroll = unroll
        self.dropout = Dropout(dropout, deterministic=True)
        self.input_map = linear(
            in_features, (num_directions, gates, hidden_dim), axes=("embed", None, None, None),
            use_bias=True, stddev=spread, dtype=dtype, param_dtype=param_dtype, rngs=rngs,
        )  # fmt: skip
        shape, storage = (num_directions, hidden_dim, gates, hidden_dim), as_dtype(param_dtype)
        self.recurrent_kernel = nnx.Param(
            truncated_normal(spread)(rngs.params(), shape, storage),
            **logical_axes(None, "embed", None, None),
        )
        self.candidate_bias = (
            nnx.Param(jnp.zeros((num_directions, hidden_dim), storage), **logical_axes(None, None))
            if cell == "gru"
            else None
        )

    def __call__(
        self,
        x: Float[Array, "B L D"],
        mask: Bool[Array, "B L"],
        starts: Bool[Array, "B L"] | None = None,
        *,
        initial: Float[Array, "N B H"] | None = None,
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "B L E"]:
        """Reads every text; the states of the directions stand side by side.

        Args:
            x: input vectors.
            mask: where it is off, states stay as they were, and zero is returned.
            starts: where a text begins in a packed row; ``None``: a row is one text.
            initial: states of the directions before the first token of a row; ``None``: zero.
            rngs: for dropout.
        """
        x = self.dropout(x, rngs=rngs)
        maps = self.input_map(x).transpose(1, 2, 0, 3, 4)  # [L, directions, B, gates, H]
        directions = maps.shape[1]
        kept = jnp.stack([mask.T, mask.T[::-1]][:directions], axis=1)
        if directions == 2:
            maps = jnp.stack([maps[:, 0], maps[::-1, 1]], axis=1)
        fresh = None if starts is None else _starts_by_direction(starts, directions)
        kernel = whole_parameter(self.recurrent_kernel[...]).astype(maps.dtype)
        bias = None if self.candidate_bias is None else self.candidate_bias[...][:, None]

        def step(carry: tuple[Array, ...], inputs: tuple[Array, ...]) -> tuple[Any, Array]:
            if fresh is not None:
                carry = tuple(jnp.where(inputs[2][..., None], 0, value) for value in carry)
            product = jnp.einsum("nbh,nhgf->nbgf", carry[0].astype(kernel.dtype), kernel)
            new = _CELLS[self.cell](inputs[0], product, carry, bias)
            on = inputs[1][..., None]
            new = tuple(jnp.where(on, n, old) for n, old in zip(new, carry, strict=True))
            return new, jnp.where(on, new[0], 0).astype(maps.dtype)

        zero = jnp.zeros((directions, x.shape[0], maps.shape[-1]), jnp.float32)
        before = zero if initial is None else initial.astype(jnp.float32)
        carry = (before, zero) if self.cell == "lstm" else (before,)
        inputs = (maps, kept) if fresh is None else (maps, kept, fresh)
        _, states = jax.lax.scan(step, carry, inputs, unroll=self.unroll)
        sides = [states[:, 0], states[::-1, 1]] if directions == 2 else [states[:, 0]]
        return jnp.swapaxes(jnp.concatenate(sides, axis=-1), 0, 1)


class RecurrentEncoder(nnx.Module):
    """A stack of LSTM or GRU layers; InferSent's BiLSTM and BiGRU are single layers of it.

    With two directions, the first D/2 features of a state know the text up to their token, the
    others the text from it on. Padding is skipped, wherever it stands, and its states are zero;
    in packed rows, every text begins with empty states.

    Reference: Conneau et al. 2017, "Supervised Learning of Universal Sentence Representations
    from Natural Language Inference Data" (InferSent), section 3.2; torch's ``nn.LSTM`` and
    ``nn.GRU`` over packed sequences give the same states.

    Args:
        width: D, of the states it returns; both directions together.
        embed_dim: width of the incoming states; ``None``: D.
        num_layers: N.
        cell: ``"lstm"`` or ``"gru"``.
        is_bidirectional: whether a second half of D/2 units reads from right to left. Each layer
            reads what both halves of the one below returned.
        dropout: rate on the output of every layer but the last, as in torch.
        unroll: steps of one turn of the loop: more compile longer, and run faster on accelerators.
        dtype, param_dtype: computation and storage types; what is carried from step to step is
            float32 in any case.
        rngs: source of initial values.

    Notes:
        torch adds two biases where one does; only the GRU's second one, inside of the reset gate,
        makes a difference, and exists here. Initial kernels are normal with the variance of
        torch's uniform ones, ``1 / (3 H)``; initial biases are zero.
    """

    def __init__(
        self, width: int, *, embed_dim: int | None = None, num_layers: int = 1,
        cell: str = "lstm", is_bidirectional: bool = True, dropout: float = 0.0, unroll: int = 1,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        if cell not in CELLS:
            raise ValueError(f"cell={cell!r} is unknown; use one of {', '.join(CELLS)}")
        for name, size in (("width", width), ("num_layers", num_layers), ("unroll", unroll)):
            if size < 1:
                raise ValueError(f"{name}={size}; use 1 or more")
        if is_bidirectional and width % 2:
            raise ValueError(
                f"width={width} cannot be halved for two directions; use an even one, e.g. "
                f"width={width + 1}, or is_bidirectional=False"
            )
        self.width = width
        self.embed_dim = embed_dim or width
        directions = 2 if is_bidirectional else 1
        self.layers = nnx.List([
            RecurrentLayer(
                self.embed_dim if index == 0 else width, width // directions,
                num_directions=directions, cell=cell, unroll=unroll,
                dropout=dropout if index else 0.0, dtype=dtype, param_dtype=param_dtype,
                rngs=rngs,
            )
            for index in range(num_layers)
        ])  # fmt: skip
        self.remat = "none"

    def __call__(
        self,
        hidden: Hidden,
        *,
        return_layers: bool = False,
        return_attention_diagonal: bool = False,
        rngs: nnx.Rngs | None = None,
    ) -> Hidden:
        """Reads every text.

        Args:
            hidden: what the embedding returned.
            return_layers: also return the input and the output of every layer; refused where the
                input has another width.
            return_attention_diagonal: refused; there is no attention.
            rngs: for dropout.

        Raises:
            ValueError: the states have another width than ``embed_dim``.
        """
        if return_attention_diagonal:
            raise ValueError("RecurrentEncoder has no attention; use a TransformerEncoder")
        if hidden.states.shape[-1] != self.embed_dim:
            raise ValueError(
                f"states are {hidden.states.shape[-1]} wide, the encoder reads {self.embed_dim}; "
                f"give the embedding width={self.embed_dim}"
            )
        if return_layers and self.embed_dim != self.width:
            raise ValueError(
                f"layers of width {self.embed_dim} and {self.width} cannot be returned together; "
                "leave embed_dim out, or use a pooling of the last states"
            )
        starts = run_starts(hidden.segment_ids)
        x = keep_rows_apart(hidden.states)
        layers = [x]
        for index, layer in enumerate(self.layers):
            with jax.named_scope(f"layer_{index}"):
                x = run_layer(
                    layer, x, remat=self.remat, rngs=rngs, mask=hidden.mask, starts=starts
                )
            x = keep_rows_apart(x)
            layers.append(x)
        return hidden.replace(states=x, layers=tuple(layers) if return_layers else None)

    def set_view(self, remat: str | None = None) -> None:
        """Called by ``nnx.view``: what a backward pass keeps of every layer.

        Args:
            remat: see :data:`textzoo.modules.rematerialization.REMAT`.
        """
        if remat is not None:
            self.remat = check_remat(remat)


def _starts_by_direction(starts: Bool[Array, "B L"], directions: int) -> Bool[Array, "L N B"]:
    """Where states become empty: from the right, a text begins where its last token stands."""
    ends = jnp.roll(starts, -1, axis=1).at[:, -1].set(True)
    return jnp.stack([starts.T, ends.T[::-1]][:directions], axis=1)


def _lstm(
    maps: Array, product: Array, carry: tuple[Array, ...], bias: Array | None
) -> tuple[Array, ...]:
    gates = maps.astype(jnp.float32) + product.astype(jnp.float32)
    i, f, g, o = (gates[:, :, index] for index in range(4))
    c = jax.nn.sigmoid(f) * carry[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def _gru(
    maps: Array, product: Array, carry: tuple[Array, ...], bias: Array | None
) -> tuple[Array, ...]:
    maps, product = maps.astype(jnp.float32), product.astype(jnp.float32)
    r, z = (jax.nn.sigmoid(maps[:, :, index] + product[:, :, index]) for index in range(2))
    inner = product[:, :, 2] if bias is None else product[:, :, 2] + bias.astype(jnp.float32)
    n = jnp.tanh(maps[:, :, 2] + r * inner)
    return ((1 - z) * n + z * carry[0],)


_CELLS: dict[str, Callable[..., tuple[Array, ...]]] = {"lstm": _lstm, "gru": _gru}
