"""What a run reports: metrics wait on the device, and become lines of a JSONL file.

A step returns device scalars; :class:`MetricBuffer` keeps them as they are, because fetching one
waits for the step. On a logging step all of them are fetched together and averaged. A line of the
file, which :class:`MetricLog` writes, is one JSON object::

    {"step": 100, "epoch": 1, "loss": 2.31, "learning_rate": 2e-05, "examples": 6400,
     "examples_per_second": 812.4, "tokens_per_second": 30110.2, "model_flop_utilization": 0.41,
     "seconds": 9.7, ...}

and of an evaluation ``{"step": 100, "evaluation": {"loss": 2.2, ...}, "seconds": 10.1}``. A value
that is no finite number is ``null``, which every JSON reader understands.
"""

import contextlib
import dataclasses
import json
import math
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import jax

from textzoo.errors import DataError

Scalars = Mapping[str, Any]
"""Device scalars, or numbers, by name."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepMetrics:
    """The fetched metrics of one step.

    Attributes:
        step: its number.
        identity: where its batch came from.
        values: by name.
    """

    step: int
    identity: str
    values: Mapping[str, float]

    def is_finite(self) -> bool:
        """Whether every value is a finite number."""
        return all(math.isfinite(value) for value in self.values.values())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Window:
    """The steps since the last logging step, fetched.

    Attributes:
        steps: in their order.
        examples: real rows of all their batches.
        tokens: real tokens of all their batches.
    """

    steps: Sequence[StepMetrics]
    examples: int
    tokens: int

    def means(self) -> dict[str, float]:
        """The mean of every metric over the steps that have it."""
        names = dict.fromkeys(name for step in self.steps for name in step.values)
        return {
            name: math.fsum(found) / len(found)
            for name in names
            if (found := [step.values[name] for step in self.steps if name in step.values])
        }

    def first_bad(self) -> StepMetrics | None:
        """The first step whose loss is not finite."""
        return next((s for s in self.steps if not math.isfinite(s.values.get("loss", 0.0))), None)


class MetricBuffer:
    """Metrics of steps whose results nobody has waited for yet."""

    def __init__(self) -> None:
        self._steps: list[tuple[int, str, Scalars]] = []
        self._examples = 0
        self._tokens = 0

    def __len__(self) -> int:
        return len(self._steps)

    def add(
        self, step: int, metrics: Scalars, *, examples: int, tokens: int, identity: str = ""
    ) -> None:
        """Keeps the metrics of a step; waits for nothing.

        Args:
            step: its number.
            metrics: device scalars by name; replicated, where there are many devices.
            examples: real rows of the batch.
            tokens: real tokens of the batch.
            identity: where the batch came from, for messages.
        """
        self._steps.append((step, identity, metrics))
        self._examples += examples
        self._tokens += tokens

    def fetch(self) -> Window:
        """Waits for all steps, empties the buffer and returns what was in it."""
        fetched = jax.device_get([dict(metrics) for _, _, metrics in self._steps])
        steps = [
            StepMetrics(
                step=step, identity=identity, values={k: float(v) for k, v in metrics.items()}
            )
            for (step, identity, _), metrics in zip(self._steps, fetched, strict=True)
        ]
        window = Window(steps=steps, examples=self._examples, tokens=self._tokens)
        self._steps, self._examples, self._tokens = [], 0, 0
        return window


class RateMeter:
    """Examples, tokens and arithmetic per second, leaving out what is not training.

    Args:
        flops_per_second: what all devices together could do; ``None`` when it is not known.
        clock: seconds.
    """

    def __init__(
        self, *, flops_per_second: float | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:  # fmt: skip
        self._peak = flops_per_second
        self._clock = clock
        self._since = clock()

    def restart(self) -> None:
        """Begins to count now, e.g. after the step was compiled."""
        self._since = self._clock()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Leaves out the time spent inside, e.g. in an evaluation."""
        begin = self._clock()
        try:
            yield
        finally:
            self._since += self._clock() - begin

    def measure(self, window: Window, *, flops: float | None = None) -> dict[str, float]:
        """The rates since the last call, with the names they have in the log.

        Args:
            window: fetched just before.
            flops: of the model in all steps of the window, without what is computed again; see
                :mod:`textzoo.trainers.flops`.
        """
        now = self._clock()
        seconds = max(now - self._since, 1e-9)
        self._since = now
        rates = {
            "examples_per_second": window.examples / seconds,
            "tokens_per_second": window.tokens / seconds,
            "seconds_per_step": seconds / max(1, len(window.steps)),
        }
        if flops is not None and self._peak:
            rates["model_flop_utilization"] = flops / seconds / self._peak
        return rates


class Writer(Protocol):
    """Takes numbers by name beside the JSONL file, such as TensorBoard's."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Takes the numbers of a step."""

    def close(self) -> None:
        """Writes out what is left."""


class MetricLog:
    """A JSONL file of metrics that reads as one run, however often the run was resumed.

    Args:
        path: appended to; made when it does not exist.
        resume_step: lines of later steps are dropped, as is a line that was cut off; the run
            goes on from this step. Zero starts the file anew.
        writers: get every number as well.
        clock: seconds.

    Raises:
        DataError: the file cannot be read or written.
    """

    def __init__(
        self, path: str | Path, *, resume_step: int = 0, writers: Sequence[Writer] = (),
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:  # fmt: skip
        self.path = Path(path)
        self._writers = tuple(writers)
        self._clock = clock
        known = read_metrics(self.path) if resume_step > 0 else []
        kept = [line for line in known if line["step"] <= resume_step]
        self._before = max((line.get("seconds") or 0.0 for line in kept), default=0.0)
        self._start = clock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _replace_lines(self.path, kept)
            self._file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise DataError(f"{self.path} cannot be written: {error.strerror or error}") from error

    def write(self, step: int, record: Mapping[str, Any]) -> dict[str, Any]:
        """Writes a line about training and returns it.

        Args:
            step: number of the step.
            record: JSON types; numbers that are not finite become ``null``.
        """
        return self._write(step, record, {k: v for k, v in record.items() if _is_number(v)})

    def write_evaluation(self, step: int, scores: Mapping[str, float]) -> dict[str, Any]:
        """Writes a line about an evaluation after a step and returns it."""
        numbers = {f"evaluation/{name}": value for name, value in scores.items()}
        return self._write(step, {"evaluation": dict(scores)}, numbers)

    def _write(
        self, step: int, record: Mapping[str, Any], numbers: Mapping[str, float]
    ) -> dict[str, Any]:
        seconds = round(self._before + self._clock() - self._start, 3)
        line = _finite({"step": step, **record, "seconds": seconds})
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()  # a killed run leaves whole lines
        for writer in self._writers:
            writer.write(step, numbers)
        return line

    def close(self) -> None:
        """Closes the file and the writers."""
        self._file.close()
        for writer in self._writers:
            writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """The lines of a metrics file; one that a killed run has cut off is left out.

    Raises:
        DataError: the file cannot be read, or has a bad line that is not the last.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    records = []
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            record = json.loads(line)
            if not isinstance(record, dict) or not isinstance(record.get("step"), int):
                raise ValueError("no object with a step")
        except ValueError as error:
            if number == len(lines):  # it has no end
                break
            raise DataError(
                f"{path}, line {number} is not of a metrics file ({error}); move the file away"
            ) from error
        records.append(record)
    return records


def _replace_lines(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with partial.open("w", encoding="utf-8") as file:
            for record in records:
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
