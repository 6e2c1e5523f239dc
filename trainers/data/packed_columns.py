"""Batches of texts of any columns, packed: several texts in a row."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from textzoo.errors import ConfigError
from textzoo.modules.types import TextBatch
from textzoo.trainers.batch import LoadedBatch, PackedTexts
from textzoo.trainers.data.stream import BatchStream, TrainingData


class PackedColumns:
    """Data whose batches hold the texts of all columns in rows that they share.

    A batch of texts of very different lengths, each in a row of its own, is mostly padding, which
    costs as much arithmetic as text does. Here texts lie in rows one after the other, longest
    first, each in the row with the least room that still has enough (best-fit decreasing). Texts
    see themselves alone, and the vectors are the same; which numbers dropout draws is not.

    For objectives on vectors (:class:`textzoo.trainers.objectives.vectors.VectorObjective`), on
    one process, without ``chunk_size`` and accumulation.

    Args:
        data: whose batches are packed.
        length: tokens of a row; the longest padded length of the data is enough.
        row_multiple: a batch has a multiple of so many rows. Small numbers make little padding,
            large ones few shapes to compile; several devices need a multiple of their number.
        texts_per_row: as many at most.

    Used as ``PackedColumns(TextData(...), length=64)`` where a ``TextData`` would be.
    """

    def __init__(
        self, data: TrainingData, *, length: int, row_multiple: int = 4, texts_per_row: int = 16
    ) -> None:
        for name, value in (
            ("length", length), ("row_multiple", row_multiple), ("texts_per_row", texts_per_row)
        ):  # fmt: skip
            if value < 1:
                raise ConfigError(f"{name}={value}; use 1 or more")
        self.data = data
        self.length = length
        self.row_multiple = row_multiple
        self.texts_per_row = texts_per_row

    def stream(self, *, process_index: int = 0, process_count: int = 1) -> BatchStream:
        """The stream of the data, packed.

        Raises:
            ConfigError: there are several processes, which cannot know each other's rows.
        """
        if process_count > 1:
            raise ConfigError(
                f"texts are packed by one process, and there are {process_count}; train on the "
                "data themselves"
            )
        return PackedStream(self.data.stream(), self)

    def pack(self, texts: Sequence[TextBatch]) -> PackedTexts:
        """Packs the texts of all columns.

        Args:
            texts: a batch per column, one text to a row.

        Raises:
            ConfigError: a text is longer than a row, or tokens have units or types.
        """
        if any(text.units is not None or text.type_ids is not None for text in texts):
            raise ConfigError("texts with units or token types are not packed; train on the data "
                              "themselves")  # fmt: skip
        sizes = np.concatenate([np.asarray(text.mask).sum(-1) for text in texts])
        if sizes.max() > self.length:
            raise ConfigError(
                f"a text has {sizes.max()} tokens, and packed rows have {self.length}; use "
                f"length={sizes.max()}"
            )
        rows, starts, spans = _best_fit(sizes, self.length, self.texts_per_row)
        count = -(-(int(rows.max()) + 1) // self.row_multiple) * self.row_multiple
        owner = np.repeat(np.arange(len(sizes)), sizes)
        offset = np.arange(len(owner)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        at = rows[owner], starts[owner] + offset
        shape = (count, self.length)
        packed = {name: np.zeros(shape, np.int32) for name in ("ids", "positions", "segment_ids")}
        mask = np.zeros(shape, bool)
        span_masks = np.zeros((count, self.texts_per_row, self.length), bool)
        packed["ids"][at] = np.concatenate([np.asarray(t.ids)[np.asarray(t.mask)] for t in texts])
        packed["positions"][at] = offset
        packed["segment_ids"][at] = spans[owner] + 1
        mask[at] = True
        span_masks[at[0], spans[owner], at[1]] = True
        places = (rows * self.texts_per_row + spans).reshape(len(texts), -1).T.astype(np.int32)
        return PackedTexts(**packed, mask=mask, spans=span_masks, places=places)


def _best_fit(
    sizes: Int[np.ndarray, "N"], length: int, texts_per_row: int
) -> tuple[Int[np.ndarray, "N"], Int[np.ndarray, "N"], Int[np.ndarray, "N"]]:
    """Row, first token and number within its row of each text."""
    rows, starts, spans = (np.zeros(len(sizes), np.int64) for _ in range(3))
    room = np.zeros(0, np.int64)
    held = np.zeros(0, np.int64)
    for text in np.argsort(-sizes, kind="stable"):
        fits = np.flatnonzero((room >= sizes[text]) & (held < texts_per_row))
        if len(fits) == 0:
            room, held = np.append(room, length), np.append(held, 0)
            row = len(room) - 1
        else:
            row = fits[room[fits].argmin()]
        rows[text], starts[text], spans[text] = row, length - room[row], held[row]
        room[row] -= sizes[text]
        held[row] += 1
    return rows, starts, spans


class PackedStream:
    """A stream whose batches are packed as they are handed out; its places are the other's.

    Args:
        stream: of batches with one text to a row.
        packing: how they are packed.
    """

    def __init__(self, stream: BatchStream, packing: PackedColumns) -> None:
        self._stream = stream
        self._packing = packing

    def __iter__(self) -> Iterator[LoadedBatch]:
        return self

    def __next__(self) -> LoadedBatch:
        loaded = next(self._stream)
        texts = self._packing.pack(loaded.batch.texts)
        return dataclasses.replace(loaded, batch=loaded.batch.replace(texts=(texts,)))

    def get_state(self) -> dict[str, Any]:
        """The place after the batches handed out so far."""
        return self._stream.get_state()

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes to a place."""
        self._stream.set_state(state)

    def close(self) -> None:
        """Ends the stream."""
        self._stream.close()
