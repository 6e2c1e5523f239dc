"""The values that flow through a model: a batch of texts, hidden states, and outputs.

Shape letters (used everywhere in textzoo): ``B`` texts, ``L`` tokens per text, ``C`` characters,
bytes or n-grams per token, ``D`` model width, ``E`` output width, ``S`` spans per text.
"""

import dataclasses

import jax
from jaxtyping import Array, Bool, Float, Int


@jax.tree_util.register_dataclass
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
    """

    ids: Int[Array, "B L"]
    mask: Bool[Array, "B L"]
    type_ids: Int[Array, "B L"] | None = None
    units: Int[Array, "B L C"] | None = None
    unit_mask: Bool[Array, "B L C"] | None = None
    positions: Int[Array, "B L"] | None = None
    segment_ids: Int[Array, "B L"] | None = None
    spans: Bool[Array, "B S L"] | None = None

    def replace(self, **changes: object) -> "TextBatch":
        """Returns a copy with some fields changed."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Hidden:
    """States of a batch on their way through a model.

    Attributes:
        states: ``[B, L, D]``.
        mask: True where a state belongs to real text, ``[B, L]``.
        positions, segment_ids, type_ids: carried along from the batch, ``[B, L]``.
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
    layers: tuple[Float[Array, "B L D"], ...] | None = None
    attention_diagonal: Float[Array, "B N H L"] | None = None

    def replace(self, **changes: object) -> "Hidden":
        """Returns a copy with some fields changed."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


@jax.tree_util.register_dataclass
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
