"""A run's progress on stderr: a bar on a terminal, a line now and then elsewhere."""

import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import IO, Any, Self

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _BarAndNumbers(Progress):
    """A bar with a line of numbers below, so that neither is cut on a narrow terminal."""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        for task in self.tasks:
            yield Text(task.fields["rates"], style="dim", no_wrap=True, overflow="ellipsis")


class TrainingProgress:
    """Steps, loss, examples/s, tokens/s, model-FLOP utilization and the time that remains.

    Used as a context manager; nothing is written outside of it.

    Args:
        show: without it nothing is written.
        total: steps of the whole run.
        done: steps that were done before.
        label: before the bar.
        every: seconds between two lines, where stderr is no terminal.
        stream: instead of ``sys.stderr``.
        clock: seconds.
    """

    def __init__(
        self, show: bool, *, total: int, done: int = 0, label: str = "train",
        every: float = 30.0, stream: IO[str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._label, self._total, self._every, self._clock = label, total, every, clock
        self._first, self._step, self._last_line = done, done, -math.inf
        self._text = ""
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._begin = clock()
        self._console: Console | None = None
        if not show:
            return
        self._console = Console(file=stream or sys.stderr, highlight=False, soft_wrap=True)
        if self._console.is_terminal:
            self._bar = _BarAndNumbers(
                TextColumn(label), BarColumn(), MofNCompleteColumn(), TextColumn("steps"),
                TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
                console=self._console, refresh_per_second=4,
            )  # fmt: skip
            self._task = self._bar.add_task(label, total=total, completed=done, rates="")

    def advance(self, step: int) -> None:
        """Says that a step is done.

        Args:
            step: steps done in the whole run.
        """
        self._step = step
        if self._bar is not None:
            self._bar.update(self._task, completed=step)

    def report(self, record: Mapping[str, Any]) -> None:
        """Shows what a logging step found.

        Args:
            record: as :meth:`textzoo.trainers.metrics.MetricLog.write` returns it.
        """
        self._text = describe_record(record)
        if self._bar is not None:
            self._bar.update(self._task, rates=self._text)
        elif self._console is not None and self._clock() - self._last_line >= self._every:
            self._line()

    def note(self, message: str) -> None:
        """Writes a line that stays, above the bar, e.g. the scores of an evaluation."""
        if self._console is not None:
            self._console.print(message, markup=False)

    def _line(self) -> None:
        assert self._console is not None
        self._last_line = self._clock()
        remaining = ""
        if self._step > self._first:
            seconds = (self._last_line - self._begin) / (self._step - self._first)
            remaining = f"  {describe_seconds(seconds * (self._total - self._step))} left"
        self._console.print(
            f"{self._label} {self._step:,}/{self._total:,}  {self._text}{remaining}", markup=False
        )

    def __enter__(self) -> Self:
        self._begin = self._clock()
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if self._bar is not None:
            self._bar.stop()
        elif self._console is not None and self._step > self._first:
            self._line()


def describe_record(record: Mapping[str, Any]) -> str:
    """The numbers of a log line that are worth watching, on one line."""
    parts = []
    for name, form in (
        ("loss", "loss {:.4g}"), ("examples_per_second", "{:,.0f} examples/s"),
        ("tokens_per_second", "{:,.0f} tokens/s"),
    ):  # fmt: skip
        value = record.get(name)
        if value is not None:
            parts.append(form.format(value))
        elif name == "loss" and name in record:
            parts.append("loss is no number")
    if record.get("model_flop_utilization") is not None:
        parts.append(f"MFU {100 * record['model_flop_utilization']:.1f}%")
    return "  ".join(parts)


def describe_seconds(seconds: float) -> str:
    """Hours, minutes and seconds: ``1:02:03``."""
    whole = max(0, round(seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
