"""The pipeline from texts to batches: windows, tokenization ahead, batches.

The host tokenizes the next window while the device runs the batches of this one. Memory is bounded
by a window and a few batches.
"""

import dataclasses
import inspect
import time
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Int

from textzoo.batching import Shape, plan
from textzoo.errors import TruncationWarning
from textzoo.inputs import checked
from textzoo.modules.tokenizers.base import Tokenized, Tokenizer

# Large enough for batches with little padding, small enough for flat memory.
WINDOW_TEXTS = 16_384
WINDOW_CHARACTERS = 1 << 25


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncodeReport:
    """What the last call of an encoder did.

    Attributes:
        texts: number of texts.
        tokens: their tokens, special tokens and prompts included, after truncation.
        padded_tokens: rows times length of all batches: what the device computed.
        truncated: texts that were cut.
        max_length: tokens they were cut to.
        batches: number of batches.
        seconds: wall time of the call.
        tokenization_seconds: time spent in tokenization, most of it beside the computation.
    """

    texts: int
    tokens: int
    padded_tokens: int
    truncated: int
    max_length: int
    batches: int
    seconds: float
    tokenization_seconds: float


class Counter:
    """Adds up what a report says."""

    def __init__(self, max_length: int) -> None:
        self.texts = self.tokens = self.padded_tokens = self.truncated = self.batches = 0
        self.max_length = max_length
        self.tokenization_seconds = 0.0
        self._start = time.perf_counter()

    def report(self) -> EncodeReport:
        """The sums so far."""
        return EncodeReport(
            texts=self.texts, tokens=self.tokens, padded_tokens=self.padded_tokens,
            truncated=self.truncated, max_length=self.max_length, batches=self.batches,
            seconds=time.perf_counter() - self._start,
            tokenization_seconds=self.tokenization_seconds,
        )  # fmt: skip

    def warn_if_truncated(self) -> None:
        """One warning per call, when texts were cut; it points at the line that called textzoo."""
        if self.truncated:
            ours = ("textzoo", "contextlib", "jaxtyping")  # the last checks shapes in tests
            level, frame = 1, inspect.currentframe()
            while frame is not None and frame.f_globals["__name__"].split(".")[0] in ours:
                level, frame = level + 1, frame.f_back
            warnings.warn(
                f"{self.truncated} of {self.texts} texts were cut to {self.max_length} tokens, so "
                "their vectors do not show how they end. Split long texts, or use a model with a "
                "larger max_length. To accept it: warnings.filterwarnings('ignore', "
                "category=textzoo.errors.TruncationWarning)",
                TruncationWarning,
                stacklevel=level,
            )


@dataclasses.dataclass(frozen=True)
class Window:
    """Some texts that are tokenized and put into batches together.

    Attributes:
        indices: the number of each text, ``[N]``.
        texts: the texts.
        is_closed: no text may be left over for a batch with texts of the next window.
    """

    indices: Int[np.ndarray, "N"]
    texts: list[str]
    is_closed: bool


@dataclasses.dataclass(frozen=True)
class Batch:
    """One batch before it is padded.

    Attributes:
        indices: the number of each text in it.
        tokenized: the window's tokens.
        shape: rows of the window and the shape they are padded to.
    """

    indices: Int[np.ndarray, "B"]
    tokenized: Tokenized
    shape: Shape


def windows_of(
    texts: list[str] | Iterator[str], *, prompt: str = "", order: np.ndarray | None = None
) -> Iterator[Window]:
    """Cuts texts into windows: a list from its longest text on, an iterator as it comes.

    Args:
        texts: a checked list, or an iterator, whose items are checked here.
        prompt: put before every text.
        order: the order to take a list in, instead of by falling length.
    """
    if isinstance(texts, list):
        if order is None:
            lengths = np.fromiter(map(len, texts), np.int64, count=len(texts))
            order = np.argsort(-lengths, kind="stable")
        pairs = ((int(index), texts[index]) for index in order)
        yield from _close_last(_cut(pairs, prompt))
    else:
        yield from _close_last(_cut(enumerate(texts), prompt, check=True))


def _cut(pairs: Iterable[tuple[int, str]], prompt: str, *, check: bool = False) -> Iterator[Window]:
    indices: list[int] = []
    texts: list[str] = []
    characters = 0
    for index, text in pairs:
        if check:
            checked([text], first=index)
        indices.append(index)
        texts.append(prompt + text if prompt else text)
        characters += len(text)
        if len(texts) >= WINDOW_TEXTS or characters >= WINDOW_CHARACTERS:
            yield Window(np.array(indices), texts, is_closed=False)
            indices, texts, characters = [], [], 0
    if texts:
        yield Window(np.array(indices), texts, is_closed=False)


def _close_last(windows: Iterator[Window]) -> Iterator[Window]:
    previous = None
    for window in windows:
        if previous is not None:
            yield previous
        previous = window
    if previous is not None:
        yield dataclasses.replace(previous, is_closed=True)


def batches(
    windows: Iterator[Window],
    *,
    tokenizer: Tokenizer,
    tokens_per_batch: int,
    counter: Counter,
    return_offsets: bool = False,
) -> Iterator[Batch]:
    """Tokenizes windows ahead of their use and plans the batches of each.

    The last batch of an open window is rarely full; its texts wait for the next window.
    """
    rest: tuple[np.ndarray, Tokenized] | None = None
    for window, tokenized in _tokenized_ahead(windows, tokenizer, counter, return_offsets):
        counter.texts += len(tokenized)
        counter.tokens += int(tokenized.starts[-1])
        counter.truncated += int(tokenized.truncated.sum())
        indices = window.indices
        if rest is not None:
            indices = np.concatenate([rest[0], indices])
            tokenized = Tokenized.concatenate([rest[1], tokenized])
            rest = None
        shapes = list(
            plan(
                tokenized.lengths, tokens_per_batch=tokens_per_batch,
                max_length=tokenizer.max_length,
            )
        )  # fmt: skip
        if not window.is_closed:
            rows = shapes.pop().rows
            rest = indices[rows], tokenized.select(rows)
        for shape in shapes:
            counter.batches += 1
            counter.padded_tokens += shape.size * shape.length
            yield Batch(indices[shape.rows], tokenized, shape)


def _tokenized_ahead(
    windows: Iterator[Window], tokenizer: Tokenizer, counter: Counter, return_offsets: bool
) -> Iterator[tuple[Window, Tokenized]]:
    def tokenize(window: Window) -> Tokenized:
        start = time.perf_counter()
        tokenized = tokenizer(window.texts, return_offsets=return_offsets)
        counter.tokenization_seconds += time.perf_counter() - start
        return tokenized

    window = next(windows, None)
    following = next(windows, None)
    if window is None:
        return
    if following is None:  # nothing to run ahead of, so no thread
        yield window, tokenize(window)
        return
    # Texts are drawn in this thread, because an iterator may belong to it (a database cursor).
    with ThreadPoolExecutor(1, thread_name_prefix="textzoo-tokenizer") as thread:
        waiting = thread.submit(tokenize, window)
        while following is not None:
            tokenized = waiting.result()
            waiting = thread.submit(tokenize, following)
            yield window, tokenized
            window, following = following, next(windows, None)
        yield window, waiting.result()
