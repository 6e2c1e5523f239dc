"""Chunks of documents that are longer than the model takes: windows made of whole chunks."""

import dataclasses
import re
from collections.abc import Sequence

import numpy as np

from textzoo.calls import Call
from textzoo.spans import SpanRanges, SpanVectors

# A token has at most about so many characters on average; a window reads no more of a text.
_CHARACTERS_PER_TOKEN = 16

_WORD = re.compile(r"\S+")


def word_chunks(text: str, *, words: int = 200) -> list[tuple[int, int]]:
    """Chunks of so many words (stretches between white space) each; the last may be shorter."""
    if words < 1:
        raise ValueError(f"words={words}; use 1 or more")
    found = [match.span() for match in _WORD.finditer(text)]
    return [
        (found[first][0], found[min(first + words, len(found)) - 1][1])
        for first in range(0, len(found), words)
    ]


@dataclasses.dataclass
class _Document:
    """A document whose chunks are being found.

    Attributes:
        index: its number.
        order: chunks in the order they stand in.
        next: how many of them have a vector.
        is_alone: the window begins with the next chunk, because what stands before it left no room.
        base: character that the window begins with.
        asked: chunks (places in ``order``) that the window is asked for.
    """

    index: int
    order: np.ndarray
    next: int = 0
    is_alone: bool = False
    base: int = 0
    asked: range = range(0)


def chunk_vectors(
    call: Call, texts: list[str], chunks: Sequence[SpanRanges], prompt: str, *, context: int
) -> dict[int, SpanVectors]:
    """Vectors of the chunks of every document that has any.

    The first window begins with the document, the next one ``context`` chunks before the first
    chunk that was not whole in it, and so on: the long form of late chunking (Guenther et al. 2024,
    arXiv 2409.04701), with windows that begin with whole chunks.

    Args:
        call: encodes windows. Its counter then says how many documents had a chunk cut.
        texts: the documents.
        chunks: of each document, one piece each.
        prompt: put before every window.
        context: see above.
    """
    waiting = [
        _Document(index, np.argsort(item.ranges[:, 0], kind="stable"))
        for index, item in enumerate(chunks)
        if item.count
    ]
    rows: dict[int, dict[int, np.ndarray]] = {document.index: {} for document in waiting}
    flags = {document.index: np.zeros((2, len(document.order)), bool) for document in waiting}
    reach = _CHARACTERS_PER_TOKEN * call.counter.max_length
    while waiting:
        windows = [_window(texts[d.index], chunks[d.index], d, context, reach) for d in waiting]
        windows_found = call.spans(
            [text for text, _ in windows], [spans for _, spans in windows], prompt
        )
        for place, document in enumerate(waiting):
            result = windows_found[place]
            whole = int(np.argmax(result.cut)) if result.cut.any() else len(result)
            first = document.next - document.asked.start
            if whole <= first and not document.is_alone:
                document.is_alone = True
                continue
            # A chunk longer than a window is taken as far as it goes.
            whole = max(whole, first + 1)
            for row in range(first, whole):
                chunk = int(document.order[document.asked[row]])
                rows[document.index][chunk] = result.vectors[row]
                flags[document.index][:, chunk] = result.kept[row], result.cut[row]
            document.next = document.asked.start + whole
            document.is_alone = False
        waiting = [document for document in waiting if document.next < len(document.order)]
    call.counter.truncated = sum(bool(cut.any()) for _, cut in flags.values())
    call.counter.texts = len(flags)
    return {
        index: SpanVectors(
            np.stack([of_text[chunk] for chunk in range(len(of_text))]), *flags[index]
        )
        for index, of_text in rows.items()
    }


def _window(
    text: str, chunks: SpanRanges, document: _Document, context: int, reach: int
) -> tuple[str, SpanRanges]:
    """The text from the context of the next chunk on, and the chunks to ask it for."""
    ranges = chunks.ranges[document.order]
    begin = document.next if document.is_alone else max(0, document.next - context)
    start = int(ranges[document.next, 0])
    is_first = document.next == 0 and not document.is_alone
    document.base = 0 if is_first else int(ranges[begin, 0])
    end = document.next + 1
    while end < len(ranges) and ranges[end, 1] <= start + reach:
        end += 1
    document.asked = range(begin, end)
    stop = max(start + reach, int(ranges[begin:end, 1].max()))
    wanted = ranges[begin:end] - document.base
    return text[document.base : stop], SpanRanges(wanted, np.arange(len(wanted)), len(wanted))
