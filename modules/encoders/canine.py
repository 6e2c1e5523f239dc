"""CANINE's encoder: characters into fewer molecules, a deep stack over these, and back."""

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from textzoo.modules.dropout import Dropout
from textzoo.modules.encoders.transformer import TransformerLayer, states_of
from textzoo.modules.functional import activation as get_activation
from textzoo.modules.parameters import (
    DtypeName,
    as_dtype,
    layer_norm,
    logical_axes,
    truncated_normal,
)
from textzoo.modules.partitioning import keep_rows_apart, take_rows, whole_parameter
from textzoo.modules.rematerialization import check_remat, run_layer
from textzoo.modules.types import Hidden
from textzoo.modules.windows import cut_windows


class CanineEncoder(nnx.Module):
    """Local attention, a strided convolution, a deep transformer, and the way back to characters.

    CANINE (Clark et al. 2022, "CANINE: Pre-training an Efficient Tokenization-Free Encoder for
    Language Representation", TACL, section 3). With ``x = LN(embedding + positions + types)``:

    - ``c = local(x)``: one transformer layer within windows that do not overlap;
    - ``m_j = f(M [c_{rj}; ...; c_{rj + r - 1}] + b)``: r characters are a molecule;
    - ``d = deep(LN([c_0; m_0; m_1; ...]))``: N transformer layers, over ``[CLS]`` and molecules;
    - ``y_i = LN(f(conv([c_i; d_{1 + i // r}])))``, and ``h = final(y)``: one layer more, over
      all characters.

    Args:
        width: D.
        num_layers: N.
        num_heads: H.
        hidden_dim: F.
        max_length: longest text, in characters: rows of the table of positions.
        num_types: rows of the token type table, 0 for none.
        local_window: characters of a window.
        downsample: r.
        kernel_size: W, taps of the convolution on the way back: ``(W - 1) // 2`` before a
            character, the character, and the rest behind it.
        upsample: whether there is a way back. Without it, states are those of ``[CLS]`` and of
            molecules, and the parameters of the way back are missing.
        norm_eps: of all layer norms.
        activation: f, also in the layers.
        dropout, attention_dropout: rates, used when the model is not deterministic.
        dtype, param_dtype: computation and storage types.
        rngs: source of initial values.

    Notes:
        Equal to transformers' ``CanineModel`` for texts that are padded by 2 r + W characters or
        more, which published models have always seen: there, rows have 2,048. Characters of
        padding take part in the last molecule and in the convolution. Here they are made as they
        are needed, so that it makes no difference how many a batch has: what stands there is
        ``padding_vector`` (with its position), which in the published models is the embedding of
        code point 0. As in the reference, the last molecule with a real character is seen by no
        other: its mask is that of the one before.

        Different from the reference: without enough padding, it leaves out the last molecule, and
        characters that do not fill one; and a character of padding in a window of nothing else
        attends to the whole window there, to nothing here. With the published sizes, that matters
        to texts whose length is a multiple of 128, or one less.

    Example:
        >>> from flax import nnx
        >>> sizes = dict(num_layers=1, num_heads=2, hidden_dim=32, max_length=64, upsample=False)
        >>> encoder = nnx.eval_shape(lambda: CanineEncoder(16, **sizes, rngs=nnx.Rngs(0)))
        >>> hidden = Hidden(states=jnp.zeros((1, 10, 16)), mask=jnp.ones((1, 10), bool))
        >>> nnx.eval_shape(lambda encoder: encoder(hidden), encoder).states.shape  # [CLS], and 3
        (1, 4, 16)
    """

    def __init__(
        self, width: int, *, num_layers: int, num_heads: int, hidden_dim: int,
        max_length: int = 16_384, num_types: int = 16, local_window: int = 128,
        downsample: int = 4, kernel_size: int = 4, upsample: bool = True,
        norm_eps: float = 1e-12, activation: str = "gelu",
        dropout: float = 0.0, attention_dropout: float = 0.0,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        for name, size in (
            ("num_layers", num_layers), ("max_length", max_length), ("downsample", downsample),
            ("kernel_size", kernel_size), ("local_window", local_window),
        ):  # fmt: skip
            if size < 1:
                raise ValueError(f"{name}={size}; use 1 or more")
        self.width = width
        self.max_length = max_length
        self.local_window = local_window
        self.downsample = downsample
        self.upsample = upsample
        self.remat = "none"
        storage = as_dtype(param_dtype)
        table = truncated_normal(0.02)

        def make_table(rows: int) -> nnx.Param:
            values = table(rngs.params(), (rows, width), storage)
            return nnx.Param(values, **logical_axes(None, "embed"))

        make_norm = functools.partial(
            layer_norm, width, epsilon=norm_eps, use_bias=True, dtype=dtype,
            param_dtype=param_dtype, rngs=rngs,
        )  # fmt: skip
        make_layer = functools.partial(
            TransformerLayer, width, num_heads=num_heads, hidden_dim=hidden_dim,
            norm_eps=norm_eps, activation=activation, dropout=dropout,
            attention_dropout=attention_dropout, dtype=dtype, param_dtype=param_dtype, rngs=rngs,
        )  # fmt: skip
        make_map = functools.partial(
            StridedConvolution, width=width, activation=activation, dtype=dtype,
            param_dtype=param_dtype, rngs=rngs,
        )  # fmt: skip
        self.padding_vector = nnx.Param(
            table(rngs.params(), (width,), storage), **logical_axes(None)
        )
        self.position_table = make_table(max_length)
        self.type_table = make_table(num_types) if num_types else None
        self.input_norm = make_norm()
        self.local_layer = make_layer()
        self.molecules = make_map(in_features=width, kernel_size=downsample, stride=downsample)
        self.molecule_norm = make_norm()
        self.layers = nnx.List([make_layer() for _ in range(num_layers)])
        self.projection = (
            make_map(in_features=2 * width, kernel_size=kernel_size, stride=1) if upsample else None
        )
        self.projection_norm = make_norm() if upsample else None
        self.final_layer = make_layer() if upsample else None
        self.dropout = Dropout(dropout, deterministic=True)

    def __call__(
        self,
        hidden: Hidden,
        *,
        return_layers: bool = False,
        return_attention_diagonal: bool = False,
        rngs: nnx.Rngs | None = None,
    ) -> Hidden:
        """Relates the characters of each text to one another.

        Args:
            hidden: what the embedding returned.
            return_layers: refused; layers have different lengths.
            return_attention_diagonal: refused for the same reason.
            rngs: for dropout.

        Raises:
            ValueError: the batch is longer than ``max_length``, rows are packed, or bring
                positions.
        """
        self._check(hidden, return_layers or return_attention_diagonal)
        length, mask = hidden.mask.shape[1], hidden.mask
        ahead = 0 if self.projection is None else self.projection.behind
        count = -(-(length + ahead) // self.downsample)
        extra = count * self.downsample - length
        padded = jnp.pad(mask, ((0, 0), (0, extra)))
        characters = self._characters(hidden, padded, extra, rngs)

        # Entry j of this is of the molecule that begins at character j r, and masks that of the
        # molecule before, as [CLS] is the first.
        real = padded.reshape(len(mask), count, -1).any(axis=-1)
        x = self.molecules(characters)
        x = jnp.concatenate([characters[:, :1], x.astype(characters.dtype)], axis=1)
        x = keep_rows_apart(self.molecule_norm(x))
        seen = jnp.pad(real, ((0, 0), (0, 1)))[:, None, None]
        for index, layer in enumerate(self.layers):
            with jax.named_scope(f"layer_{index}"):
                x = keep_rows_apart(self._run(layer, x, seen, rngs))
        if self.projection is None:
            own = jnp.concatenate([mask.any(axis=1, keepdims=True), real], axis=1)
            return Hidden(states=x, mask=own)

        repeated = jnp.repeat(x[:, 1:], self.downsample, axis=1)
        y = self.projection(jnp.concatenate([characters, repeated], axis=-1))[:, :length]
        assert self.projection_norm is not None and self.final_layer is not None
        y = self.dropout(self.projection_norm(y), rngs=rngs)
        y = self._run(self.final_layer, keep_rows_apart(y), mask[:, None, None], rngs)
        return hidden.replace(states=keep_rows_apart(y))

    def set_view(self, remat: str | None = None) -> None:
        """Called by ``nnx.view``: what a backward pass keeps of every layer.

        Args:
            remat: see :data:`textzoo.modules.rematerialization.REMAT`.
        """
        if remat is not None:
            self.remat = check_remat(remat)

    def _check(self, hidden: Hidden, asks_for_layers: bool) -> None:
        length = hidden.mask.shape[1]
        if asks_for_layers:
            raise ValueError(
                "layers of a CanineEncoder have different lengths, so they cannot be returned "
                "together; use a pooling of the last states, such as MeanPooling"
            )
        if length > self.max_length:
            raise ValueError(
                f"the batch is {length} characters long, the encoder takes at most "
                f"{self.max_length}; truncate, or build it with max_length={length}"
            )
        if hidden.segment_ids is not None or hidden.positions is not None:
            raise ValueError(
                "molecules are made of characters of one text, and this batch brings positions or "
                "holds several texts to a row; give it one text to a row, without positions"
            )

    def _characters(
        self, hidden: Hidden, mask: Bool[Array, "B M"], extra: int, rngs: nnx.Rngs | None
    ) -> Float[Array, "B M D"]:
        """``c``, of the characters of a batch and of some padding behind them."""
        x = jnp.pad(hidden.states, ((0, 0), (0, extra), (0, 0)))
        x = jnp.where(mask[..., None], x, self.padding_vector[...].astype(x.dtype))
        places = jnp.arange(mask.shape[1], dtype=jnp.int32)
        x = x + take_rows(self.position_table[...], places).astype(x.dtype)
        if self.type_table is not None:
            types = jnp.zeros((1, 1), jnp.int32)
            if hidden.type_ids is not None:
                types = jnp.pad(hidden.type_ids, ((0, 0), (0, extra))) * mask
            x = x + take_rows(self.type_table[...], types).astype(x.dtype)
        x = self.dropout(self.input_norm(x), rngs=rngs)
        window = min(self.local_window, mask.shape[1])
        in_windows = cut_windows(x, window, window).reshape(-1, window, x.shape[-1])
        allowed = cut_windows(mask, window, window).reshape(-1, 1, 1, window)
        with jax.named_scope("local_layer"):
            y = self._run(self.local_layer, keep_rows_apart(in_windows), allowed, rngs)
        return keep_rows_apart(y.reshape(len(x), -1, x.shape[-1])[:, : mask.shape[1]])

    def _run(
        self, layer: TransformerLayer, x: Array, allowed: Bool[Array, "B 1 1 M"],
        rngs: nnx.Rngs | None,
    ) -> Float[Array, "B M D"]:  # fmt: skip
        states = functools.partial(states_of, layer)
        return run_layer(states, x, remat=self.remat, rngs=rngs, allowed=allowed)


class StridedConvolution(nnx.Module):
    """``y_j = f(sum_k x_{s j + k - a} W_k + b)``, zero beyond the ends of the row.

    Args:
        in_features, width: of what comes and what goes.
        kernel_size: W, the number of taps.
        stride: s. With ``s = W``, rows are cut into pieces; with 1, a is ``(W - 1) // 2``.
        activation: f.
        dtype, param_dtype: computation and storage types.
        rngs: source of initial values.
    """

    def __init__(
        self, *, in_features: int, width: int, kernel_size: int, stride: int, activation: str,
        dtype: DtypeName, param_dtype: str, rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        self.stride = stride
        self.before = (kernel_size - 1) // 2 if stride == 1 else 0
        self.behind = kernel_size - 1 - self.before if stride == 1 else 0
        self.dtype = as_dtype(dtype)
        self._activation = get_activation(activation)
        shape, storage = (kernel_size, in_features, width), as_dtype(param_dtype)
        self.kernel = nnx.Param(
            truncated_normal(0.02)(rngs.params(), shape, storage),
            **logical_axes(None, "embed", None),
        )
        self.bias = nnx.Param(jnp.zeros(width, storage), **logical_axes(None))

    def __call__(self, x: Float[Array, "B L D"]) -> Float[Array, "B M E"]:
        """Convolves every row, padding included."""
        x = x.astype(self.dtype or x.dtype)
        y = jax.lax.conv_general_dilated(
            x, whole_parameter(self.kernel[...]).astype(x.dtype), window_strides=(self.stride,),
            padding=((self.before, self.behind),), dimension_numbers=("NWC", "WIO", "NWC"),
        )  # fmt: skip
        return self._activation(y + self.bias[...].astype(y.dtype))
