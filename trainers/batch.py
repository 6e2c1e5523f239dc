"""What a training step is given."""

import dataclasses

from jaxtyping import Float, Int, Shaped, UInt

from textzoo.modules.types import AnyArray, TextBatch, register_pytree


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainBatch:
    """B rows of training data; what an objective does not need is ``None``.

    On the host the arrays are numpy and hold this process's rows; in the step they are global.

    Attributes:
        texts: one batch of tokens per text column, ``[B, L]`` each with an L of its own. Columns
            of a contrastive batch are anchor, positive, negatives.
        labels: class (whole numbers) or score of each row, ``[B]``.
        targets: what a teacher says of each row, ``[B, ...]``: vectors, scores or logits.
        keys: a hash of each text, ``[B, T]``, equal for equal texts, to find duplicates.
        word_ids: the word each token of the first column belongs to, counted from zero in each
            row, -1 for special tokens and padding, ``[B, L]``.
        span_labels: for each text column the label of each of its ``spans``, ``[B, S]``; equal
            labels say the same, in whatever row and column, and -1 is no span.
        row_mask: False for rows that only fill the batch up, ``[B]``; ``None``: all are real.
    """

    texts: tuple[TextBatch, ...]
    labels: Shaped[AnyArray, "B"] | None = None
    targets: Float[AnyArray, "B ..."] | None = None
    keys: UInt[AnyArray, "B T"] | None = None
    word_ids: Int[AnyArray, "B L"] | None = None
    span_labels: tuple[Int[AnyArray, "B _"], ...] | None = None
    row_mask: Shaped[AnyArray, "B"] | None = None

    def replace(self, **changes: object) -> "TrainBatch":
        """Returns a copy with some fields changed."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]

    def describe(self) -> str:
        """Rows and padded lengths, such as ``64 rows of 32 + 128 tokens``."""
        lengths = " + ".join(str(text.ids.shape[1]) for text in self.texts)
        return f"{self.texts[0].ids.shape[0]} rows of {lengths} tokens"


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class PackedTexts(TextBatch):
    """The texts of all columns in rows that they share, so that there is little padding.

    Stands alone in ``TrainBatch.texts``. ``segment_ids`` and ``positions`` keep the texts of a row
    apart; ``spans [R, S, L]`` has one for each text.

    Attributes:
        places: of each text, ``row * S + span``, ``[B, T]`` for B rows of T columns.
    """

    places: Int[AnyArray, "N T"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadedBatch:
    """A batch as the data pipeline hands it to the loop.

    Attributes:
        batch: this process's rows, as numpy arrays.
        examples: real rows of the global batch.
        tokens: real tokens of this process's rows, all columns together.
        identity: where the rows come from, for messages: epoch, source, row numbers.
    """

    batch: TrainBatch
    examples: int
    tokens: int
    identity: str
