"""How ragged texts become a few static shapes with little padding."""

import dataclasses
from collections.abc import Iterator

import numpy as np


@dataclasses.dataclass(frozen=True)
class Shape:
    """A batch of some rows padded to one static shape."""

    rows: np.ndarray
    length: int
    size: int


def bucket_length(length: int) -> int:
    """The padded length for texts of ``length`` tokens: steps of an eighth to a quarter of it."""
    step = 4
    while length > 8 * step:
        step *= 2
    return max(step, -(-length // step) * step)


def plan(lengths: np.ndarray, *, tokens_per_batch: int, max_length: int) -> Iterator[Shape]:
    """Groups texts of similar length into batches of about ``tokens_per_batch`` tokens.

    Longest first, so that the time left is never underestimated. Each batch is padded to the
    bucket of its longest text; the size depends on that length alone, so there are few shapes.

    Args:
        lengths: tokens of each text.
        tokens_per_batch: rows times padded length, approximately.
        max_length: never pad beyond this.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        length = min(bucket_length(max(1, int(lengths[order[start]]))), max_length)
        size = max(1, tokens_per_batch // length)
        rows = order[start : start + size]
        if len(rows) < size:
            size = min(size, 1 << (len(rows) - 1).bit_length())
        yield Shape(rows=rows, length=length, size=size)
        start += len(rows)
