"""From rows to a batch of arrays."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped, UInt

from textzoo.errors import ConfigError, DataError
from textzoo.modules.tokenizers import Tokenized, Tokenizer
from textzoo.modules.types import TextBatch
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.data.fields import Field
from textzoo.trainers.data.hashing import text_key
from textzoo.trainers.data.sources import Row
from textzoo.trainers.data.spans import span_masks
from textzoo.trainers.data.words import tokenize_with_words


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of texts as a model is given it.

    Attributes:
        name: of the column.
        prefix: put before every text, such as ``"query: "``.
        lengths: the padded lengths its batches may have, in tokens; those of the data if absent.
        spans: column of the spans of its texts that are pooled; see
            :mod:`textzoo.trainers.data.spans`.
        span_labels: column of the labels of those spans.
        max_spans: S, spans of a text at most.
    """

    name: str
    prefix: str = ""
    lengths: tuple[int, ...] | None = None
    spans: str | None = None
    span_labels: str | None = None
    max_spans: int = 16

    def __post_init__(self) -> None:
        if (self.spans is None) != (self.span_labels is None):
            raise ConfigError(
                f"column {self.name!r}: spans={self.spans!r}, span_labels={self.span_labels!r}; "
                "name both columns, or neither"
            )
        if self.max_spans < 1:
            raise ConfigError(f"column {self.name!r}: max_spans={self.max_spans}; use 1 or more")

    @property
    def fields(self) -> tuple[Field, ...]:
        """What is read for it."""
        if self.spans is None or self.span_labels is None:
            return (Field(name=self.name),)
        return (
            Field(name=self.name),
            Field(name=self.spans, kind="spans"),
            Field(name=self.span_labels, kind="span_labels"),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Counts:
    """What went into batches, added up.

    Attributes:
        rows: real rows.
        texts: of all columns of those rows.
        tokens: real tokens.
        cut: texts that were longer than the longest length.
        places: real tokens and padding.
    """

    rows: int = 0
    texts: int = 0
    tokens: int = 0
    cut: int = 0
    places: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            rows=self.rows + other.rows,
            texts=self.texts + other.texts,
            tokens=self.tokens + other.tokens,
            cut=self.cut + other.cut,
            places=self.places + other.places,
        )

    @property
    def padding(self) -> float:
        """Share of the places that is padding."""
        return 1 - self.tokens / self.places if self.places else 0.0


class Collator:
    """Turns rows into a :class:`TrainBatch`; may be called from several threads at once.

    Args:
        tokenizer: cuts texts to the longest of ``lengths``.
        columns: of texts, in the order of the batch.
        lengths: padded lengths of columns that name none.
        labels: column of labels.
        targets: columns of what a teacher says.
        keys: whether to hash texts.
        word_ids: whether to number the words of the first column.
    """

    def __init__(
        self, tokenizer: Tokenizer, columns: Sequence[Column], lengths: tuple[int, ...], *,
        labels: Field | None = None, targets: Sequence[Field] = (), keys: bool = False,
        word_ids: bool = False,
    ) -> None:  # fmt: skip
        self.columns = tuple(columns)
        self.lengths = tuple(
            check_lengths(column.lengths or lengths, tokenizer) for column in self.columns
        )
        self.tokenizers = [cutting(tokenizer, lengths[-1]) for lengths in self.lengths]
        self._labels = labels
        self._targets = tuple(targets)
        self.keys = keys
        self.word_ids = word_ids

    def __call__(
        self, rows: Sequence[Row], tokenized: Sequence[Tokenized], keys: Sequence[np.ndarray],
        size: int, longest: Sequence[int],
    ) -> tuple[TrainBatch, Counts]:  # fmt: skip
        """Makes a batch.

        Args:
            rows: the real ones, of which only labels and targets are read; any row where there
                is no real one.
            tokenized: the texts of each column.
            keys: hashes of the texts of each column; read when they are wanted.
            size: rows of the batch, filled up with empty ones.
            longest: tokens for which each column must have room.
        """
        count = len(tokenized[0])
        texts = tuple(
            tokens.batch(np.arange(count), next(n for n in lengths if n >= needed), size)
            for tokens, lengths, needed in zip(tokenized, self.lengths, longest, strict=True)
        )
        counts = Counts(
            rows=count,
            texts=count * len(texts),
            tokens=sum(len(tokens.ids) for tokens in tokenized),
            cut=sum(int(np.count_nonzero(tokens.truncated)) for tokens in tokenized),
            places=sum(batch.ids.size for batch in texts),
        )
        texts, span_labels = self._with_spans(rows, tokenized, texts)
        hashes = np.zeros((size, len(texts)), np.uint32)
        for column, found in enumerate(keys if self.keys else ()):
            hashes[:count, column] = found
        batch = TrainBatch(
            texts=texts,
            labels=None if self._labels is None else labels_of(rows, self._labels, count, size),
            targets=targets_of(rows, self._targets, count, size) if self._targets else None,
            keys=hashes if self.keys else None,
            word_ids=word_ids_of(tokenized[0], texts[0]) if self.word_ids else None,
            span_labels=span_labels,
            row_mask=None if count == size else np.arange(size) < count,
        )
        return batch, counts

    def tokenize(self, rows: Sequence[Row]) -> list[Tokenized]:
        """Tokens of every column, with one call for all columns that are tokenized alike."""
        texts = [[column.prefix + row[column.name] for row in rows] for column in self.columns]
        results: dict[int, Tokenized] = {}
        if self.word_ids:
            results[0] = tokenize_with_words(self.tokenizers[0], texts[0])
        kinds = [
            (lengths[-1], column.spans is not None)
            for column, lengths in zip(self.columns, self.lengths, strict=True)
        ]
        for kind in sorted(set(kinds)):
            alike = [i for i, own in enumerate(kinds) if own == kind and i not in results]
            if alike:
                tokenized = self.tokenizers[alike[0]](
                    [t for i in alike for t in texts[i]], return_offsets=kind[1]
                )
                for turn, index in enumerate(alike):
                    first = turn * len(rows)
                    results[index] = tokenized.stretch(first, first + len(rows))
        return [results[index] for index in range(len(self.columns))]

    def hash(self, rows: Sequence[Row]) -> list[UInt[np.ndarray, "B"]]:
        """Hashes of the texts of every column."""
        return [
            np.array([text_key(row[column.name]) for row in rows], np.uint32)
            for column in self.columns
        ]

    @property
    def reads_rows(self) -> bool:
        """Whether a batch needs more of the rows than their tokens and keys."""
        return self._labels is not None or bool(self._targets) or self.has_spans

    @property
    def has_spans(self) -> bool:
        """Whether spans of texts are read, for which offsets are needed."""
        return any(column.spans is not None for column in self.columns)

    def _with_spans(
        self, rows: Sequence[Row], tokenized: Sequence[Tokenized], texts: tuple[TextBatch, ...]
    ) -> tuple[tuple[TextBatch, ...], tuple[np.ndarray, ...] | None]:
        """The texts with masks of their spans, and the labels of those."""
        if not self.has_spans:
            return texts, None
        found, labels = [], []
        for column, tokens, batch in zip(self.columns, tokenized, texts, strict=True):
            if column.spans is None or column.span_labels is None:
                raise ConfigError(
                    f"column {column.name!r} has no spans, and others have; name the spans of all "
                    "columns, or of none"
                )
            masks, numbers = span_masks(
                rows, tokens, text=column.name, spans=column.spans, labels=column.span_labels,
                prefix=column.prefix, most=column.max_spans, size=batch.ids.shape[0],
                length=batch.ids.shape[1],
            )  # fmt: skip
            found.append(batch.replace(spans=masks))
            labels.append(numbers)
        return tuple(found), tuple(labels)


