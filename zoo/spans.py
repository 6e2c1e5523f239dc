"""Character spans to token masks, and the results of calls that return more than one vector."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from textzoo.errors import TextInputError

Span = tuple[int, int] | Sequence[tuple[int, int]]
"""First and past-the-end character, or a list of such pairs for a span with gaps."""

# Masks [B, S, L] and their vectors are kept to about this many numbers per batch.
_MASK_CELLS = 1 << 22


@dataclasses.dataclass(frozen=True)
class TokenVectors:
    """The tokens of one text.

    Special tokens, the prompt, and tokens of nothing but white space are left out.

    Attributes:
        text: what was encoded.
        vectors: the encoder's states, float32 ``[T, D]``.
        offsets: first and past-the-end character of each token ``[T, 2]``.
    """

    text: str
    vectors: Float[np.ndarray, "T D"]
    offsets: Int[np.ndarray, "T 2"]

    @property
    def tokens(self) -> list[str]:
        """The stretch of text each token stands for."""
        return [self.text[start:end] for start, end in self.offsets.tolist()]

    def __len__(self) -> int:
        return len(self.vectors)


@dataclasses.dataclass(frozen=True)
class SpanVectors:
    """The spans of one text.

    Attributes:
        vectors: one per span, in the order they were given, float32 ``[S, E]``.
        kept: False where a span has no vector (zeros stand there): all of it was lost to
            truncation, or no token overlaps it.
    """

    vectors: Float[np.ndarray, "S E"]
    kept: Bool[np.ndarray, "S"]

    def __len__(self) -> int:
        return len(self.vectors)


@dataclasses.dataclass(frozen=True)
class SpanRanges:
    """The spans of one text as arrays.

    Attributes:
        ranges: all pieces of all spans ``[P, 2]``.
        owner: the span of each piece ``[P]``.
        count: S.
    """

    ranges: Int[np.ndarray, "P 2"]
    owner: Int[np.ndarray, "P"]
    count: int

    def token_masks(self, offsets: Int[np.ndarray, "T 2"]) -> Bool[np.ndarray, "S T"]:
        """Which tokens belong to each span: those that overlap a piece of it."""
        start, end = offsets[:, 0], offsets[:, 1]
        inside = (start < self.ranges[:, 1:]) & (end > self.ranges[:, :1]) & (start < end)
        masks = np.zeros((self.count, len(offsets)), bool)
        np.logical_or.at(masks, self.owner, inside)
        return masks


def read_spans(texts: Sequence[str], spans: Sequence[Sequence[Span]]) -> list[SpanRanges]:
    """Checks the spans of every text.

    Raises:
        TextInputError: a span is not made of pairs, or does not lie within its text.
    """
    if isinstance(spans, str) or len(spans) != len(texts):
        raise TextInputError(
            f"{len(spans)} lists of spans for {len(texts)} texts; give one list per text, "
            "e.g. encode_spans(['some text'], [[(0, 4), (5, 9)]])"
        )
    return [
        _read(text, of_text, f"spans[{index}]")
        for index, (text, of_text) in enumerate(zip(texts, spans, strict=True))
    ]


def _read(text: str, spans: Sequence[Span], where: str) -> SpanRanges:
    ranges, owner = [], []
    try:
        count = len(spans)
    except TypeError:
        raise TextInputError(f"{where} is {spans!r:.40}, expected a list of spans") from None
    for number, span in enumerate(spans):
        for start, end in _pieces(span, f"{where}[{number}]"):
            if not 0 <= start <= end <= len(text):
                raise TextInputError(
                    f"{where}[{number}] has ({start}, {end}), which does not lie within its text "
                    f"of {len(text)} characters; expected 0 <= start <= end <= {len(text)}"
                )
            ranges.append((start, end))
            owner.append(number)
    return SpanRanges(np.array(ranges, np.int64).reshape(-1, 2), np.array(owner, np.int64), count)


def _pieces(span: Any, where: str) -> list[tuple[int, int]]:
    try:
        pieces = [span] if _is_pair(span) else list(span)
    except TypeError:
        pieces = []
    if not pieces or not all(_is_pair(piece) for piece in pieces):
        raise TextInputError(
            f"{where} is {span!r:.60}, expected (start, end) in characters, or a list of such "
            "pairs for a span with gaps"
        )
    return [(int(start), int(end)) for start, end in pieces]


def _is_pair(value: Any) -> bool:
    return (
        not isinstance(value, str)
        and hasattr(value, "__len__")
        and len(value) == 2
        and all(isinstance(item, int | np.integer) for item in value)
    )


def span_groups(
    texts: Sequence[str], ranges: Sequence[SpanRanges], tokens_per_batch: int
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Groups texts with similar numbers of spans, so that there are few shapes.

    Yields:
        S of the padded masks, tokens per batch for it, and the texts of the group, longest first.
    """
    counts = np.array([item.count for item in ranges], np.int64)
    padded = np.array([1 << max(0, int(count) - 1).bit_length() for count in counts])
    lengths = np.fromiter(map(len, texts), np.int64, count=len(texts))
    for size in np.unique(padded[counts > 0]).tolist():
        group = np.flatnonzero((padded == size) & (counts > 0))
        tokens = max(1, min(tokens_per_batch, _MASK_CELLS // size))
        yield size, tokens, group[np.argsort(-lengths[group], kind="stable")]


def pad_masks(
    masks: Sequence[Bool[np.ndarray, "_ _"]], *, rows: int, size: int, length: int
) -> Bool[np.ndarray, "B S L"]:
    """Stacks the masks of several texts."""
    padded = np.zeros((rows, size, length), bool)
    for row, mask in enumerate(masks):
        padded[row, : mask.shape[0], : mask.shape[1]] = mask
    return padded
