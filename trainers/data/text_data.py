"""Rows of texts as training data."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from textzoo.errors import ConfigError
from textzoo.modules.tokenizers import Tokenizer
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.data.batched import BatchedData, Mixture
from textzoo.trainers.data.collate import Collator, Column, Counts
from textzoo.trainers.data.fields import Field
from textzoo.trainers.data.grouping import GroupedOrder
from textzoo.trainers.data.loader import Loader, tokenized_beforehand
from textzoo.trainers.data.opening import Readable, open_source
from textzoo.trainers.data.order import Order, Places
from textzoo.trainers.data.stream import Reading
from textzoo.trainers.data.token_store import Advance


class TextData(BatchedData):
    """Rows of texts, tokenized into batches of static shape.

    Every epoch goes through all rows in another order. Which rows a batch has follows from the
    seed and its number alone: a run that is resumed, or runs on another number of processes, sees
    the same batches. A batch may hold the end of one epoch and the beginning of the next, and
    then, rarely, a row twice.

    Args:
        source: what :func:`open_source` opens (a ``.jsonl``, ``.tsv``, ``.txt`` or ``.parquet``
            file, several of them, rows in memory, ...), or a :class:`Mixture` of such things.
        tokenizer: turns texts into tokens.
        columns: the texts of a row; one batch of tokens each, in this order.
        batch_size: rows of a global batch.
        lengths: padded lengths. A batch takes the smallest that its longest text fits; each
            length is compiled once, for each column that takes it. Longer texts are cut, and
            counted. One length, the tokenizer's ``max_length``, if absent. Several processes
            cannot know the lengths of each other's texts, and always take the longest, unless
            texts are tokenized ahead.
        labels: column of classes, or a field of kind ``"class"`` or ``"score"``.
        targets: columns of what a teacher says, vectors or, as fields, scores.
        keys: hash texts, so that the loss finds duplicates.
        word_ids: number the words of the first column, for whole-word masking.
        seed: of the order.
        shuffle: without it, every epoch has the rows in the order of the source.
        strict: refuse broken rows instead of leaving them out.
        tokenize_ahead: tokenize all texts before the first batch, and keep the tokens on disk.
            Worth it for more than one epoch, and when the processor has little time beside.
        group_by_length: put texts of similar length into the same batch, among the rows of so
            many batches, so that there is less padding; needs ``tokenize_ahead``. The rows of a
            batch are then no longer a fair sample, which matters to contrastive losses.
        cache: folder where indices, unpacked files and tokens are kept for the next run. Without
            one, what is needed lies in temporary files. Where many processes share the folder,
            prepare it with one of them first, so that not all do the same work.
        reading: threads, and how far they run ahead.
        on_progress: told of texts and tokens that are tokenized ahead.

    Raises:
        DataError: a source is missing, empty or damaged, or lacks a column.
        ConfigError: options that do not fit together.

    Example:
        >>> import tokenizers
        >>> from textzoo.modules import SubwordTokenizer
        >>> library = tokenizers.Tokenizer(
        ...     tokenizers.models.WordLevel({"[UNK]": 0, "a": 1, "cat": 2, "dog": 3}, "[UNK]")
        ... )
        >>> library.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
        >>> rows = [{"text": "a cat", "label": 0}, {"text": "a big dog", "label": 1}]
        >>> data = TextData(
        ...     rows, SubwordTokenizer(library), columns=("text",), labels="label",
        ...     batch_size=2, lengths=(4, 8), shuffle=False,
        ... )
        >>> stream = data.stream()
        >>> next(stream).batch.texts[0].ids.tolist()
        [[1, 2, 0, 0], [1, 0, 3, 0]]
        >>> stream.get_state()["position"]
        {'next_index': 1}
        >>> stream.close()
    """

    def __init__(
        self, source: Readable | Mixture, tokenizer: Tokenizer, *,
        columns: Sequence[str | Column], batch_size: int, lengths: Sequence[int] | None = None,
        labels: str | Field | None = None, targets: str | Field | Sequence[str | Field] = (),
        keys: bool = False, word_ids: bool = False, seed: int = 0, shuffle: bool = True,
        strict: bool = False, tokenize_ahead: bool = False, group_by_length: int = 0,
        cache: Path | None = None, reading: Reading | None = None,
        on_progress: Advance = lambda texts, tokens: None,
    ) -> None:  # fmt: skip
        super().__init__(batch_size=batch_size, seed=seed, reading=reading)
        if not columns or isinstance(columns, str):
            raise ConfigError(f"columns={columns!r}; name the text columns, e.g. ('text',)")
        mixture = source if isinstance(source, Mixture) else Mixture(parts=(source,))
        _check_grouping(group_by_length, tokenize_ahead, mixture)
        texts = tuple(Column(name=c) if isinstance(c, str) else c for c in columns)
        label = Field(name=labels, kind="class") if isinstance(labels, str) else labels
        names = (targets,) if isinstance(targets, str | Field) else tuple(targets)
        teachers = tuple(Field(name=t, kind="vector") if isinstance(t, str) else t for t in names)
        if tokenize_ahead and any(column.spans is not None for column in texts):
            raise ConfigError(
                "tokenize_ahead keeps tokens without their offsets, which spans need; leave it out"
            )
        fields = {field.name: field for column in texts for field in column.fields}
        fields |= {field.name: field for field in (label, *teachers) if field is not None}
        self.sources = tuple(
            open_source(part, tuple(fields.values()), strict=strict, cache=cache)
            for part in mixture.parts
        )
        self._sizes = tuple(len(source) for source in self.sources)
        collate = Collator(
            tokenizer, texts, tuple(lengths or (tokenizer.max_length,)), labels=label,
            targets=teachers, keys=keys, word_ids=word_ids,
        )  # fmt: skip
        stores = None
        if tokenize_ahead:
            stores = tokenized_beforehand(
                self.sources, collate, cache=cache, threads=self._reading.threads,
                on_progress=on_progress,
            )  # fmt: skip
        self._loader = Loader(self.sources, collate, stores)
        self._order = Order(
            self._sizes, batch_size=batch_size, seed=seed, weights=mixture.weights,
            single_source_batches=mixture.single_source_batches, shuffle=shuffle,
        )  # fmt: skip
        if group_by_length:
            self._order = self._grouped(self._order, len(texts), group_by_length, seed)
        self._identity = self._identify(
            mixture, columns=[column.name for column in texts], seed=seed, shuffle=shuffle,
            group_by_length=group_by_length,
        )  # fmt: skip

    def _grouped(self, order: Order, columns: int, window: int, seed: int) -> GroupedOrder:
        def lengths(places: Places) -> np.ndarray:
            return np.max([self._loader.lengths(places, c) for c in range(columns)], axis=0)

        return GroupedOrder(order, lengths, window=window, batch_size=self.batch_size, seed=seed)

    def _make(self, places: Places, size: int, whole: Places | None) -> tuple[TrainBatch, Counts]:
        return self._loader.load(places, size, whole)

    def _make_several(
        self, places: Sequence[Places], size: int
    ) -> Sequence[tuple[TrainBatch, Counts]]:
        return self._loader.load_several(places, size)


def _check_grouping(group_by_length: int, tokenize_ahead: bool, mixture: Mixture) -> None:
    if group_by_length and not tokenize_ahead:
        raise ConfigError(
            f"group_by_length={group_by_length} needs the lengths of texts; write "
            "tokenize_ahead=True as well"
        )
    if group_by_length and mixture.single_source_batches:
        raise ConfigError(
            "group_by_length mixes the rows of several batches, single_source_batches keeps them "
            "apart; choose one of them"
        )
