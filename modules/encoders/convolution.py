"""Stacks of convolutions: plain, dilated and gated."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from textzoo.modules.convolution import Convolution
from textzoo.modules.dropout import Dropout
from textzoo.modules.functional import activation as get_activation
from textzoo.modules.parameters import DtypeName, layer_norm, linear
from textzoo.modules.partitioning import keep_rows_apart
from textzoo.modules.rematerialization import check_remat, run_layer
from textzoo.modules.types import Hidden

NORMS = ("pre", "post", "none")


class ConvolutionLayer(nnx.Module):
    """``y = f(conv(x))``, or gated ``f(a) sigmoid(b)`` with ``a, b = conv(x)``; then the residual.

    Args:
        width: D.
        kernel_size, dilation: of the convolution.
        activation: f.
        gated: whether there is a gate.
        use_residual: add the result to the input.
        norm: ``"pre"``: of the input; ``"post"``: of the sum; ``"none"``.
        norm_eps: of the norm.
        use_bias: of the convolution.
        dropout: rate on the result.
        dtype, param_dtype: computation and storage types.
        rngs: source of initial values.
    """

    def __init__(
        self, width: int, *, kernel_size: int, dilation: int, activation: str, gated: bool,
        use_residual: bool, norm: str, norm_eps: float, use_bias: bool, dropout: float,
        dtype: DtypeName, param_dtype: str, rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        self.gated = gated
        self.use_residual = use_residual
        self.norm_place = norm
        self._activation = get_activation(activation)
        self.convolution = Convolution(
            width, 2 * width if gated else width, kernel_size=kernel_size, dilation=dilation,
            use_bias=use_bias, dtype=dtype, param_dtype=param_dtype, rngs=rngs,
        )  # fmt: skip
        self.norm = (
            None
            if norm == "none"
            else layer_norm(
                width, epsilon=norm_eps, use_bias=True, dtype=dtype, param_dtype=param_dtype,
                rngs=rngs,
            )
        )  # fmt: skip
        self.dropout = Dropout(dropout, deterministic=True)

    def __call__(
        self,
        x: Float[Array, "B L D"],
        mask: Bool[Array, "B L"],
        segment_ids: Int[Array, "B L"] | None = None,
        *,
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "B L D"]:
        """Returns the new states."""
        normed = self.norm(x) if self.norm is not None and self.norm_place == "pre" else x
        y = self.convolution(normed, mask, segment_ids)
        if self.gated:
            y, gate = jnp.split(y, 2, axis=-1)
            y = self._activation(y) * jax.nn.sigmoid(gate)
        else:
            y = self._activation(y)
        y = self.dropout(y, rngs=rngs)
        if self.use_residual:
            y = x + y
        return self.norm(y) if self.norm is not None and self.norm_place == "post" else y


class ConvolutionEncoder(nnx.Module):
    """A stack of convolutions along the text: each state sees a window of tokens around it.

    N layers of W taps with dilations d see ``1 + (W - 1) sum d`` tokens: with dilations that
    double from layer to layer, a number that grows exponentially with N (Kalchbrenner et al. 2016,
    "Neural Machine Translation in Linear Time", ByteNet). With ``gated=True`` and
    ``activation="identity"`` a layer is a gated linear unit (Dauphin et al. 2017, "Language
    Modeling with Gated Convolutional Networks"), with ``"tanh"`` WaveNet's unit; with
    ``use_residual=False`` and ``norm="none"`` the stack is InferSent's convolutional encoder.

    Args:
        width: D.
        num_layers: N.
        embed_dim: width of the incoming states when a linear map brings them to D; ``None``: they
            are D wide, and there is no map.
        kernel_size: W, odd.
        dilations: of the layers, in turns: ``(1,)`` for a plain stack, ``(1, 2, 4, 8)`` for one
            that doubles four times and starts again.
        activation: f, see :class:`ConvolutionLayer`.
        gated: whether results are multiplied with a gate.
        use_residual: whether a layer adds to its input.
        norm: ``"pre"``, ``"post"`` or ``"none"``.
        norm_eps: of all norms.
        use_final_norm: a norm after the stack.
        use_bias: of the convolutions.
        dropout: rate on the input and on each layer's result.
        dtype, param_dtype: computation and storage types.
        rngs: source of initial values.

    Notes:
        Padding is zero at the input of every layer, so it is nowhere seen; in packed rows, taps
        that would reach into another text find zero as well. The convolutional encoder of
        InferSent's code pads all texts of a batch to the longest and lets what its biases make of
        padding take part in the next layer.
    """

    def __init__(
        self, width: int, *, num_layers: int, embed_dim: int | None = None, kernel_size: int = 3,
        dilations: Sequence[int] = (1,), activation: str = "relu", gated: bool = False,
        use_residual: bool = True, norm: str = "pre", norm_eps: float = 1e-5,
        use_final_norm: bool = False, use_bias: bool = True, dropout: float = 0.0,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        if norm not in NORMS:
            raise ValueError(f"norm={norm!r} is unknown; use one of {', '.join(NORMS)}")
        if width < 1 or num_layers < 1:
            raise ValueError(f"width={width}, num_layers={num_layers}; use 1 or more of both")
        if not dilations:
            raise ValueError("dilations is empty; use (1,) for a plain stack")
        self.width = width
        self.embed_dim = embed_dim or width
        self.input_projection = (
            None
            if embed_dim is None
            else linear(
                embed_dim, width, axes=(None, "embed"), use_bias=True, dtype=dtype,
                param_dtype=param_dtype, rngs=rngs,
            )
        )  # fmt: skip
        self.layers = nnx.List([
            ConvolutionLayer(
                width, kernel_size=kernel_size, dilation=dilations[index % len(dilations)],
                activation=activation, gated=gated, use_residual=use_residual, norm=norm,
                norm_eps=norm_eps, use_bias=use_bias, dropout=dropout, dtype=dtype,
                param_dtype=param_dtype, rngs=rngs,
            )
            for index in range(num_layers)
        ])  # fmt: skip
        self.final_norm = (
            layer_norm(
                width, epsilon=norm_eps, use_bias=True, dtype=dtype, param_dtype=param_dtype,
                rngs=rngs,
            ) if use_final_norm else None
        )  # fmt: skip
        self.dropout = Dropout(dropout, deterministic=True)
        self.remat = "none"

    def __call__(
        self,
        hidden: Hidden,
        *,
        return_layers: bool = False,
        return_attention_diagonal: bool = False,
        rngs: nnx.Rngs | None = None,
    ) -> Hidden:
        """Relates the tokens of each text to their neighbors.

        Args:
            hidden: what the embedding returned.
            return_layers: also return the input of the first layer and the output of every one.
            return_attention_diagonal: refused; there is no attention.
            rngs: for dropout.

        Raises:
            ValueError: the states have another width.
        """
        if return_attention_diagonal:
            raise ValueError("ConvolutionEncoder has no attention; use a TransformerEncoder")
        if hidden.states.shape[-1] != self.embed_dim:
            raise ValueError(
                f"states are {hidden.states.shape[-1]} wide, the encoder reads {self.embed_dim}; "
                f"give the embedding width={self.embed_dim}"
            )
        x = self.dropout(hidden.states, rngs=rngs)
        if self.input_projection is not None:
            x = self.input_projection(x)
        x = keep_rows_apart(x)
        layers = [x]
        for index, layer in enumerate(self.layers):
            with jax.named_scope(f"layer_{index}"):
                x = run_layer(
                    layer, x, remat=self.remat, rngs=rngs, mask=hidden.mask,
                    segment_ids=hidden.segment_ids,
                )  # fmt: skip
            x = keep_rows_apart(x)
            layers.append(x)
        if self.final_norm is not None:
            x = self.final_norm(x)
        return hidden.replace(states=x, layers=tuple(layers) if return_layers else None)

    def set_view(self, remat: str | None = None) -> None:
        """Called by ``nnx.view``: what a backward pass keeps of every layer.

        Args:
            remat: see :data:`textzoo.modules.rematerialization.REMAT`.
        """
        if remat is not None:
            self.remat = check_remat(remat)
