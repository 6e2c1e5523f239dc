"""CharBERT's second channel: tokens by a recurrent network over all characters of a text."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from textzoo.modules.embeddings.rows import check_sizes
from textzoo.modules.embeddings.subword import SubwordEmbedding
from textzoo.modules.embeddings.units import unit_vectors, units_of
from textzoo.modules.encoders.recurrent import RecurrentLayer
from textzoo.modules.parameters import DtypeName, as_dtype, logical_axes, truncated_normal
from textzoo.modules.types import Hidden, TextBatch
from textzoo.modules.wave import run_starts


class CharacterChannelEmbedding(nnx.Module):
    """``e_t = [h_first(t); h_last(t)]``, states of a bidirectional GRU at the ends of a token.

    CharBERT (Ma et al. 2020, "CharBERT: Character-aware Pre-trained Language Model", COLING, and
    its code): the characters of all tokens of a text stand one after the other, without separators,
    and a GRU with D/4 units in each direction reads them; a token is what the GRU knows at its
    first and at its last character. It reads ``units [B, L, C]``, of a ``SubwordTokenizer`` that
    gives some. :class:`CharBertEmbedding` has it beside a table; alone, it is an embedding like
    others.

    Args:
        width: D, of the result; a multiple of 4.
        unit_vocab_size: units are below this.
        unit_dim: width of the vectors of units.
        unroll: steps of one turn of the loop over characters.
        dtype, param_dtype: computation and storage types; what is carried from step to step is
            float32 in any case.
        rngs: source of initial values.

    Notes:
        A loop over L times C characters, one after the other: on accelerators, this is what takes
        the time. Padding is passed over, in tokens and between them.

        In the released code the GRU also reads the padding behind a text, which its second
        direction begins with; here no padding is seen, and a text has the same vectors in any
        batch. There, special tokens and masked ones share one character, and its vector is zero;
        here each has a unit of its own. A token without units is zero.

    Example:
        >>> from flax import nnx
        >>> make = lambda: CharacterChannelEmbedding(8, unit_dim=4, rngs=nnx.Rngs(0))
        >>> embedding = nnx.eval_shape(make)  # Its shapes alone.
        >>> units = jnp.ones((2, 3, 5), jnp.int32)
        >>> ids = jnp.ones((2, 3), jnp.int32)
        >>> batch = TextBatch(ids=ids, mask=ids > 0, units=units, unit_mask=units > 0)
        >>> nnx.eval_shape(lambda embedding: embedding(batch), embedding).states.shape
        (2, 3, 8)
    """

    def __init__(
        self, width: int, *, unit_vocab_size: int = 1001, unit_dim: int = 256, unroll: int = 1,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        check_sizes(width=width, unit_vocab_size=unit_vocab_size, unit_dim=unit_dim, unroll=unroll)
        if width % 4:
            raise ValueError(
                f"width={width} cannot be cut in four, for two directions at two characters; use a "
                f"multiple of 4, e.g. width={width + 4 - width % 4}"
            )
        self.width = width
        self.unit_vocab_size = unit_vocab_size
        self.num_units = 8
        self.dtype = as_dtype(dtype)
        self.table = nnx.Param(
            truncated_normal(1.0)(
                rngs.params(), (unit_vocab_size, unit_dim), as_dtype(param_dtype)
            ),
            **logical_axes(None, "embed"),
        )
        self.network = RecurrentLayer(
            unit_dim, width // 4, num_directions=2, cell="gru", unroll=unroll, dropout=0.0,
            dtype=dtype, param_dtype=param_dtype, rngs=rngs,
        )  # fmt: skip

    def __call__(self, batch: TextBatch) -> Hidden:
        """Embeds every token by its characters and those around it.

        Raises:
            ValueError: the batch has no units.
        """
        units, mask = units_of(batch, name="CharacterChannelEmbedding")
        mask = mask & jnp.asarray(batch.mask)[..., None]
        rows, length, count = units.shape
        x = unit_vectors(self.table[...], units, mask)
        x = x.astype(self.dtype or x.dtype).reshape(rows, length * count, -1)
        starts = None
        if batch.segment_ids is not None:  # A text of a packed row begins with its first token.
            first = run_starts(jnp.asarray(batch.segment_ids))
            assert first is not None
            starts = jnp.pad(first[..., None], ((0, 0), (0, 0), (0, count - 1)))
            starts = starts.reshape(rows, -1)
        h = self.network(x, mask.reshape(rows, -1), starts).reshape(rows, length, count, -1)
        last = count - 1 - jnp.argmax(mask[..., ::-1], axis=-1)
        ends = [_at(h, jnp.argmax(mask, axis=-1)), _at(h, last)]
        states = jnp.concatenate(ends, axis=-1)
        return batch.with_states(jnp.where(mask.any(axis=-1, keepdims=True), states, 0))


class CharBertEmbedding(nnx.Module):
    """Both channels of CharBERT side by side: ``[t; c]``, for a ``CharBertEncoder``.

    ``t`` is a row of a table (``SubwordEmbedding``), ``c`` the :class:`CharacterChannelEmbedding`.

    Args:
        vocab_size: V, rows of the table.
        width: D, of each channel; states are 2 D wide.
        unit_vocab_size: units are below this; 1,001 in CharBERT over BERT.
        unit_dim: width of the vectors of units.
        unroll: steps of one turn of the loop over characters.
        dtype, param_dtype: computation and storage types.
        rngs: source of initial values.

    Example:
        >>> from flax import nnx
        >>> make = lambda: CharBertEmbedding(100, 8, unit_dim=4, rngs=nnx.Rngs(0))
        >>> embedding = nnx.eval_shape(make)  # Its shapes alone.
        >>> embedding.tokens.table.shape, embedding.characters.table.shape
        ((100, 8), (1001, 4))
    """

    def __init__(
        self, vocab_size: int, width: int, *, unit_vocab_size: int = 1001, unit_dim: int = 256,
        unroll: int = 1, dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        self.vocab_size = vocab_size
        self.width = width
        self.unit_vocab_size = unit_vocab_size
        self.tokens = SubwordEmbedding(
            vocab_size, width, dtype=dtype, param_dtype=param_dtype, rngs=rngs
        )
        self.characters = CharacterChannelEmbedding(
            width, unit_vocab_size=unit_vocab_size, unit_dim=unit_dim, unroll=unroll, dtype=dtype,
            param_dtype=param_dtype, rngs=rngs,
        )  # fmt: skip
        self.num_units = self.characters.num_units

    def __call__(self, batch: TextBatch) -> Hidden:
        """Embeds every token twice.

        Raises:
            ValueError: the batch has no units.
        """
        tokens, characters = self.tokens(batch).states, self.characters(batch).states
        return batch.with_states(jnp.concatenate([tokens, characters], axis=-1))

    def attend(
        self, states: Float[Array, "*B D"], *, dtype: Any = jnp.float32
    ) -> Float[Array, "*B V"]:
        """Scores every row of the table against states of the channel of tokens, float32.

        Args:
            states: what is compared with the rows.
            dtype: of the factors; their sums are float32 in any case.
        """
        return self.tokens.attend(states, dtype=dtype)


def _at(h: Float[Array, "B L C D"], places: Array) -> Float[Array, "B L D"]:
    """The state of each token at one of its characters."""
    return jnp.take_along_axis(h, places[..., None, None], axis=2)[:, :, 0]
