"""Spelling a word from its vector."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from textzoo.modules.embeddings.rows import check_sizes
from textzoo.modules.embeddings.units import unit_vectors
from textzoo.modules.encoders.recurrent import RecurrentLayer
from textzoo.modules.parameters import (
    DtypeName,
    as_dtype,
    linear,
    logical_axes,
    truncated_normal,
)


class LettersHead(nnx.Module):
    """An LSTM that begins with a vector and scores the next letter after every one.

    The decoder ("Detok") of XRayEmb (Pinter et al. 2021, arXiv 2108.00391, and its code): the
    first hidden states of the layers are a linear map of the vector, and the scores after each
    letter ``W_2 tanh(W_1 h)``.

    Args:
        width: D, of the vectors.
        unit_vocab_size: units are below this.
        unit_dim: width of the vectors of units.
        hidden_dim: H.
        num_layers: layers of the LSTM.
        unroll: steps of one turn of the loop over units.
        dtype, param_dtype: computation and storage types; scores are float32.
        rngs: source of initial values.

    Notes:
        The reference reshapes the first states so that those of different words mix; here every
        word has its own.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> make = lambda: LettersHead(8, unit_vocab_size=263, rngs=nnx.Rngs(0))
        >>> units = jnp.ones((2, 5), jnp.int32)
        >>> run = lambda head: head(jnp.ones((2, 8)), units, units > 0)
        >>> nnx.eval_shape(run, nnx.eval_shape(make)).shape
        (2, 5, 263)
    """

    def __init__(
        self, width: int, *, unit_vocab_size: int, unit_dim: int = 50, hidden_dim: int = 128,
        num_layers: int = 2, unroll: int = 1,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        check_sizes(
            width=width, unit_vocab_size=unit_vocab_size, unit_dim=unit_dim, hidden_dim=hidden_dim,
            num_layers=num_layers, unroll=unroll,
        )  # fmt: skip
        self.dtype = as_dtype(dtype)
        options: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.table = nnx.Param(
            truncated_normal(1.0)(
                rngs.params(), (unit_vocab_size, unit_dim), as_dtype(param_dtype)
            ),
            **logical_axes(None, "embed"),
        )
        options["use_bias"] = True
        self.start = linear(width, (num_layers, hidden_dim), axes=("embed", None, None),
                            stddev=width**-0.5, **options)  # fmt: skip
        self.inner = linear(hidden_dim, hidden_dim, axes=("embed", "mlp"), stddev=hidden_dim**-0.5,
                            **options)  # fmt: skip
        self.output = linear(hidden_dim, unit_vocab_size, axes=("mlp", None), **options)
        del options["use_bias"]
        self.layers = nnx.List(
            RecurrentLayer(
                hidden_dim if index else unit_dim, hidden_dim, num_directions=1, cell="lstm",
                unroll=unroll, dropout=0.0, **options,
            )
            for index in range(num_layers)
        )  # fmt: skip

    def __call__(
        self, vectors: Float[Array, "N D"], units: Int[Array, "N C"], mask: Bool[Array, "N C"]
    ) -> Float[Array, "N C V"]:
        """Scores, after every unit, what the next one is; float32.

        Args:
            vectors: of the words.
            units: of the words, from the mark of the beginning on.
            mask: which of them are real.
        """
        x = unit_vectors(self.table[...], units, mask)
        x = x.astype(self.dtype or x.dtype)
        starts = self.start(vectors.astype(x.dtype))
        for index, layer in enumerate(self.layers):
            x = layer(x, mask, initial=starts[:, index][None])
        return self.output(jnp.tanh(self.inner(x))).astype(jnp.float32)

    def spell(
        self, vectors: Float[Array, "N D"], *, begin: int, end: int, length: int
    ) -> tuple[Int[Array, "N C"], Bool[Array, "N C"]]:
        """The units of words, each time the one with the highest score.

        Args:
            vectors: of the words.
            begin: the unit that all words begin with, which is not returned.
            end: the unit that ends a word, which is not returned either.
            length: C, units of a word at most.

        Returns:
            Units, and which of them are real.
        """
        first = jnp.full((len(vectors), 1), begin, jnp.int32)
        units = jnp.concatenate([first, jnp.zeros((len(vectors), length), jnp.int32)], axis=1)
        on = jnp.ones((len(vectors), length), bool)

        def step(place: Array, units: Array) -> Array:
            scores = self(vectors, units[:, :-1], on)
            best = jnp.argmax(jnp.take(scores, place, axis=1), axis=-1)
            return units.at[:, place + 1].set(best.astype(jnp.int32))

        units = jax.lax.fori_loop(0, length, step, units)[:, 1:]
        return units, jnp.cumsum(units == end, axis=1) == 0
