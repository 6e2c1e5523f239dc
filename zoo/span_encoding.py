"""The calls of an encoder that return vectors of stretches of texts."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from textzoo import prompts as prompting
from textzoo.calls import Call
from textzoo.errors import TextInputError
from textzoo.inputs import as_list
from textzoo.late_chunking import chunk_vectors
from textzoo.propositions.splitting import split_propositions, split_sentences
from textzoo.settings import EncoderSettings
from textzoo.spans import (
    Pieces,
    Span,
    SpanRanges,
    SpanVectors,
    check_pieces,
    check_single,
    read_spans,
)


class SpanEncoding:
    """Phrases, propositions and chunks in their context; a part of ``TextEncoder``.

    All spans of a text are pooled from one encoding of it, through the model's own heads.
    """

    settings: EncoderSettings

    if TYPE_CHECKING:
        _compiled: Any

        encode: Callable[..., np.ndarray]

        def _call(
            self, show: bool, total: int | None, done: int = 0
        ) -> contextlib.AbstractContextManager[Call]: ...
        def _width(self, truncate_dim: int | None) -> int | None: ...
        def _shorten(self, vectors: np.ndarray, width: int | None) -> np.ndarray: ...

    def encode_spans(
        self, texts: Sequence[str], spans: Sequence[Sequence[Span]], *,
        prompt: str | None = None, truncate_dim: int | None = None, show_progress: bool = False,
    ) -> list[SpanVectors]:  # fmt: skip
        """Encodes stretches of texts in their context, by pooling the tokens that overlap them.

        Args:
            texts: N texts; each is encoded once, however many spans it has.
            spans: for each text a list of spans, ``(start, end)`` in characters or a list of such
                pairs for a span with gaps.
            prompt: as for :meth:`encode`; offsets count without it.
            truncate_dim: as for :meth:`encode`.
            show_progress: shows a progress bar on stderr.

        Returns:
            Per text: ``vectors [S, E]``, through the model's heads; ``kept [S]``, False for
            spans that were lost to truncation or that no token overlaps (zeros stand there); and
            ``cut [S]``, True for spans of which truncation took a part or all.

        Raises:
            TextInputError: a span is reversed or does not lie within its text.
        """
        items = as_list(texts)
        ranges = read_spans(items, spans)
        prefix = prompting.prompt_text(self.settings, prompt)
        with self._call(show_progress, sum(item.count > 0 for item in ranges)) as call:
            found = call.spans(items, ranges, prefix)
        return self._in_order(items, ranges, found, truncate_dim)

    def encode_phrases(
        self, texts: Sequence[str], phrases: Sequence[Sequence[tuple[int, int]]], *,
        in_context: bool = True, **options: Any,
    ) -> list[SpanVectors]:  # fmt: skip
        """Encodes words or phrases of texts.

        Args:
            texts: N texts.
            phrases: for each text the ``(start, end)`` of its phrases in characters; they may
                overlap.
            in_context: pool the phrase's tokens in the encoded text. False: encode each phrase as
                if it were a text of its own, the way phrase encoders are trained (Phrase-BERT,
                PEARL).
            **options: of :meth:`encode_spans`.

        Returns:
            As :meth:`encode_spans`.

        Raises:
            TextInputError: a phrase is empty, or no pair within its text.
        """
        items = as_list(texts)
        check_single(items, phrases, "phrases")
        if in_context:
            return self.encode_spans(items, phrases, **options)
        ranges = read_spans(items, phrases)
        names = [
            [text[start:end] for start, end in of_text.ranges.tolist()]
            for text, of_text in zip(items, ranges, strict=True)
        ]
        unique = list(dict.fromkeys(name for of_text in names for name in of_text))
        vectors = self.encode(unique, **options)
        number = {name: row for row, name in enumerate(unique)}
        return [
            SpanVectors(
                vectors[[number[name] for name in of_text]], np.ones(len(of_text), bool),
                np.zeros(len(of_text), bool), text, of_ranges.pieces(),
            )
            for text, of_text, of_ranges in zip(items, names, ranges, strict=True)
        ]  # fmt: skip

    def encode_propositions(
        self, texts: Sequence[str], propositions: Sequence[Sequence[Pieces]] | None = None,
        **options: Any,
    ) -> list[SpanVectors]:  # fmt: skip
        """Encodes what sentences claim: one vector for each proposition, from its tokens alone.

        (Chen et al. 2023, "Sub-Sentence Encoder"; a model without its training pools too, but
        tells the propositions of one sentence badly apart.)

        Args:
            texts: N texts.
            propositions: for each text its propositions, each a list of ``(start, end)`` in
                characters. ``None``: those that :func:`textzoo.propositions.split_propositions`
                finds; ``spans`` of the result has them.
            **options: of :meth:`encode_spans`.

        Returns:
            As :meth:`encode_spans`.

        Raises:
            TextInputError: a proposition is empty or reaches beyond its text, or two of its pieces
                overlap.
        """
        items = as_list(texts)
        if propositions is None:
            propositions = [split_propositions(text) for text in items]
        check_pieces(items, propositions, "propositions")
        return self.encode_spans(items, propositions, **options)

    def encode_chunks(
        self, texts: Sequence[str],
        chunks: Sequence[Sequence[tuple[int, int]]]
        | Callable[[str], Sequence[tuple[int, int]]] = split_sentences,
        *, context: int = 1, prompt: str | None = None, truncate_dim: int | None = None,
        show_progress: bool = False,
    ) -> list[SpanVectors]:  # fmt: skip
        """Encodes the chunks of documents after the documents (late chunking, Guenther 2024).

        A document longer than the model takes is encoded in several windows; each chunk is taken
        from the first window that has all of it.

        Args:
            texts: N documents.
            chunks: for each document the ``(start, end)`` of its chunks in characters, or a
                function that finds them; sentences if absent. See also
                :func:`textzoo.late_chunking.word_chunks`.
            context: chunks that a window begins with although the one before had them, so that
                its first new chunk is not read without what stands before it.
            prompt: as for :meth:`encode_spans`; put before every window.
            truncate_dim: as for :meth:`encode`.
            show_progress: shows a progress bar on stderr.

        Returns:
            As :meth:`encode_spans`; ``cut`` is True for chunks longer than a window.

        Raises:
            TextInputError: a chunk is empty or reaches beyond its document.
        """
        items = as_list(texts)
        if context < 0:
            raise TextInputError(f"context={context}; use 0 or more chunks")
        given = [chunks(text) for text in items] if callable(chunks) else chunks
        check_single(items, given, "chunks")
        ranges = read_spans(items, given)
        prefix = prompting.prompt_text(self.settings, prompt)
        with self._call(show_progress, sum(item.count > 0 for item in ranges)) as call:
            found = chunk_vectors(call, items, ranges, prefix, context=context)
        return self._in_order(items, ranges, found, truncate_dim)

    def _in_order(
        self, texts: list[str], ranges: Sequence[SpanRanges], found: dict[int, SpanVectors],
        truncate_dim: int | None,
    ) -> list[SpanVectors]:  # fmt: skip
        width = self._width(truncate_dim)
        nothing = np.zeros((0, self._compiled.dimension), np.float32)
        none = SpanVectors(nothing, np.zeros(0, bool), np.zeros(0, bool))
        results = []
        for index, (text, of_text) in enumerate(zip(texts, ranges, strict=True)):
            result = found.get(index, none)
            results.append(
                dataclasses.replace(
                    result, vectors=self._shorten(result.vectors, width), text=text,
                    spans=of_text.pieces(),
                )
            )  # fmt: skip
        return results
