"""Full rows of tokens, for masked language modelling."""

from pathlib import Path
from typing import get_args

import numpy as np

from textzoo.errors import ConfigError, closest
from textzoo.modules.tokenizers import Tokenizer
from textzoo.modules.types import TextBatch
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.data.batched import BatchedData, Mixture
from textzoo.trainers.data.collate import Counts
from textzoo.trainers.data.opening import Readable, open_source
from textzoo.trainers.data.order import Order, Places
from textzoo.trainers.data.packing import Packing, RowPlan, plan_rows
from textzoo.trainers.data.stream import Reading
from textzoo.trainers.data.token_store import Advance, TokenStore, number_words, tokens_on_disk

_WHOLE = 1 << 30  # No text has so many tokens.


class PackedData(BatchedData):
    """Texts cut and packed into rows of exactly ``length`` tokens.

    All texts are tokenized once, whole, before the first batch, and no token is left out. Which
    texts share a row follows from the seed; the order of rows from seed and epoch.

    Args:
        source: what :func:`open_source` opens, or a :class:`Mixture` of such things.
        tokenizer: its ``max_length`` plays no part.
        column: of texts.
        batch_size: rows of a global batch.
        length: tokens of a row, special tokens included.
        packing: ``"pack"`` puts pieces of several texts into a row, each with special tokens,
            positions and a segment of its own; ``"concatenate"`` runs texts together, separated
            by an end, so that there is no padding and a model sees across texts; ``"none"`` gives
            every piece a row. See :func:`plan_rows`.
        word_ids: number the words of each row, for whole-word masking.
        seed: of the order.
        shuffle: without it, every epoch has the rows in the same order.
        strict: refuse broken rows instead of leaving them out.
        cache: folder where tokens are kept for the next run. Where many processes share it,
            prepare it with one of them first, so that not all do the same work.
        reading: threads, and how far they run ahead.
        on_progress: told of texts and tokens done.

    Raises:
        DataError: a source is missing, empty or damaged, or lacks the column.
        ConfigError: options that do not fit together.

    Example:
        >>> import tokenizers
        >>> from textzoo.modules import SubwordTokenizer
        >>> library = tokenizers.Tokenizer(
        ...     tokenizers.models.WordLevel({"[UNK]": 0, "a": 1, "cat": 2, "dog": 3}, "[UNK]")
        ... )
        >>> library.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
        >>> rows = [{"text": "a cat"}, {"text": "dog"}, {"text": "a"}]
        >>> data = PackedData(rows, SubwordTokenizer(library), batch_size=1, length=4)
        >>> stream = data.stream()
        >>> texts = next(stream).batch.texts[0]
        >>> texts.segment_ids.tolist(), texts.positions.tolist()
        ([[1, 1, 2, 3]], [[0, 1, 0, 0]])
        >>> stream.close()
    """

    def __init__(
        self, source: Readable | Mixture, tokenizer: Tokenizer, *, column: str = "text",
        batch_size: int, length: int, packing: Packing = "pack", word_ids: bool = False,
        seed: int = 0, shuffle: bool = True, strict: bool = False, cache: Path | None = None,
        reading: Reading | None = None, on_progress: Advance = lambda texts, tokens: None,
    ) -> None:  # fmt: skip
        super().__init__(batch_size=batch_size, seed=seed, reading=reading)
        if packing not in get_args(Packing):
            raise ConfigError(f"packing={packing!r}; {closest(packing, get_args(Packing))}")
        if tokenizer([""]).units is not None:
            raise ConfigError(
                f"a {type(tokenizer).__name__} gives units of tokens (characters, bytes, hashes), "
                "and rows of PackedData hold ids alone; use TextData, or a tokenizer without units"
            )
        self._before, self._after = special_tokens(tokenizer)
        special = (len(self._before), len(self._after))
        if length <= sum(special):
            raise ConfigError(
                f"length={length} leaves no room for text beside {sum(special)} special tokens; "
                f"use {sum(special) + 1} or more"
            )
        mixture = source if isinstance(source, Mixture) else Mixture(parts=(source,))
        self.sources = tuple(
            open_source(part, (column,), strict=strict, cache=cache) for part in mixture.parts
        )
        plain = _with_options(tokenizer, max_length=_WHOLE, add_special_tokens=False)
        self._stores = tuple(
            tokens_on_disk(
                part,
                column,
                plain,
                words=word_ids,
                cache=cache,
                threads=self._reading.threads,
                on_progress=on_progress,
            )  # fmt: skip
            for part in self.sources
        )
        self._plans = tuple(
            plan_rows(store.starts, packing, length=length, special=special, seed=seed)
            for store in self._stores
        )
        self._sizes = tuple(len(plan) for plan in self._plans)
        self._length, self._packing, self._word_ids = length, packing, word_ids
        self._order = Order(
            self._sizes, batch_size=batch_size, seed=seed, weights=mixture.weights,
            single_source_batches=mixture.single_source_batches, shuffle=shuffle,
        )  # fmt: skip
        self._identity = self._identify(
            mixture, column=column, length=length, packing=packing, seed=seed, shuffle=shuffle,
            tokens=[len(store.ids) for store in self._stores],
        )  # fmt: skip

    def _make(self, places: Places, size: int, whole: Places | None) -> tuple[TrainBatch, Counts]:
        rows = Rows(size, self._length)
        pieces = 0
        for source in np.unique(places.sources):
            slots = np.flatnonzero(places.sources == source)
            pieces += self._fill(
                rows, slots, self._stores[source], self._plans[source], places.rows[slots]
            )
        packed = self._packing == "pack"
        texts = TextBatch(
            ids=rows.ids, mask=rows.mask, positions=rows.positions if packed else None,
            segment_ids=rows.segments if packed else None,
        )  # fmt: skip
        count = len(places.rows)
        batch = TrainBatch(
            texts=(texts,),
            word_ids=rows.words if self._word_ids else None,
            row_mask=None if count == size else np.arange(size) < count,
        )
        counts = Counts(
            rows=count, texts=pieces, tokens=int(rows.mask.sum()), places=rows.mask.size
        )
        return batch, counts

    def _fill(
        self, rows: "Rows", slots: np.ndarray, store: TokenStore, plan: RowPlan,
        numbers: np.ndarray,
    ) -> int:  # fmt: skip
        """Writes rows of one source into slots of the batch; returns their number of pieces."""
        firsts, counts = plan.firsts[numbers], plan.firsts[numbers + 1] - plan.firsts[numbers]
        turns = _count_up(counts)
        pieces, slots = np.repeat(firsts, counts) + turns, np.repeat(slots, counts)
        lengths = plan.lengths[pieces]
        before = np.full(len(pieces), len(self._before))
        if self._packing != "pack":
            # Texts that run together have their beginning once, at the beginning of the row.
            before[turns > 0] = 0
        sizes = before + lengths + len(self._after)
        ends = np.cumsum(sizes)
        begins = ends - sizes
        begins -= np.repeat(begins[turns == 0], counts)  # Counted from the beginning of the row.

        row, inside = np.repeat(slots, sizes), _count_up(sizes)
        place = np.repeat(begins, sizes) + inside
        rows.mask[row, place] = True
        rows.segments[row, place] = np.repeat(turns + 1, sizes)
        rows.positions[row, place] = inside
        for index, token in enumerate(self._before):
            rows.ids[slots[before > 0], begins[before > 0] + index] = token
        for index, token in enumerate(self._after):
            rows.ids[slots, begins + before + lengths + index] = token

        row, inside = np.repeat(slots, lengths), _count_up(lengths)
        place = np.repeat(begins + before, lengths) + inside
        tokens = np.repeat(plan.starts[pieces], lengths) + inside
        rows.ids[row, place] = store.ids[tokens]
        if store.words is not None:
            rows.words[row, place] = number_words(store.words[tokens], inside == 0, row)
        return len(pieces)


