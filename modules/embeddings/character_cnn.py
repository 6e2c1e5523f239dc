"""Words from their bytes or characters by convolutions, as in ELMo and CharacterBERT."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from textzoo.modules.embeddings.rows import check_sizes
from textzoo.modules.embeddings.units import unit_vectors, units_of
from textzoo.modules.functional import activation as get_activation
from textzoo.modules.parameters import DtypeName, as_dtype, linear, logical_axes, truncated_normal
from textzoo.modules.partitioning import whole_parameter
from textzoo.modules.types import Hidden, TextBatch

ELMO_FILTERS = ((1, 32), (2, 32), (3, 64), (4, 128), (5, 256), (6, 512), (7, 1024))
"""Widths and numbers of the filters of ELMo and CharacterBERT."""


class HighwayLayer(nnx.Module):
    """``y = g x + (1 - g) f(x A + a)`` with ``g = sigmoid(x B + b)`` (Srivastava et al. 2015).

    Args:
        width: of x and y.
        activation: name of f.
        dtype, param_dtype: computation and storage types.
        rngs: source of initial values; b begins at one, so that x passes.
    """

    def __init__(
        self, width: int, *, activation: str, dtype: DtypeName, param_dtype: str, rngs: nnx.Rngs
    ) -> None:
        self._activation = get_activation(activation)
        # One product for both, A first.
        self.dense = linear(
            width, 2 * width, axes=("embed", "mlp"), use_bias=True, stddev=(2 * width) ** -0.5,
            dtype=dtype, param_dtype=param_dtype, rngs=rngs,
        )  # fmt: skip
        bias = self.dense.bias
        assert bias is not None
        bias.set_value(bias[...].at[width:].set(1))

    def __call__(self, x: Float[Array, "*B F"]) -> Float[Array, "*B F"]:
        """Returns y."""
        changed, gate = jnp.split(self.dense(x), 2, axis=-1)
        gate = jax.nn.sigmoid(gate)
        return gate * x + (1 - gate) * self._activation(changed)


class CharacterCNNEmbedding(nnx.Module):
    """Convolutions over the units of a word, their maxima, highway layers and a linear map.

    ``h_w = f(max_t(sum_{k<w} x_{t+k} K_{w,k} + b_w))`` for each width w of filters, of the vectors
    x of units; then ``highway([h_1; h_2; ...]) P + p`` (Kim et al. 2016; Peters et al. 2018, ELMo;
    El Boukkouri et al. 2020, "CharacterBERT", arXiv 2010.10392, and its code). It reads ``units
    [B, L, C]`` of a ``WordTokenizer``, or of a ``SubwordTokenizer`` that gives some.

    Args:
        width: D, of the result.
        unit_vocab_size: units are below this; 263 are bytes and what a tokenizer adds to them.
        unit_dim: width of the vectors of units.
        filters: width and number of the filters of each convolution.
        num_highways: highway layers.
        activation: f, also within the highway layers.
        max_units: C is at most this; ``None`` for any.
        padding_unit: what stands behind a word up to ``max_units``, as another unit that filters
            see. ``None``: nothing does, filters begin at units alone and read zero behind the last.
        dtype, param_dtype: computation and storage types.
        rngs: source of initial values.

    Notes:
        ``max_units=50, padding_unit=260`` is how ELMo and CharacterBERT read words: to them, the
        padding of a short word is visible. What C is in a batch changes nothing in either case:
        windows of padding alone are equal, so one of them is enough.

        Rows are those of CharacterBERT without the first, which is for padding of texts; the last
        here is for special tokens that it has not. A word without any unit has the vector that
        follows from maxima of zero, or of padding where that is a unit.

        It cannot score its vocabulary, which is open: there is no ``attend``.

    Example:
        >>> import numpy as np
        >>> from flax import nnx
        >>> from textzoo.modules import WordTokenizer
        >>> make = lambda: CharacterCNNEmbedding(8, filters=[[1, 4], [3, 6]], rngs=nnx.Rngs(0))
        >>> embedding = nnx.eval_shape(make)  # Its shapes alone.
        >>> batch = WordTokenizer()(["Hello world"]).batch(np.array([0]), 4)
        >>> nnx.eval_shape(lambda embedding: embedding(batch), embedding).states.shape
        (1, 4, 8)
    """

    def __init__(
        self, width: int, *, unit_vocab_size: int = 263, unit_dim: int = 16,
        filters: Sequence[Sequence[int]] = ELMO_FILTERS, num_highways: int = 2,
        activation: str = "relu", max_units: int | None = None, padding_unit: int | None = None,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        check_sizes(width=width, unit_vocab_size=unit_vocab_size, unit_dim=unit_dim)
        if not filters or any(len(pair) != 2 or min(pair) < 1 for pair in filters):
            raise ValueError(
                f"filters={filters!r}; give pairs of a width and a number, e.g. [[1, 32], [2, 64]]"
            )
        widest = max(size for size, _ in filters)
        if max_units is not None and max_units < widest:
            raise ValueError(f"max_units={max_units} is less than a filter of width {widest}")
        if padding_unit is not None and (
            max_units is None or not 0 <= padding_unit < unit_vocab_size
        ):
            raise ValueError(
                f"padding_unit={padding_unit} with max_units={max_units}; a padding that filters "
                f"see is one of the {unit_vocab_size} units, and goes up to max_units"
            )
        self.width = width
        self.unit_vocab_size = unit_vocab_size
        self.widths = tuple(size for size, _ in filters)
        self.max_units = max_units
        self.padding_unit = padding_unit
        self.num_units = min(8, max_units or 8)
        self.dtype = as_dtype(dtype)
        self._activation = get_activation(activation)
        storage = as_dtype(param_dtype)
        self.table = nnx.Param(
            truncated_normal(1.0)(rngs.params(), (unit_vocab_size, unit_dim), storage),
            **logical_axes(None, "embed"),
        )
        self.kernels = nnx.List(
            nnx.Param(
                truncated_normal((size * unit_dim) ** -0.5)(
                    rngs.params(), (size * unit_dim, count), storage
                ),
                **logical_axes("embed", None),
            )
            for size, count in filters
        )
        self.biases = nnx.List(
            nnx.Param(jnp.zeros(count, storage), **logical_axes(None)) for _, count in filters
        )
        total = sum(count for _, count in filters)
        options: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.highways = nnx.List(
            HighwayLayer(total, activation=activation, **options) for _ in range(num_highways)
        )
        self.projection = linear(
            total, width, axes=("mlp", "embed"), use_bias=True, stddev=total**-0.5, **options
        )

    def __call__(self, batch: TextBatch) -> Hidden:
        """Embeds every word by its units.

        Raises:
            ValueError: the batch has no units, or more than ``max_units``.
        """
        units, mask = units_of(batch, name="CharacterCNNEmbedding", most=self.max_units)
        table = self.table[...]
        x = unit_vectors(table, units, mask)
        x = x.astype(self.dtype or x.dtype)
        if self.padding_unit is not None:
            padding = table[self.padding_unit].astype(x.dtype)
            x = jnp.where(mask[..., None], x, padding)
            after = jnp.broadcast_to(padding, (*x.shape[:2], max(self.widths), x.shape[-1]))
        else:
            after = jnp.zeros((*x.shape[:2], max(self.widths), x.shape[-1]), x.dtype)
        found = jnp.concatenate(self._maxima(jnp.concatenate([x, after], axis=2), mask), axis=-1)
        for highway in self.highways:
            found = highway(found)
        return batch.with_states(self.projection(found))

    def _maxima(
        self, x: Float[Array, "B L C1 D"], mask: Bool[Array, "B L C"]
    ) -> list[Float[Array, "B L F"]]:
        """What each convolution finds in the units, of which there are more than are real."""
        count = mask.shape[-1]
        # Every place where a filter may begin, and one behind the last unit.
        places = count + 1
        windows = jnp.concatenate(
            [x[:, :, k : k + places] for k in range(max(self.widths))], axis=-1
        )
        found = []
        for size, kernel, bias in zip(self.widths, self.kernels, self.biases, strict=True):
            weights = whole_parameter(kernel[...]).astype(x.dtype)
            y = windows[..., : len(weights)] @ weights  # [B, L, C + 1, F]
            if self.padding_unit is not None:
                assert self.max_units is not None
                best = y[:, :, : min(places, self.max_units - size + 1)].max(axis=2)
            else:
                least = jnp.finfo(y.dtype).min
                best = jnp.where(mask[..., None], y[:, :, :count], least).max(axis=2)
                best = jnp.where(mask.any(axis=-1, keepdims=True), best, 0)
            found.append(self._activation(best + bias[...].astype(y.dtype)))
        return found
