"""Character spans to token masks, and the results of calls that return more than one vector."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from textzoo.errors import TextInputError

Span = tuple[int, int] | Sequence[tuple[int, int]]
"""First and past-the-end character, or a list of such pairs for a span with gaps."""

Pieces = Sequence[tuple[int, int]]
"""The pieces of a span with gaps."""

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
        cut: True where truncation took a part of the span, or all of it; a vector that is kept
            shows the rest.
        text: what was encoded, where there was one text.
        spans: the pieces of each span, where there was one text.
    """

    vectors: Float[np.ndarray, "S E"]
    kept: Bool[np.ndarray, "S"]
    cut: Bool[np.ndarray, "S"]
    text: str = ""
    spans: tuple[tuple[tuple[int, int], ...], ...] = ()

    @property
    def texts(self) -> list[str]:
        """What each span says, its pieces joined by a space."""
        return [" ".join(self.text[start:end] for start, end in span) for span in self.spans]

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

    def beyond(self, text: str, end: int) -> Bool[np.ndarray, "S"]:
        """Which spans have more than white space at or behind the character ``end``."""
        lost = np.zeros(self.count, bool)
        for (first, last), owner in zip(self.ranges.tolist(), self.owner.tolist(), strict=True):
            if last > end and not lost[owner]:
                lost[owner] = bool(text[max(first, end) : last].strip())
        return lost

    def pieces(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """The pieces of each span."""
        found: list[list[tuple[int, int]]] = [[] for _ in range(self.count)]
        for (first, last), owner in zip(self.ranges.tolist(), self.owner.tolist(), strict=True):
            found[owner].append((first, last))
        return tuple(map(tuple, found))


def read_spans(
    texts: Sequence[str], spans: Sequence[Sequence[Span]], name: str = "spans"
) -> list[SpanRanges]:
    """Checks the spans of every text.

    Args:
        texts: N texts.
        spans: a list for each of them.
        name: what messages call them.

    Raises:
        TextInputError: a span is not made of pairs, or does not lie within its text.
    """
    if not hasattr(spans, "__len__") or isinstance(spans, str | bytes):
        raise TextInputError(
            f"{name} is {type(spans).__name__}, expected a list of {name} for each text, e.g. "
            f"encode_{name}(['some text'], [[(0, 4), (5, 9)]])"
        )
    if len(spans) != len(texts):
        raise TextInputError(
            f"{len(spans)} lists of {name} for {len(texts)} texts; give one list per text, "
            f"e.g. encode_{name}(['some text'], [[(0, 4), (5, 9)]])"
        )
    return [
        _read(text, of_text, f"{name}[{index}]")
        for index, (text, of_text) in enumerate(zip(texts, spans, strict=True))
    ]


def check_single(texts: Sequence[str], spans: Sequence[Sequence[Span]], name: str) -> None:
    """Checks spans that are one stretch each, with something in it.

    Args:
        texts: what they are of.
        spans: as for :func:`read_spans`.
        name: what messages call them, ``"phrases"``.

    Raises:
        TextInputError: one has gaps, or is empty; and as :func:`read_spans`.
    """
    for (index, number), pieces in _all_pieces(texts, spans, name):
        if len(pieces) != 1:
            raise TextInputError(
                f"{name}[{index}][{number}] has {len(pieces)} pieces {pieces}; one of these "
                f"{name} is one (start, end). Use encode_spans for spans with gaps"
            )
        _check_not_empty(pieces, f"{name}[{index}][{number}]")


def check_pieces(texts: Sequence[str], spans: Sequence[Sequence[Span]], name: str) -> None:
    """Checks spans of several stretches: none is empty, and no two of a span overlap.

    Args:
        texts: what they are of.
        spans: as for :func:`read_spans`.
        name: what messages call them, ``"propositions"``.

    Raises:
        TextInputError: see above; and as :func:`read_spans`.
    """
    for (index, number), pieces in _all_pieces(texts, spans, name):
        where = f"{name}[{index}][{number}]"
        _check_not_empty(pieces, where)
        ordered = sorted(pieces)
        for (start, end), (after, last) in itertools.pairwise(ordered):
            if after < end:
                raise TextInputError(
                    f"{where} has pieces ({start}, {end}) and ({after}, {last}), which overlap; "
                    f"write them as one, ({start}, {max(end, last)})"
                )


def _all_pieces(
    texts: Sequence[str], spans: Sequence[Sequence[Span]], name: str
) -> Iterator[tuple[tuple[int, int], tuple[tuple[int, int], ...]]]:
    for index, item in enumerate(read_spans(texts, spans, name)):
        for number, pieces in enumerate(item.pieces()):
            yield (index, number), pieces


def _check_not_empty(pieces: Sequence[tuple[int, int]], where: str) -> None:
    for start, end in pieces:
        if start == end:
            raise TextInputError(
                f"{where} has ({start}, {end}), which is empty; expected start < end"
            )


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