def _count_up(sizes: np.ndarray) -> np.ndarray:
    """``0, 1, ... size - 1`` for each size, one after the other."""
    ends = np.cumsum(sizes)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - sizes, sizes)


class Rows:
    """Empty rows to be filled.

    Args:
        size: B.
        length: L.
    """

    def __init__(self, size: int, length: int) -> None:
        self.ids = np.zeros((size, length), np.int32)
        self.mask = np.zeros((size, length), bool)
        self.segments = np.zeros((size, length), np.int32)
        self.positions = np.zeros((size, length), np.int32)
        self.words = np.full((size, length), -1, np.int32)


def special_tokens(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """The special tokens before and after a text.

    Raises:
        ConfigError: the tokenizer cannot do without them.
    """
    plain = _with_options(tokenizer, max_length=_WHOLE, add_special_tokens=False)
    for probe in ("a", "the", "1", "e"):
        inner = plain([probe]).ids.tolist()
        outer = tokenizer([probe]).ids.tolist()
        for start in range(len(outer) - len(inner) + 1):
            if inner and outer[start : start + len(inner)] == inner:
                return outer[:start], outer[start + len(inner) :]
    raise ConfigError(
        f"{tokenizer!r} does not put special tokens around a text, or has no token for 'a'; "
        "PackedData needs a tokenizer of which a text's own tokens are seen"
    )


def _with_options(tokenizer: Tokenizer, **options: int | bool) -> Tokenizer:
    change = getattr(tokenizer, "with_options", None)
    if change is None:
        raise ConfigError(
            f"a {type(tokenizer).__name__} cannot leave texts whole and bare; PackedData needs a "
            "tokenizer with a method with_options(max_length=..., add_special_tokens=...), such "
            "as SubwordTokenizer"
        )
    return change(**options)