def labels_of(rows: Sequence[Row], field: Field, count: int, size: int) -> Shaped[np.ndarray, "B"]:
    """Labels as int32 classes or float32 scores; 0 in rows that fill the batch up."""
    labels = np.zeros(size, np.int32 if field.kind == "class" else np.float32)
    labels[:count] = [row[field.name] for row in rows[:count]]
    return labels


def targets_of(
    rows: Sequence[Row], fields: Sequence[Field], count: int, size: int
) -> Shaped[np.ndarray, "B ..."]:
    """One column as it is, ``[B]`` or ``[B, E]``; several side by side, ``[B, T]`` or more."""
    columns = []
    for field in fields:
        values = [np.asarray(row[field.name], np.float32) for row in rows]
        shapes = sorted({value.shape for value in values})
        if len(shapes) > 1:
            widths = ", ".join(str(shape[0]) for shape in shapes)
            raise DataError(
                f"column {field.name!r} has vectors of different widths ({widths}) in one batch; "
                "expected the same width in all rows"
            )
        filled = np.zeros((size, *shapes[0]), np.float32)
        if count:
            filled[:count] = values
        columns.append(filled)
    if len({column.shape for column in columns}) > 1:
        raise DataError(
            f"target columns {[f.name for f in fields]} have shapes "
            f"{[list(c.shape) for c in columns]}; expected the same shape of all"
        )
    return columns[0] if len(columns) == 1 else np.stack(columns, axis=1)


def word_ids_of(tokens: Tokenized, batch: TextBatch) -> np.ndarray:
    """The word of each token ``[B, L]``, -1 for special tokens and padding."""
    if tokens.words is None:
        raise ValueError("tokenize with tokenize_with_words to have words")
    words = np.full(batch.ids.shape, -1, np.int32)
    words[batch.mask] = tokens.words
    return words


def check_lengths(lengths: tuple[int, ...], tokenizer: Tokenizer) -> tuple[int, ...]:
    """The padded lengths in order.

    Raises:
        ConfigError: there are none, or the tokenizer cuts below the longest.
    """
    if not lengths or min(lengths) < 1:
        raise ConfigError(f"lengths={lengths}; expected positive numbers, e.g. (32, 64, 128)")
    if max(lengths) > tokenizer.max_length:
        raise ConfigError(
            f"lengths={lengths}, but the tokenizer cuts texts to {tokenizer.max_length} tokens; "
            f"use lengths up to that, or a tokenizer with max_length={max(lengths)}"
        )
    return tuple(sorted(set(lengths)))


def cutting(tokenizer: Tokenizer, max_length: int) -> Tokenizer:
    """The tokenizer, made to cut texts to a length.

    Raises:
        ConfigError: it cannot be made to.
    """
    if tokenizer.max_length == max_length:
        return tokenizer
    with_options = getattr(tokenizer, "with_options", None)
    if with_options is None:
        raise ConfigError(
            f"the tokenizer cuts texts to {tokenizer.max_length} tokens, the longest of lengths "
            f"is {max_length}; give a {type(tokenizer).__name__} with max_length={max_length}"
        )
    return with_options(max_length=max_length)
