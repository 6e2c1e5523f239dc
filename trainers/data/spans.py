"""Spans of texts in training rows: from characters to masks over tokens.

A row has a list of spans for a text, each a list of ``[start, end]`` in characters (one pair may
stand for a list of one), and a label for each span: a text or a whole number. Spans with equal
labels say the same, in whatever row, column and file; give labels of different files different
texts.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from textzoo.errors import DataError, TextInputError
from textzoo.modules.tokenizers import Tokenized
from textzoo.spans import pad_masks, read_spans
from textzoo.trainers.data.sources import Row


def span_masks(
    rows: Sequence[Row], tokenized: Tokenized, *, text: str, spans: str, labels: str, prefix: str,
    most: int, size: int, length: int,
) -> tuple[Bool[np.ndarray, "B S L"], Int[np.ndarray, "B S"]]:  # fmt: skip
    """The tokens of every span, and its label; -1 for spans without tokens, and for none.

    Args:
        rows: what the batch is made of.
        tokenized: their texts, with offsets.
        text: column of the texts.
        spans: column of the spans.
        labels: column of their labels.
        prefix: what stands before every text.
        most: S.
        size: B; rows that fill the batch up have no spans.
        length: L.

    Raises:
        DataError: a row has more spans, or as many labels as it has no spans, or a span reaches
            beyond its text.
    """
    masks = []
    numbers = np.full((size, most), -1, np.int32)
    for row, values in enumerate(rows[: len(tokenized)]):
        of_row, of_labels = values[spans], values[labels]
        if len(of_row) != len(of_labels):
            raise DataError(
                f"a row has {len(of_row)} spans in {spans!r} and {len(of_labels)} labels in "
                f"{labels!r}; give a label for each span: {values[text]!r:.60}"
            )
        if len(of_row) > most:
            raise DataError(
                f"a row has {len(of_row)} spans in {spans!r}, and max_spans is {most}; raise it to "
                f"{len(of_row)}, or leave some out: {values[text]!r:.60}"
            )
        try:
            (ranges,) = read_spans([values[text]], [of_row], spans)
        except TextInputError as error:
            raise DataError(f"{error}: {values[text]!r:.60}") from error
        found = ranges.token_masks(tokenized.offsets_of(row) - len(prefix))
        numbers[row, : len(of_row)] = np.where(found.any(axis=1), of_labels, -1)
        masks.append(found)
    return pad_masks(masks, rows=size, size=most, length=length), numbers
