"""What the ids of a vocabulary are spelled with, on the device: for models that read units.

Where tokens are replaced, their letters have to be replaced with them, or they would give away
what is masked; and an embedding that reads letters can score a vocabulary by the vectors of all its
pieces. Both need the units of every id.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from textzoo.errors import ConfigError
from textzoo.modules import SubwordTokenizer
from textzoo.modules.embeddings.rows import product
from textzoo.modules.tokenizers.units import UnitVocabulary
from textzoo.modules.types import TextBatch
from textzoo.trainers.objectives.base import ObjectiveState

_LETTERS = (97, 26)  # a, b, c, ... as bytes and as code points alike.


class Spelling(nnx.Module):
    """Units of every id, which follow tokens that are replaced.

    Args:
        units: of every id, ``[V, C]``; what stands behind the last is any number.
        counts: how many of them are real, ``[V]``.
        edit_rate: share of the tokens that are misspelled in training, each by one edit: a letter
            is left out, put in, replaced, or changes places with the next (Char2Subword).
        first_special: units from here on are marks and special tokens, and stay.
        block: pieces that are embedded at a time where all are scored; ``None`` for all at once.
    """

    def __init__(
        self, units: Int[np.ndarray, "V C"], counts: Int[np.ndarray, "V"], *,
        edit_rate: float = 0.0, first_special: int = 256, block: int | None = None,
    ) -> None:  # fmt: skip
        if not 0 <= edit_rate <= 1:
            raise ConfigError(f"edit_rate={edit_rate}; use a share from 0 to 1")
        if block is not None and block < 1:
            raise ConfigError(f"block={block}; use 1 or more pieces, or None for all at once")
        self.units = ObjectiveState(jnp.asarray(units, jnp.int32))
        self.counts = ObjectiveState(jnp.asarray(counts, jnp.int32))
        self.edit_rate = edit_rate
        self.first_special = first_special
        self.block = block

    @classmethod
    def of(
        cls, tokenizer: SubwordTokenizer, *, edit_rate: float = 0.0, block: int | None = None
    ) -> "Spelling":
        """Reads the units from a tokenizer.

        Raises:
            ConfigError: its pieces have none, or n-grams, which cannot be misspelled one by one.
        """
        table = getattr(tokenizer, "unit_table", None)
        if table is None:
            raise ConfigError(
                f"{type(tokenizer).__name__} gives its pieces no units; build it with "
                "units='characters', 'bytes' or 'n_grams'"
            )
        if edit_rate and tokenizer.units == "n_grams":
            raise ConfigError(
                "n-grams are no letters that could be edited one by one; use edit_rate=0, or "
                "mistakes in the texts (data.noise of a recipe)"
            )
        found, starts = table
        counts = np.diff(starts)
        mask = np.arange(tokenizer.max_units) < counts[:, None]
        units = np.zeros(mask.shape, np.int32)
        units[mask] = found
        vocabulary = UnitVocabulary(
            kind=str(tokenizer.units), num_characters=tokenizer.num_characters
        )
        return cls(
            units, counts, edit_rate=edit_rate, first_special=vocabulary.first_special, block=block
        )

    @property
    def vocab_size(self) -> int:
        """V."""
        return int(self.counts.shape[0])

    def respell(self, texts: TextBatch, *, key: Array | None = None) -> TextBatch:
        """The same texts, the units of each token those of its id.

        Args:
            texts: whose units, if there are any, are left out.
            key: of the misspellings; ``None`` for none.
        """
        ids = jnp.asarray(texts.ids)
        units = jnp.take(self.units[...], ids, axis=0, mode="clip")
        counts = jnp.take(self.counts[...], ids, axis=0, mode="clip")
        if key is not None and self.edit_rate:
            units, counts = edit_units(
                key, units, counts, rate=self.edit_rate, first_special=self.first_special
            )
        mask = (jnp.arange(units.shape[-1]) < counts[..., None]) & jnp.asarray(texts.mask)[
            ..., None
        ]
        return texts.replace(units=units, unit_mask=mask)

    def pieces(self, ids: Int[Array, "N"]) -> TextBatch:
        """Texts of one token each."""
        ids = ids[:, None]
        return self.respell(TextBatch(ids=ids, mask=jnp.ones(ids.shape, bool)))

    def rows(self, embedding: Callable[[TextBatch], Any]) -> Float[Array, "V D"]:
        """The vector that an embedding gives to every piece."""
        count, block = self.vocab_size, self.block
        if block is None or block >= count:
            return embedding(self.pieces(jnp.arange(count))).states[:, 0]
        ids = jnp.arange(-(-count // block) * block).reshape(-1, block)
        # Computed again for the gradient, or every block's states would be kept.
        rows = jax.lax.map(
            jax.checkpoint(lambda part: embedding(self.pieces(part)).states[:, 0]),
            jnp.minimum(ids, count - 1),
        )
        return rows.reshape(-1, rows.shape[-1])[:count]

    def scorer(self, embedding: Any) -> Any:
        """What a tied head scores against: the embedding, or the vectors of all pieces."""
        return embedding if hasattr(embedding, "attend") else _Rows(self.rows(embedding))


class _Rows:
    """Rows that are there already."""

    def __init__(self, rows: Float[Array, "V D"]) -> None:
        self._rows = rows

    def attend(
        self, states: Float[Array, "*B D"], *, dtype: Any = jnp.float32
    ) -> Float[Array, "*B V"]:
        """Scores every row against the states, float32."""
        return product(states.astype(dtype), self._rows.astype(dtype).T)


def edit_units(
    key: Array, units: Int[Array, "*B C"], counts: Int[Array, "*B"], *, rate: Any,
    first_special: int,
) -> tuple[Int[Array, "*B C"], Int[Array, "*B"]]:  # fmt: skip
    """One mistake in a share of the tokens.

    A letter is left out, put in, replaced or swapped with the next, each as likely. Letters come
    in from a to z. A token keeps a letter at least, and the mark before it; what would need more
    letters than it has, or more room than C, leaves it as it is.

    Args:
        key: of all draws.
        units: of each token.
        counts: how many of them are real.
        rate: share of the tokens.
        first_special: units from here on are no letters.
    """
    which, where, kind_key, letter_key = jax.random.split(key, 4)
    places = jnp.arange(units.shape[-1])
    real = places < counts[..., None]
    first = (units[..., 0] >= first_special).astype(jnp.int32)  # Behind the mark, if there is one.
    letters = counts - first
    kind = jax.random.randint(kind_key, counts.shape, 0, 4)
    drop, put, change, swap = (kind == number for number in range(4))
    # A swap needs a next letter; a letter may also be put behind the last.
    choices = jnp.maximum(letters + jnp.where(put, 1, jnp.where(swap, -1, 0)), 1)
    spot = first + jnp.minimum(
        (jax.random.uniform(where, counts.shape) * choices).astype(jnp.int32), choices - 1
    )
    possible = (letters >= 1) & (letters - drop - swap >= 1) & (counts + put <= units.shape[-1])
    edited = (jax.random.uniform(which, counts.shape) < rate) & possible
    spot, at = spot[..., None], places == spot[..., None]
    source = jnp.where(drop[..., None] & (places >= spot), places + 1, places)
    source = jnp.where(put[..., None] & (places > spot), places - 1, source)
    source = jnp.where(swap[..., None] & at, places + 1, source)
    source = jnp.where(swap[..., None] & (places == spot + 1), places - 1, source)
    source = jnp.where(edited[..., None], source, places)
    moved = jnp.take_along_axis(jnp.where(real, units, 0), source, axis=-1, mode="clip")
    start, number = _LETTERS
    letter = start + jax.random.randint(letter_key, counts.shape, 0, number)
    written = at & (edited & (put | change))[..., None]
    moved = jnp.where(written, letter[..., None], moved)
    return moved.astype(units.dtype), counts + jnp.where(edited, put * 1 - drop * 1, 0)
