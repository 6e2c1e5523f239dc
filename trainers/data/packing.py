"""Which pieces of which texts share a row of tokens."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Int

from textzoo.trainers.data.permutation import shuffled

Packing = Literal["pack", "concatenate", "none"]

_PIECES = 4  # First number of keys; the order of rows has others.
_WINDOW = 4096


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowPlan:
    """Rows as pieces of texts that lie one after the other in a token store.

    Attributes:
        starts: where each piece begins in the store; pieces are in the order of rows.
        lengths: tokens of each piece, without special ones.
        firsts: first piece of each row, and the number of pieces at the end.
    """

    starts: Int[np.ndarray, "P"]
    lengths: Int[np.ndarray, "P"]
    firsts: Int[np.ndarray, "R1"]

    def __len__(self) -> int:
        return len(self.firsts) - 1


def plan_rows(
    text_starts: Int[np.ndarray, "N1"], packing: Packing, *, length: int, special: tuple[int, int],
    seed: int,
) -> RowPlan:  # fmt: skip
    """Lays out all tokens in rows of ``length``; texts come in random order.

    - ``none``: texts are cut into pieces that fill a row together with their special tokens; the
      last piece of a text is followed by padding.
    - ``pack``: the same pieces, with short ones together in a row. Within windows of 4,096
      pieces, the longest is placed first, each into the row with the least room that still has
      enough (best-fit decreasing), which leaves padding of well below 1% for most texts.
    - ``concatenate``: texts one after the other, with the special tokens of an end between them,
      cut into full rows wherever that falls (RoBERTa's FULL-SENTENCES, Liu et al. 2019, section
      4.2).

    Args:
        text_starts: first token of each text in the store, and the total at the end.
        packing: how.
        length: tokens per row.
        special: numbers of special tokens before and after a piece.
        seed: of the order of texts.
    """
    if packing == "concatenate":
        return _concatenated(text_starts, length, special, seed)
    limit = length - sum(special)
    starts, lengths = _cut(text_starts, limit)
    order = shuffled(np.arange(len(starts)), max(1, len(starts)), _PIECES, seed)
    starts, lengths = starts[order], lengths[order]
    if packing == "none":
        return RowPlan(starts=starts, lengths=lengths, firsts=np.arange(len(starts) + 1))
    rows = _best_fit(lengths + sum(special), length)
    by_row = np.argsort(rows, kind="stable")
    counts = np.bincount(rows) if len(rows) else np.zeros(0, np.int64)
    return RowPlan(
        starts=starts[by_row],
        lengths=lengths[by_row],
        firsts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
    )


def _cut(
    text_starts: Int[np.ndarray, "N1"], limit: int
) -> tuple[Int[np.ndarray, "P"], Int[np.ndarray, "P"]]:
    """First token and number of tokens of the pieces of all texts; empty texts have none."""
    lengths = np.diff(text_starts)
    counts = -(-lengths // limit)
    text = np.repeat(np.arange(len(lengths)), counts)
    turn = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return text_starts[text] + turn * limit, np.minimum(limit, lengths[text] - turn * limit)


def _best_fit(sizes: Int[np.ndarray, "P"], capacity: int) -> Int[np.ndarray, "P"]:
    """The row of each piece."""
    rows = np.empty(len(sizes), np.int64)
    count = 0
    for start in range(0, len(sizes), _WINDOW):
        window = sizes[start : start + _WINDOW]
        order = np.argsort(-window, kind="stable")
        found, used = _best_fit_sorted(window[order].tolist(), capacity)
        rows[start + order] = np.asarray(found) + count
        count += used
    return rows


def _best_fit_sorted(sizes: Sequence[int], capacity: int) -> tuple[list[int], int]:
    """The row of each piece, longest pieces first, and the number of rows."""
    with_room: list[list[int]] = [[] for _ in range(capacity + 1)]
    open_rooms = 0  # Bit r is set when a row has room for exactly r tokens.
    rows, count = [], 0
    for size in sizes:
        fitting = open_rooms >> size
        if fitting:
            room = size + (fitting & -fitting).bit_length() - 1
            row = with_room[room].pop()
            if not with_room[room]:
                open_rooms ^= 1 << room
        else:
            room, row, count = capacity, count, count + 1
        rows.append(row)
        if room > size:
            with_room[room - size].append(row)
            open_rooms |= 1 << (room - size)
    return rows, count


def _concatenated(
    text_starts: Int[np.ndarray, "N1"], length: int, special: tuple[int, int], seed: int
) -> RowPlan:
    """Pieces of one long text in which every text is followed by room for its end.

    A row takes ``length - before - after`` places of it. Room for an end at a row's own end or
    beginning is not needed, because every row has an end of its own.
    """
    before, after = special
    lengths = np.diff(text_starts)
    order = shuffled(np.arange(len(lengths)), max(1, len(lengths)), _PIECES, seed)
    order = order[lengths[order] > 0]
    begins, lengths = text_starts[order], lengths[order]
    places = np.concatenate([[0], np.cumsum(lengths + after)])[:-1]  # Where each text begins.
    width = length - before - after
    first_row, last_row = places // width, (places + lengths - 1) // width
    counts = last_row - first_row + 1
    text = np.repeat(np.arange(len(order)), counts)
    rows = first_row[text] + np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    left = np.maximum(places[text], rows * width)
    right = np.minimum(places[text] + lengths[text], (rows + 1) * width)
    firsts = np.flatnonzero(np.diff(rows, prepend=-1))
    return RowPlan(
        starts=begins[text] + left - places[text],
        lengths=right - left,
        firsts=np.append(firsts, len(rows)),
    )
