"""CharBERT's encoder: two channels through one transformer, which meet after every layer."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from textzoo.modules.convolution import Convolution
from textzoo.modules.encoders.transformer import TransformerEncoder, allowed_keys, states_of
from textzoo.modules.parameters import layer_norm, linear
from textzoo.modules.partitioning import keep_rows_apart
from textzoo.modules.rematerialization import run_layer
from textzoo.modules.types import Hidden

OUTPUTS = ("mean", "tokens", "characters", "both")


class CharBertEncoder(TransformerEncoder):
    """A transformer that tokens and characters go through, and an exchange after each layer.

    CharBERT (Ma et al. 2020, "CharBERT: Character-aware Pre-trained Language Model", COLING; its
    released code). States come 2 D wide, ``[t; c]``, from a ``CharBertEmbedding``. Positions,
    types and the input norm are for t alone. Then, N times, with the same layer for both::

        t, c = layer(t), layer(c)
        s = conv([t W_t; c W_c])            three taps, from 2 D to D
        t, c = LN_t(t + s), LN_c(c + s)

    W, the convolution and its norms are the same after every layer.

    Args:
        width: D, of each channel.
        num_layers: N.
        num_heads: H.
        hidden_dim: F.
        max_length: longest text, in tokens.
        outputs: what a state is: the ``"mean"`` of the channels, ``"tokens"`` or ``"characters"``
            alone, or ``"both"``, side by side, 2 D wide.
        norm_eps: of all layer norms.
        position_offset, num_types, dropout, attention_dropout: see :class:`TransformerEncoder`.
        dtype, param_dtype: computation and storage types.
        rngs: source of initial values.

    Notes:
        The paper describes an exchange in two steps, with maps of their own for each channel and an
        activation; the released code has what stands here, and so have the released models.

        The convolution finds zero beyond the ends of a text, in the released code what padding has
        become; here a text has the same states in any batch. In packed rows it stays within a text.

        What to do with two channels is left to tasks in the paper: language modelling reads t, the
        noisy words are told from c. Twice the arithmetic of a transformer, and 8 D^2 parameters.

    Example:
        >>> from flax import nnx
        >>> make = lambda: CharBertEncoder(
        ...     8, num_layers=1, num_heads=2, hidden_dim=16, max_length=16, rngs=nnx.Rngs(0)
        ... )
        >>> encoder = nnx.eval_shape(make)  # Its shapes alone.
        >>> hidden = Hidden(states=jnp.zeros((1, 5, 16)), mask=jnp.ones((1, 5), bool))
        >>> nnx.eval_shape(lambda encoder: encoder(hidden), encoder).states.shape
        (1, 5, 8)
    """

    def __init__(
        self, width: int, *, num_layers: int, num_heads: int, hidden_dim: int,
        max_length: int = 512, outputs: str = "mean", position_offset: int = 0, num_types: int = 0,
        norm_eps: float = 1e-12, dropout: float = 0.0, attention_dropout: float = 0.0,
        dtype: str | None = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        if outputs not in OUTPUTS:
            raise ValueError(f"outputs={outputs!r} is unknown; use one of {', '.join(OUTPUTS)}")
        options: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        super().__init__(
            width, num_layers=num_layers, num_heads=num_heads, hidden_dim=hidden_dim,
            max_length=max_length, position_offset=position_offset, num_types=num_types,
            norm_eps=norm_eps, dropout=dropout, attention_dropout=attention_dropout, **options,
        )  # fmt: skip
        self.width = width
        self.outputs = outputs
        # Both channels through one map of each: the first D columns are for tokens.
        self.token_map = linear(width, width, axes=("embed", None), use_bias=False, **options)
        self.character_map = linear(width, width, axes=("embed", None), use_bias=False, **options)
        self.exchange = Convolution(2 * width, width, kernel_size=3, **options)
        self.token_norm = layer_norm(width, epsilon=norm_eps, use_bias=True, **options)
        self.character_norm = layer_norm(width, epsilon=norm_eps, use_bias=True, **options)

    def __call__(
        self,
        hidden: Hidden,
        *,
        return_layers: bool = False,
        return_attention_diagonal: bool = False,
        rngs: nnx.Rngs | None = None,
    ) -> Hidden:
        """Relates the tokens of each text to one another, in both channels.

        Args:
            hidden: ``[t; c]``, 2 D wide.
            return_layers: also return the input of the first layer and the output of every one, as
                ``outputs`` says.
            return_attention_diagonal: refused; there are two attentions.
            rngs: for dropout.

        Raises:
            ValueError: states are not 2 D wide, or the batch is longer than ``max_length``.
        """
        length = hidden.mask.shape[1]
        if length > self.max_length:
            raise ValueError(
                f"the batch is {length} tokens long, the encoder takes at most "
                f"{self.max_length}; truncate, or build it with max_length={length}"
            )
        if return_attention_diagonal:
            raise ValueError("a CharBertEncoder has two attentions; use a TransformerEncoder")
        if hidden.states.shape[-1] != 2 * self.width:
            raise ValueError(
                f"states are {hidden.states.shape[-1]} wide, the encoder reads two channels of "
                f"{self.width}; use a CharBertEmbedding of width={self.width}"
            )
        tokens, characters = jnp.split(hidden.states, 2, axis=-1)
        positions = hidden.positions
        if positions is None:
            positions = jnp.arange(length, dtype=jnp.int32)[None]
        tokens = keep_rows_apart(self._input(hidden.replace(states=tokens), positions, rngs))
        characters, allowed = keep_rows_apart(characters), allowed_keys(hidden)
        layers = [self._output(tokens, characters)]
        for index, layer in enumerate(self.layers):
            with jax.named_scope(f"layer_{index}"):
                t, c = (
                    run_layer(
                        functools.partial(states_of, layer), x, remat=self.remat, rngs=rngs,
                        allowed=allowed,
                    )
                    for x in (tokens, characters)
                )  # fmt: skip
                tokens, characters = self.meet(t, c, hidden.mask, hidden.segment_ids)
            tokens, characters = keep_rows_apart(tokens), keep_rows_apart(characters)
            layers.append(self._output(tokens, characters))
        return hidden.replace(states=layers[-1], layers=tuple(layers) if return_layers else None)

    def meet(
        self,
        tokens: Float[Array, "B L D"],
        characters: Float[Array, "B L D"],
        mask: Bool[Array, "B L"],
        segment_ids: Array | None = None,
    ) -> tuple[Float[Array, "B L D"], Float[Array, "B L D"]]:
        """The exchange: what the channels are after they have seen each other."""
        both = jnp.concatenate([self.token_map(tokens), self.character_map(characters)], axis=-1)
        seen = self.exchange(both, mask, segment_ids)
        return self.token_norm(tokens + seen), self.character_norm(characters + seen)

    def set_view(self, remat: str | None = None, outputs: str | None = None) -> None:
        """Called by ``nnx.view``: what is kept of every layer, and what a state is.

        Args:
            remat: see :data:`textzoo.modules.rematerialization.REMAT`.
            outputs: see the class; an objective over both channels asks for ``"both"``.
        """
        super().set_view(remat)
        if outputs is not None:
            if outputs not in OUTPUTS:
                raise ValueError(f"outputs={outputs!r} is unknown; use one of {', '.join(OUTPUTS)}")
            self.outputs = outputs

    def _output(self, tokens: Array, characters: Array) -> Array:
        if self.outputs == "both":
            return jnp.concatenate([tokens, characters], axis=-1)
        if self.outputs == "mean":
            return (tokens + characters) / 2
        return tokens if self.outputs == "tokens" else characters
