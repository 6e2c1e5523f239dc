"""The values that flow through a model: a batch of texts, hidden states, and outputs.

Shape letters (used everywhere in textzoo): ``B`` texts, ``L`` tokens per text, ``C`` characters,
bytes or n-grams per token, ``D`` model width, ``E`` output width, ``S`` spans per text.
"""

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

if TYPE_CHECKING:
    AnyArray = Any  # whether on the host or on a device, a type checker cannot follow
else:
    AnyArray = Array | np.ndarray
"""A JAX array, or a numpy array of the host that is to become one."""

T = TypeVar("T")


def register_pytree(cls: type[T]) -> type[T]:
    """Makes a frozen dataclass a pytree whose fields are its children; usable as a decorator.

    Unlike :func:`jax.tree_util.register_dataclass`, unflattening does not call the constructor.
    JAX puts all kinds of things into a tree on the way (shapes, shardings, axis numbers, arrays
    with an axis more under ``vmap`` and ``scan``), so what the constructor checks may not hold.
    """
    names = tuple(field.name for field in dataclasses.fields(cls))  # type: ignore[arg-type]

    def flatten(value: T) -> tuple[tuple[Any, ...], None]:
        return tuple(getattr(value, name) for name in names), None

    def flatten_with_keys(value: T) -> tuple[tuple[tuple[Any, Any], ...], None]:
        keys = (jax.tree_util.GetAttrKey(name) for name in names)
        return tuple(zip(keys, flatten(value)[0], strict=True)), None

    def unflatten(_: None, children: Any) -> T:
        value = object.__new__(cls)
        for name, child in zip(names, children, strict=True):
            object.__setattr__(value, name, child)
        return value

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    return cls


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class TextBatch:
    """A batch of tokenized texts, as the host hands it to a model.

    Attributes:
        ids: token ids, ``[B, L]``.
        mask: True where a token is real, ``[B, L]``.
        type_ids: token types (BERT's sentence A and B), ``[B, L]``.
        units: characters, bytes, hashes or features of each token, ``[B, L, C]``.
        unit_mask: True where a unit is real, ``[B, L, C]``.
        positions: position of each token in its text; counted from zero when absent, ``[B, L]``.
        segment_ids: which of several texts packed into one row a token belongs to, ``[B, L]``.
            Tokens attend only within their segment.
        spans: pooling masks, one per wanted vector, ``[B, S, L]``.
        side_ids: what else is known of a token, such as its language and its script, as N whole
            numbers, -1 for what is not known, ``[B, L, N]``.
    """

    ids: Int[AnyArray, "B L"]
    mask: Bool[AnyArray, "B L"]
    type_ids: Int[AnyArray, "B L"] | None = None
    units: Int[AnyArray, "B L C"] | None = None
    unit_mask: Bool[AnyArray, "B L C"] | None = None
    positions: Int[AnyArray, "B L"] | None = None
    segment_ids: Int[AnyArray, "B L"] | None = None
    spans: Bool[AnyArray, "B S L"] | None = None
    side_ids: Int[AnyArray, "B L N"] | None = None

    def replace(self, **changes: object) -> "TextBatch":
        """Returns a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def with_side_ids(self, ids: Int[AnyArray, "B N"]) -> "TextBatch":
        """Returns a copy in which all tokens of a text have its side ids."""
        ids = jnp.asarray(ids)
        shape = (*self.ids.shape, ids.shape[1])
        return self.replace(side_ids=jnp.broadcast_to(ids[:, None], shape))

    def with_states(self, states: Float[Array, "B L D"]) -> "Hidden":
        """Returns states of these tokens, with what encoders and poolings need to know of them."""
        return Hidden(
            states=states,
            mask=jnp.asarray(self.mask),
            positions=_on_device(self.positions),
            segment_ids=_on_device(self.segment_ids),
            type_ids=_on_device(self.type_ids),
            side_ids=_on_device(self.side_ids),
        )


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class Hidden:
    """States of a batch on their way through a model.

    Attributes:
        states: ``[B, L, D]``.
        mask: True where a state belongs to real text, ``[B, L]``.
        positions, segment_ids, type_ids: carried along from the batch, ``[B, L]``.
        side_ids: the same, ``[B, L, N]``.
        layers: the embedding output and the output of every layer, when a consumer asked for
            them; ``layers[0]`` is the embedding output.
        attention_diagonal: attention of each token to itself, per layer and head,
            ``[B, N, H, L]``, when a consumer asked for it.
    """

    states: Float[Array, "B L D"]
    mask: Bool[Array, "B L"]
    positions: Int[Array, "B L"] | None = None
    segment_ids: Int[Array, "B L"] | None = None
    type_ids: Int[Array, "B L"] | None = None
    side_ids: Int[Array, "B L N"] | None = None
    layers: tuple[Float[Array, "B L D"], ...] | None = None
    attention_diagonal: Float[Array, "B N H L"] | None = None

    def replace(self, **changes: object) -> "Hidden":
        """Returns a copy with some fields changed."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class TextOutput:
    """What a model returns.

    Attributes:
        vectors: one vector per text ``[B, E]``, or per span ``[B, S, E]`` when the batch has
            spans; ``None`` for a model without a pooling.
        hidden: the encoder's states.
    """

    vectors: Float[Array, "B *S E"] | None
    hidden: Hidden


def _on_device(array: AnyArray | None) -> Array | None:
    return None if array is None else jnp.asarray(array)
