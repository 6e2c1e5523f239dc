"""One bidirectional transformer whose options cover the BERT family."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from textzoo.modules.attention import SelfAttention
from textzoo.modules.dropout import Dropout
from textzoo.modules.feed_forward import FeedForward
from textzoo.modules.functional import relative_buckets
from textzoo.modules.parameters import (
    DtypeName,
    as_dtype,
    layer_norm,
    linear,
    logical_axes,
    truncated_normal,
)
from textzoo.modules.partitioning import keep_rows_apart, take_rows
from textzoo.modules.types import Hidden

_REMAT_POLICIES = {
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    "full": jax.checkpoint_policies.nothing_saveable,
}


class TransformerLayer(nnx.Module):
    """Attention and feed-forward, each with a residual connection and a norm.

    Post-norm (BERT): ``x = LN(x + Attn(x)); x = LN(x + FF(x))``.
    Pre-norm (ModernBERT): ``x = x + Attn(LN(x)); x = x + FF(LN(x))``.

    Args:
        width: D.
        num_heads: H.
        hidden_dim: F.
        norm: ``"post"`` or ``"pre"``.
        skip_attention_norm: leave out the norm before attention (pre-norm only; ModernBERT's
            first layer, whose input is already normalised).
        norm_eps, use_norm_bias: of the layer norms.
        activation, gated: of the feed-forward block.
        use_bias: of the linear maps.
        rotary_theta: base of rotary positions, ``None`` for none.
        dropout, attention_dropout: rates on the two branches and on attention weights.
        dtype, param_dtype: computation and storage types.
        rngs: source of initial values.
    """

    def __init__(
        self, width: int, *, num_heads: int, hidden_dim: int, norm: str = "post",
        skip_attention_norm: bool = False, norm_eps: float = 1e-12, use_norm_bias: bool = True,
        activation: str = "gelu", gated: bool = False, use_bias: bool = True,
        rotary_theta: float | None = None, dropout: float = 0.0, attention_dropout: float = 0.0,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        self.norm = norm

        def make_norm() -> nnx.LayerNorm:
            return layer_norm(
                width, epsilon=norm_eps, use_bias=use_norm_bias, dtype=dtype,
                param_dtype=param_dtype, rngs=rngs,
            )  # fmt: skip

        self.attention = SelfAttention(
            width, num_heads=num_heads, use_bias=use_bias, rotary_theta=rotary_theta,
            dropout=attention_dropout, dtype=dtype, param_dtype=param_dtype, rngs=rngs,
        )  # fmt: skip
        self.attention_norm = None if skip_attention_norm else make_norm()
        self.feed_forward = FeedForward(
            width, hidden_dim, activation=activation, gated=gated, use_bias=use_bias,
            dtype=dtype, param_dtype=param_dtype, rngs=rngs,
        )  # fmt: skip
        self.feed_forward_norm = make_norm()
        self.dropout = Dropout(dropout, deterministic=True)

    def __call__(
        self,
        x: Float[Array, "B L D"],
        allowed: Bool[Array, "#B 1 #L L"],
        *,
        positions: Int[Array, "#B L"] | None = None,
        bias: Float[Array, "1 H L L"] | None = None,
        return_diagonal: bool = False,
        rngs: nnx.Rngs | None = None,
    ) -> tuple[Float[Array, "B L D"], Float[Array, "B H L"] | None]:
        """Returns the new states and, when asked, the attention diagonal."""
        pre = self.norm == "pre"
        normed = x if not pre or self.attention_norm is None else self.attention_norm(x)
        branch, diagonal = self.attention(
            normed, allowed, positions=positions, bias=bias,
            return_diagonal=return_diagonal, rngs=rngs,
        )  # fmt: skip
        x = x + self.dropout(branch, rngs=rngs)
        if not pre and self.attention_norm is not None:
            x = self.attention_norm(x)
        branch = self.feed_forward(self.feed_forward_norm(x) if pre else x)
        x = x + self.dropout(branch, rngs=rngs)
        return (x if pre else self.feed_forward_norm(x)), diagonal


class TransformerEncoder(nnx.Module):
    """A stack of bidirectional transformer layers, with what goes before and after it.

    ``x = embedding (+ positions) (+ types)``, input norm, dropout, widening to D, N layers, final
    norm. With the right options this is BERT (Devlin et al. 2019), RoBERTa and XLM-R, DistilBERT,
    ALBERT (shared layers), ELECTRA, MPNet (bucketed relative bias) and ModernBERT (rotary, local
    and global layers); :mod:`textzoo.families` holds those options.

    Args:
        width: D.
        num_layers: N.
        num_heads: H.
        hidden_dim: F.
        embed_dim: width of the incoming states when a linear map, after the input norm, brings
            them to D (ALBERT, small ELECTRA). ``None``: they are D wide, and there is no map.
        positions: ``"learned"`` (a table of ``max_length`` rows), ``"rotary"`` or ``"none"``.
        max_length: longest text, in tokens.
        position_offset: row of the first position (2 for RoBERTa and MPNet, whose tables count
            from the padding id + 1; the table gets that many extra rows).
        num_types: rows of the token type table, 0 for none.
        relative_buckets: buckets of the relative position bias, 0 for none.
        relative_max_distance: distance from which all keys share a bucket.
        rotary_theta: base of rotary positions in global layers.
        local_rotary_theta: the same in local layers; ``rotary_theta`` when absent.
        local_window: total width of the window of local layers; ``None``: all layers global.
        global_every: layer i is global when ``i % global_every == 0``.
        norm: ``"post"`` or ``"pre"``.
        use_input_norm, use_final_norm: norms before and after the stack.
        skip_first_attention_norm: see :class:`TransformerLayer`.
        norm_eps, use_norm_bias: of all layer norms.
        activation, gated, use_bias: of the layers.
        num_groups: groups of layers with weights of their own (ALBERT); each group is repeated
            ``N / (num_groups * group_size)`` times in a row. ``None``: every layer has its own.
        group_size: layers in a group.
        dropout, attention_dropout: rates, used when the model is not deterministic.
        dtype, param_dtype: computation and storage types.
        rngs: source of initial values.

    Notes:
        Positions count from zero in every row (or come with the batch), as in BERT. RoBERTa's
        reference code counts non-padding tokens, which is the same for padding on the right.
    """

    def __init__(
        self, width: int, *, num_layers: int, num_heads: int, hidden_dim: int,
        embed_dim: int | None = None, positions: str = "learned", max_length: int = 512,
        position_offset: int = 0, num_types: int = 0, relative_buckets: int = 0,
        relative_max_distance: int = 128, rotary_theta: float = 10_000.0,
        local_rotary_theta: float | None = None, local_window: int | None = None,
        global_every: int = 1, norm: str = "post", use_input_norm: bool = True,
        use_final_norm: bool = False, skip_first_attention_norm: bool = False,
        norm_eps: float = 1e-12, use_norm_bias: bool = True, activation: str = "gelu",
        gated: bool = False, use_bias: bool = True,
        num_groups: int | None = None, group_size: int = 1,
        dropout: float = 0.0, attention_dropout: float = 0.0,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        _one_of("positions", positions, ("learned", "rotary", "none"))
        _one_of("norm", norm, ("post", "pre"))
        num_groups = num_groups or max(1, num_layers // group_size)
        own_layers = num_groups * group_size
        if num_layers % own_layers:
            raise ValueError(
                f"num_layers={num_layers} is not a multiple of num_groups={num_groups} times "
                f"group_size={group_size}; use a multiple of {own_layers}"
            )
        if own_layers < num_layers and local_window is not None:
            raise ValueError("shared layers cannot be local and global; set local_window=None")
        if relative_buckets and (relative_buckets < 4 or relative_buckets % 2):
            raise ValueError(
                f"relative_buckets={relative_buckets}; use 0, or an even number from 4"
            )
        if norm == "post" and skip_first_attention_norm:
            raise ValueError("skip_first_attention_norm=True needs norm='pre'")
        self.num_layers = num_layers
        self.group_size = group_size
        self.max_length = max_length
        self.position_offset = position_offset
        self.local_window = local_window
        self.global_every = global_every
        self.relative_max_distance = relative_max_distance
        input_width = embed_dim or width
        table = truncated_normal(0.02)
        storage = as_dtype(param_dtype)

        def make_table(rows: int, columns: int, *axes: str | None) -> nnx.Param:
            return nnx.Param(table(rngs.params(), (rows, columns), storage), **logical_axes(*axes))

        def make_norm(size: int) -> nnx.LayerNorm:
            return layer_norm(
                size, epsilon=norm_eps, use_bias=use_norm_bias, dtype=dtype,
                param_dtype=param_dtype, rngs=rngs,
            )  # fmt: skip

        learned = positions == "learned"
        self.position_table = (
            make_table(max_length + position_offset, input_width, None, "embed")
            if learned
            else None
        )
        self.type_table = make_table(num_types, input_width, None, "embed") if num_types else None
        self.relative_bias = (
            make_table(relative_buckets, num_heads, None, "heads") if relative_buckets else None
        )
        self.input_norm = make_norm(input_width) if use_input_norm else None
        self.input_projection = (
            linear(
                embed_dim, width, axes=(None, "embed"), use_bias=True, dtype=dtype,
                param_dtype=param_dtype, rngs=rngs,
            ) if embed_dim is not None else None
        )  # fmt: skip

        def make_layer(index: int) -> TransformerLayer:
            is_local = local_window is not None and index % global_every != 0
            theta = (local_rotary_theta or rotary_theta) if is_local else rotary_theta
            return TransformerLayer(
                width, num_heads=num_heads, hidden_dim=hidden_dim, norm=norm,
                skip_attention_norm=skip_first_attention_norm and index == 0,
                norm_eps=norm_eps, use_norm_bias=use_norm_bias, activation=activation,
                gated=gated, use_bias=use_bias,
                rotary_theta=theta if positions == "rotary" else None,
                dropout=dropout, attention_dropout=attention_dropout,
                dtype=dtype, param_dtype=param_dtype, rngs=rngs,
            )  # fmt: skip

        self.layers = nnx.List([make_layer(index) for index in range(own_layers)])
        self.remat = "none"
        self.final_norm = make_norm(width) if use_final_norm else None
        self.dropout = Dropout(dropout, deterministic=True)

    def __call__(
        self,
        hidden: Hidden,
        *,
        return_layers: bool = False,
        return_attention_diagonal: bool = False,
        rngs: nnx.Rngs | None = None,
    ) -> Hidden:
        """Relates the tokens of each text to one another.

        Args:
            hidden: what the embedding returned.
            return_layers: also return the input of the first layer and the output of every one.
                The last has no final norm; ``states`` has.
            return_attention_diagonal: also return each token's attention to itself.
            rngs: for dropout.

        Raises:
            ValueError: the batch is longer than ``max_length``.
        """
        length = hidden.mask.shape[1]
        if length > self.max_length:
            raise ValueError(
                f"the batch is {length} tokens long, the encoder takes at most "
                f"{self.max_length}; truncate, or build it with max_length={length}"
            )
        positions = hidden.positions
        if positions is None:
            positions = jnp.arange(length, dtype=jnp.int32)[None]
        x = keep_rows_apart(self._input(hidden, positions, rngs))
        global_mask = allowed_keys(hidden)
        local_mask = global_mask
        if self.local_window is not None:
            distance = jnp.abs(positions[:, None, :, None] - positions[:, None, None, :])
            local_mask = global_mask & (distance <= self.local_window // 2)
        bias = None
        if self.relative_bias is not None:
            bias = self._bias(self.relative_bias[...], length)
        layers, diagonals = [x], []
        for index in range(self.num_layers):
            layer = self.layers[self._own_layer(index)]
            is_global = self.local_window is None or index % self.global_every == 0
            run: Callable[..., Any] = functools.partial(
                _run_layer, layer, positions=positions, bias=bias,
                return_diagonal=return_attention_diagonal,
            )  # fmt: skip
            if self.remat != "none":
                run = jax.checkpoint(run, policy=_REMAT_POLICIES[self.remat])
            key = None if rngs is None else rngs.dropout()
            with jax.named_scope(f"layer_{index}"):
                x, diagonal = run(x, global_mask if is_global else local_mask, key)
            x = keep_rows_apart(x)
            layers.append(x)
            if diagonal is not None:
                diagonals.append(diagonal)
        if self.final_norm is not None:
            x = self.final_norm(x)
        return hidden.replace(
            states=x,
            layers=tuple(layers) if return_layers else None,
            attention_diagonal=jnp.stack(diagonals, 1) if return_attention_diagonal else None,
        )

    def set_view(self, remat: str | None = None) -> None:
        """Called by ``nnx.view``: what a backward pass keeps of every layer.

        Args:
            remat: ``"none"`` keeps everything, ``"dots"`` the results of matrix products with
                parameters, ``"full"`` only the input of each layer; the rest is computed again.
                Values and gradients are the same.
        """
        if remat is not None:
            _one_of("remat", remat, ("none", *_REMAT_POLICIES))
            self.remat = remat

    def _own_layer(self, index: int) -> int:
        """Which of the layers with weights runs as layer ``index``."""
        repeat, within = divmod(index, self.group_size)
        group = repeat * len(self.layers) // self.num_layers
        return group * self.group_size + within

    def _input(self, hidden: Hidden, positions: Array, rngs: nnx.Rngs | None) -> Array:
        x = hidden.states
        if self.position_table is not None:
            rows = positions + self.position_offset
            x = x + take_rows(self.position_table[...], rows).astype(x.dtype)
        if self.type_table is not None:
            types = jnp.zeros((1, 1), jnp.int32) if hidden.type_ids is None else hidden.type_ids
            x = x + take_rows(self.type_table[...], types).astype(x.dtype)
        if self.input_norm is not None:
            x = self.input_norm(x)
        x = self.dropout(x, rngs=rngs)
        return x if self.input_projection is None else self.input_projection(x)

    def _bias(self, table: Float[Array, "V H"], length: int) -> Float[Array, "1 H L L"]:
        steps = jnp.arange(length)
        buckets = relative_buckets(
            steps[None, :] - steps[:, None], table.shape[0], self.relative_max_distance
        )
        return jnp.transpose(table[buckets].astype(jnp.float32), (2, 0, 1))[None]


def _run_layer(
    layer: TransformerLayer, x: Array, allowed: Array, key: Array | None, **options: Any
) -> tuple[Array, Array | None]:
    """A layer with a dropout key of its own, so that computing it again draws the same numbers."""
    rngs = None if key is None else nnx.Rngs(dropout=key)
    return layer(x, allowed, rngs=rngs, **options)


def states_of(
    layer: TransformerLayer, x: Float[Array, "B L D"], **options: Any
) -> Float[Array, "B L D"]:
    """What a layer makes of its input, without its attention."""
    return layer(x, **options)[0]


def allowed_keys(hidden: Hidden) -> Bool[Array, "B 1 #L L"]:
    """Which key each query may see: real tokens, of the same segment when rows are packed."""
    allowed = hidden.mask[:, None, None, :]
    if hidden.segment_ids is not None:
        same = hidden.segment_ids[:, :, None] == hidden.segment_ids[:, None, :]
        allowed = allowed & same[:, None]
    return allowed


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name}={value!r} is unknown; use one of {', '.join(known)}")
