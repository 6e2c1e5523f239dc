"""One call of an encoder: what it launches, and how the pieces become its result."""

import collections
import contextlib
from collections.abc import Generator, Iterator, Sequence

import jax
import numpy as np
from jaxtyping import Float

from textzoo.compilation import CompiledModel
from textzoo.encode_to import Shard
from textzoo.encoding import Batch, Counter, Window, batches, windows_of
from textzoo.launching import Launch, Results, results, workers_for
from textzoo.modules import Tokenizer
from textzoo.modules.types import TextBatch
from textzoo.progress import Advance
from textzoo.spans import SpanRanges, SpanVectors, TokenVectors, pad_masks, span_groups


class Call:
    """Encodes windows of texts with one snapshot of a model's parameters.

    Args:
        model: compiled.
        tokenizer: of the model.
        tokens_per_batch: rows times length of a batch, approximately.
        advance: told of progress.
    """

    def __init__(
        self, model: CompiledModel, tokenizer: Tokenizer, *, tokens_per_batch: int, advance: Advance
    ) -> None:
        self.counter = Counter(tokenizer.max_length)
        self._model = model
        self._parameters = model.parameters()
        self._tokenizer = tokenizer
        self._tokens_per_batch = tokens_per_batch
        self._advance = advance

    def vectors(
        self, texts: list[str] | Iterator[str], prompt: str
    ) -> Float[np.ndarray, "N E"] | None:
        """Vectors of all texts in their order; ``None`` without texts."""
        pairs = self._vectors(windows_of(texts, prompt=prompt))
        return _collect(pairs, len(texts) if isinstance(texts, list) else None)

    def shards(
        self, shards: Iterator[Shard], prompt: str
    ) -> Generator[tuple[Shard, Float[np.ndarray, "N E"]]]:
        """Yields every shard with its vectors, which depend on nothing but the shard."""
        waiting: collections.deque[Shard] = collections.deque()

        def windows() -> Iterator[Window]:
            for shard in shards:
                waiting.append(shard)
                indices = np.arange(shard.first, shard.first + len(shard.texts))
                yield Window(indices, [prompt + text for text in shard.texts], is_closed=True)

        rows: list[np.ndarray] = []
        parts: list[np.ndarray] = []
        # Closed with this generator, so that a full disk leaves no launch running.
        with contextlib.closing(self._vectors(windows())) as pairs:
            for batch, part in pairs:
                rows.append(batch.indices - waiting[0].first)
                parts.append(part)
                if sum(map(len, rows)) == len(waiting[0].texts):
                    vectors = np.concatenate(parts)[np.argsort(np.concatenate(rows))]
                    yield waiting.popleft(), vectors
                    rows, parts = [], []

    def tokens(self, texts: list[str], prompt: str) -> list[TokenVectors]:
        """States of the tokens of every text."""
        found: dict[int, TokenVectors] = {}
        for batch, states in self._run(
            windows_of(texts, prompt=prompt),
            lambda batch: self._model.states(self._parameters, _pad(batch)),
            return_offsets=True,
        ):
            for index, row, of_text in zip(batch.indices, batch.shape.rows, states, strict=True):
                offsets = batch.tokenized.offsets_of(row) - len(prompt)
                is_text = (offsets[:, 0] < offsets[:, 1]) & (offsets[:, 1] > 0)
                # Indexing with a mask copies, so the states of the whole batch are not kept.
                found[index] = TokenVectors(
                    texts[index],
                    of_text[: len(offsets)][is_text],
                    np.maximum(offsets[is_text], 0),
                )
        return [found[index] for index in range(len(texts))]

    def spans(
        self, texts: list[str], spans: Sequence[SpanRanges], prompt: str
    ) -> dict[int, SpanVectors]:
        """Vectors of the spans of every text that has any; each text is encoded once."""
        found: dict[int, SpanVectors] = {}
        for size, tokens, group in span_groups(texts, spans, self._tokens_per_batch):
            flags: dict[int, tuple[np.ndarray, np.ndarray]] = {}

            def launch(batch: Batch, size: int = size, flags: dict = flags) -> jax.Array:
                masks = []
                for index, row in zip(batch.indices, batch.shape.rows, strict=True):
                    offsets = batch.tokenized.offsets_of(row) - len(prompt)
                    masks.append(spans[index].token_masks(offsets))
                    end = len(texts[index])
                    if batch.tokenized.truncated[row]:
                        end = max(0, int(offsets[:, 1].max(initial=0)))
                    flags[index] = masks[-1].any(axis=1), spans[index].beyond(texts[index], end)
                shape = batch.shape
                padded = pad_masks(masks, rows=shape.size, size=size, length=shape.length)
                return self._model.vectors(self._parameters, _pad(batch).replace(spans=padded))

            windows = windows_of(texts, prompt=prompt, order=group)
            for batch, vectors in self._run(
                windows, launch, return_offsets=True, tokens_per_batch=tokens
            ):
                for index, of_text in zip(batch.indices, vectors, strict=True):
                    kept, cut = flags.pop(index)
                    rows = np.where(kept[:, None], of_text[: len(kept)], 0)
                    found[index] = SpanVectors(rows, kept, cut, texts[index], spans[index].pieces())
        return found

    def _vectors(self, windows: Iterator[Window]) -> Results:
        return self._run(windows, lambda batch: self._model.vectors(self._parameters, _pad(batch)))

    def _run(
        self,
        windows: Iterator[Window],
        launch: Launch,
        *,
        return_offsets: bool = False,
        tokens_per_batch: int | None = None,
    ) -> Results:
        planned = batches(
            windows,
            tokenizer=self._tokenizer,
            tokens_per_batch=tokens_per_batch or self._tokens_per_batch,
            counter=self.counter,
            return_offsets=return_offsets,
        )
        return results(planned, launch, self._advance, workers=workers_for(self._parameters))


def _pad(batch: Batch) -> TextBatch:
    shape = batch.shape
    return batch.tokenized.batch(shape.rows, shape.length, shape.size)


def _collect(pairs: Results, count: int | None) -> np.ndarray | None:
    result: np.ndarray | None = None
    total = 0
    for batch, vectors in pairs:
        total = max(total, int(batch.indices.max()) + 1)
        if result is None:
            result = np.empty((count or max(total, 1024), vectors.shape[-1]), np.float32)
        if total > len(result):
            grown = np.empty((max(total, 2 * len(result)), result.shape[1]), np.float32)
            grown[: len(result)] = result
            result = grown
        result[batch.indices] = vectors
    if result is None or len(result) == total:
        return result
    return result[:total].copy()
