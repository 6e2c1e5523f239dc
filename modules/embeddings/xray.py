"""XRayEmb: a table of pieces, and words spelled letter by letter beside it."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from textzoo.modules.embeddings.rows import check_sizes
from textzoo.modules.embeddings.subword import SubwordEmbedding
from textzoo.modules.embeddings.units import unit_vectors, units_of
from textzoo.modules.encoders.recurrent import RecurrentLayer
from textzoo.modules.parameters import (
    DtypeName,
    as_dtype,
    linear,
    logical_axes,
    truncated_normal,
)
from textzoo.modules.types import Hidden, TextBatch


class CharacterLSTMEmbedding(nnx.Module):
    """``e = W_2 relu(W_1 relu([h_C; h'_1]))`` of a bidirectional LSTM over the units of a token.

    The default vector generator ("Tok") of XRayEmb (Pinter et al. 2021, "Learning to Look Inside:
    Augmenting Token-Based Encoders with Character-Level Information", arXiv 2108.00391, and its
    code): h_C is the last state from left to right, h'_1 the last one from right to left. It reads
    ``units [B, L, C]`` of a ``WordTokenizer``, or of one that gives pieces some.

    Args:
        width: D, of the result.
        unit_vocab_size: units are below this.
        unit_dim: width of the vectors of units.
        hidden_dim: H, units of one direction.
        num_layers: layers of the LSTM.
        unroll: steps of one turn of the loop over units.
        dtype, param_dtype: computation and storage types; what is carried from step to step is
            float32 in any case.
        rngs: source of initial values.

    Notes:
        In the reference, the LSTM begins with a random state that is fixed and not trained; here
        with zero. A token without units is zero. It cannot score its vocabulary, which is open:
        there is no ``attend``.

    Example:
        >>> import numpy as np
        >>> from flax import nnx
        >>> from textzoo.modules import WordTokenizer
        >>> make = lambda: CharacterLSTMEmbedding(
        ...     8, unit_vocab_size=263, unit_dim=4, hidden_dim=4, rngs=nnx.Rngs(0))
        >>> embedding = nnx.eval_shape(make)  # Its shapes alone.
        >>> batch = WordTokenizer()(["Hello world"]).batch(np.array([0]), 4)
        >>> nnx.eval_shape(lambda embedding: embedding(batch), embedding).states.shape
        (1, 4, 8)
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
        self.width = width
        self.unit_vocab_size = unit_vocab_size
        self.num_units = 8
        self.dtype = as_dtype(dtype)
        options: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.table = nnx.Param(
            truncated_normal(1.0)(
                rngs.params(), (unit_vocab_size, unit_dim), as_dtype(param_dtype)
            ),
            **logical_axes(None, "embed"),
        )
        self.layers = nnx.List(
            RecurrentLayer(
                2 * hidden_dim if index else unit_dim, hidden_dim, num_directions=2, cell="lstm",
                unroll=unroll, dropout=0.0, **options,
            )
            for index in range(num_layers)
        )  # fmt: skip
        both = 2 * hidden_dim
        self.inner = linear(both, both, axes=("embed", "mlp"), use_bias=True, stddev=both**-0.5,
                            **options)  # fmt: skip
        self.output = linear(both, width, axes=("mlp", "embed"), use_bias=True, stddev=both**-0.5,
                             **options)  # fmt: skip

    def __call__(self, batch: TextBatch) -> Hidden:
        """Embeds every token by its units.

        Raises:
            ValueError: the batch has no units.
        """
        units, mask = units_of(batch, name="CharacterLSTMEmbedding")
        on = mask.reshape(-1, units.shape[-1])  # Tokens are rows of their own here.
        x = unit_vectors(self.table[...], units, mask)
        x = x.astype(self.dtype or x.dtype).reshape(*on.shape, -1)
        for layer in self.layers:
            x = layer(x, on)
        half = x.shape[-1] // 2
        last = on.shape[1] - 1 - jnp.argmax(on[:, ::-1], axis=1)
        ends = [_at(x[..., :half], last), _at(x[..., half:], jnp.argmax(on, axis=1))]
        found = self.inner(jax.nn.relu(jnp.concatenate(ends, axis=-1)))
        states = self.output(jax.nn.relu(found)).reshape(*mask.shape[:2], -1)
        return batch.with_states(jnp.where(mask.any(axis=-1, keepdims=True), states, 0))


class XRayEmbedding(nnx.Module):
    """Rows of a table for tokens without units, and another embedding for those with units.

    XRayEmb (Pinter et al. 2021, arXiv 2108.00391): in a pretrained model, the pieces of a word give
    way to one vector made of its letters. A ``WholeWordTokenizer`` says which words, and gives
    units to them alone. The table can be that of any pretrained model, as it is; the letters learn
    its rows with ``textzoo.trainers.WordMimicObjective``, and their place among the others by
    masked language modeling.

    Args:
        vocab_size: V, rows of the table.
        width: D.
        words: an embedding of units of the same width: a ``CharacterLSTMEmbedding``, as in the
            paper; a ``CharacterCNNEmbedding`` or ``Char2SubwordEmbedding`` for its other two.
        dtype, param_dtype: computation and storage types of the table.
        rngs: source of initial values.

    Notes:
        The reference collapses words inside of the model, in loops of Python; here the tokenizer
        does, and shapes are those of any batch. It scores the table alone, as there: a spelled
        word is no token that could be guessed.

    Example:
        >>> from flax import nnx
        >>> make = lambda: XRayEmbedding(100, 8, words=CharacterLSTMEmbedding(
        ...     8, unit_vocab_size=263, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(0))
        >>> nnx.eval_shape(make).tokens.table.shape
        (100, 8)
    """

    def __init__(
        self, vocab_size: int, width: int, *, words: Any,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        found = getattr(words, "width", None)
        if found != width:
            raise ValueError(
                f"words is {type(words).__name__} of width {found}, and the table has "
                f"width={width}; give both the same"
            )
        self.vocab_size = vocab_size
        self.width = width
        self.unit_vocab_size = getattr(words, "unit_vocab_size", None)
        self.num_units = getattr(words, "num_units", 8)
        self.tokens = SubwordEmbedding(
            vocab_size, width, dtype=dtype, param_dtype=param_dtype, rngs=rngs
        )
        self.words = words

    def __call__(self, batch: TextBatch) -> Hidden:
        """Embeds tokens by their ids, and those with units by these.

        Raises:
            ValueError: the batch has no units.
        """
        _, mask = units_of(batch, name="XRayEmbedding")
        tokens, words = self.tokens(batch).states, self.words(batch).states
        is_word = mask.any(axis=-1, keepdims=True)
        return batch.with_states(jnp.where(is_word, words.astype(tokens.dtype), tokens))

    def attend(
        self, states: Float[Array, "*B D"], *, dtype: Any = jnp.float32
    ) -> Float[Array, "*B V"]:
        """Scores every row of the table against the states, float32.

        Args:
            states: what is compared with the rows.
            dtype: of the factors; their sums are float32 in any case.
        """
        return self.tokens.attend(states, dtype=dtype)


def _at(x: Float[Array, "N C D"], places: Array) -> Float[Array, "N D"]:
    """The state of each row at one place."""
    return jnp.take_along_axis(x, places[:, None, None], axis=1)[:, 0]
