"""Pieces by their characters, in place of a table of pieces."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

from textzoo.modules.embeddings.rows import check_sizes
from textzoo.modules.embeddings.units import unit_vectors, units_of
from textzoo.modules.encoders.transformer import TransformerLayer
from textzoo.modules.parameters import (
    DtypeName,
    as_dtype,
    layer_norm,
    linear,
    logical_axes,
    truncated_normal,
)
from textzoo.modules.partitioning import take_rows
from textzoo.modules.positions import sinusoidal_positions
from textzoo.modules.types import Hidden, TextBatch

POOLINGS = ("max", "first", "mean")


class Char2SubwordEmbedding(nnx.Module):
    """A small transformer over the characters of a piece.

    Char2Subword (Aguilar et al. 2021, "Char2Subword: Extending the Subword Embedding Space Using
    Robust Character Compositionality", arXiv 2010.12730). With the units ``c_1, ..., c_C`` of a
    piece::

        X = LN(E[c] + sinusoid(0..C-1))
        X = layer_N(... layer_1(X))          post-norm, over the units of the piece alone
        e = max_t(X_t) W + b                 or the first X_t, or their mean

    It reads ``units [B, L, C]`` of a ``SubwordTokenizer(units="characters", mark_words=True)``,
    where the mark tells a piece that begins a word from one that goes on; or of a
    ``WordTokenizer``, for it reads spellings that no vocabulary has. It learns in two stages:
    first to give the rows of a pretrained table, then within the pretrained model, which stays as
    it is; ``textzoo.retrofitting`` does both.

    Args:
        width: D, of the result.
        unit_vocab_size: units are below this.
        unit_dim: width of the layers over units.
        num_layers: N.
        num_heads: of their attention; divides ``unit_dim``.
        hidden_dim: their inner width; four times ``unit_dim`` when absent.
        max_units: C is at most this.
        pooling: ``"max"``, ``"first"`` or ``"mean"``.
        kept_ids: tokens with a row of their own, such as ``[CLS]``, that have no letters.
        norm_eps: of the layer norms.
        dtype, param_dtype: computation and storage types. Softmax and norms are float32.
        rngs: source of initial values.

    Notes:
        Of the paper, the two stages and that the module reads characters are certain; layers, their
        number and the pooling are a reading of it. The model it is put into adds positions and a
        norm behind it, so that the norm at the end is that of the model.

        A token without units is zero, unless it is one of ``kept_ids``. It cannot score a
        vocabulary by itself, for it does not know what the pieces are made of; an objective can,
        see ``textzoo.trainers.objectives.spelling``.

    Example:
        >>> import numpy as np
        >>> from flax import nnx
        >>> from textzoo.modules import WordTokenizer
        >>> make = lambda: Char2SubwordEmbedding(
        ...     8, unit_vocab_size=263, unit_dim=4, num_heads=2, rngs=nnx.Rngs(0))
        >>> embedding = nnx.eval_shape(make)  # Its shapes alone.
        >>> batch = WordTokenizer(max_units=16)(["Hello world"]).batch(np.array([0]), 4)
        >>> nnx.eval_shape(lambda embedding: embedding(batch), embedding).states.shape
        (1, 4, 8)
    """

    def __init__(
        self, width: int, *, unit_vocab_size: int, unit_dim: int = 256, num_layers: int = 2,
        num_heads: int = 4, hidden_dim: int | None = None, max_units: int = 16,
        pooling: str = "max", kept_ids: Sequence[int] = (), norm_eps: float = 1e-12,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        inner = 4 * unit_dim if hidden_dim is None else hidden_dim
        check_sizes(
            width=width, unit_vocab_size=unit_vocab_size, unit_dim=unit_dim, num_layers=num_layers,
            num_heads=num_heads, hidden_dim=inner, max_units=max_units,
        )  # fmt: skip
        if unit_dim % num_heads:
            raise ValueError(
                f"unit_dim={unit_dim} is not divisible by num_heads={num_heads}; use a multiple, "
                f"e.g. unit_dim={(unit_dim // num_heads + 1) * num_heads}"
            )
        if pooling not in POOLINGS:
            raise ValueError(f"pooling={pooling!r}; use 'max', 'first' or 'mean'")
        kept = tuple(kept_ids)
        if len(set(kept)) < len(kept) or min(kept, default=0) < 0:
            raise ValueError(f"kept_ids={kept_ids!r}; give different ids, from 0 on")
        self.width = width
        self.unit_vocab_size = unit_vocab_size
        self.max_units = max_units
        self.num_units = min(8, max_units)
        self.pooling = pooling
        self.kept_ids = kept
        self.dtype = as_dtype(dtype)
        options: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        storage = as_dtype(param_dtype)
        self.table = nnx.Param(
            truncated_normal(0.02)(rngs.params(), (unit_vocab_size, unit_dim), storage),
            **logical_axes(None, "embed"),
        )
        self.input_norm = layer_norm(unit_dim, epsilon=norm_eps, use_bias=True, **options)
        self.layers = nnx.List(
            TransformerLayer(
                unit_dim, num_heads=num_heads, hidden_dim=inner, norm_eps=norm_eps, **options
            )
            for _ in range(num_layers)
        )
        self.output = linear(unit_dim, width, axes=("embed", None), use_bias=True, **options)
        self.kept = (
            nnx.Param(
                truncated_normal(0.02)(rngs.params(), (len(kept), width), storage),
                **logical_axes(None, "embed"),
            )
            if kept
            else None
        )

    def __call__(self, batch: TextBatch) -> Hidden:
        """Embeds every piece by its units.

        Raises:
            ValueError: the batch has no units, or more than ``max_units``.
        """
        units, mask = units_of(batch, name="Char2SubwordEmbedding", most=self.max_units)
        count = units.shape[-1]
        x = unit_vectors(self.table[...], units, mask).reshape(-1, count, self.table.shape[1])
        allowed = mask.reshape(-1, count)  # Pieces are rows of their own here.
        places = sinusoidal_positions(jnp.arange(count)[None], x.shape[-1])
        x = x.astype(self.dtype or x.dtype)
        x = self.input_norm(x + places.astype(x.dtype))
        for layer in self.layers:
            x, _ = layer(x, allowed[:, None, None])
        states = self.output(self._pooled(x, allowed)).reshape(*mask.shape[:2], -1)
        states = jnp.where(mask.any(axis=-1, keepdims=True), states, 0)
        if self.kept is not None:
            is_kept = jnp.asarray(batch.ids)[..., None] == np.asarray(self.kept_ids, np.int32)
            own = take_rows(self.kept[...], jnp.argmax(is_kept, axis=-1)).astype(states.dtype)
            states = jnp.where(is_kept.any(axis=-1, keepdims=True), own, states)
        return batch.with_states(states)

    def keep_rows(self, rows: Float[np.ndarray, "V D"]) -> None:
        """Copies the rows of the tokens that have one of their own.

        Args:
            rows: of another table, for every id.
        """
        if self.kept is not None:
            self.kept.set_value(jnp.asarray(rows[list(self.kept_ids)], self.kept.dtype))

    def _pooled(self, x: Float[Array, "N C D"], mask: Bool[Array, "N C"]) -> Float[Array, "N D"]:
        on = mask[..., None]
        if self.pooling == "max":
            best = jnp.where(on, x, jnp.finfo(x.dtype).min).max(axis=1)
            return jnp.where(on.any(axis=1), best, 0)
        if self.pooling == "first":
            return jnp.take_along_axis(x, jnp.argmax(mask, axis=1)[:, None, None], axis=1)[:, 0]
        total = jnp.where(on, x, 0).sum(axis=1, dtype=jnp.float32)
        return (total / jnp.maximum(on.sum(axis=1), 1)).astype(x.dtype)
