"""What happens step by step: training, logging, evaluating, saving, stopping."""

import collections
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any

import jax

from textzoo.trainers.batch import LoadedBatch
from textzoo.trainers.data import BatchStream
from textzoo.trainers.interruption import Interruption
from textzoo.trainers.metrics import MetricBuffer, MetricLog, RateMeter
from textzoo.trainers.progress import TrainingProgress
from textzoo.trainers.tensorboard import TensorBoardWriter

if TYPE_CHECKING:
    from textzoo.trainers.trainer import Trainer

_logger = logging.getLogger(__name__)

# Steps that may wait for their devices: enough that a device never waits for the host, few enough
# that batches do not pile up in its memory.
_STEPS_IN_FLIGHT = 2


class Loop:
    """One process's part of a run, from the present step to the last.

    Args:
        trainer: whose state is advanced.
        stream: of batches, at the position of the state.
        step: updates done.
        show_progress: on stderr.
        tensorboard: also write TensorBoard events.
    """

    def __init__(
        self, trainer: "Trainer", stream: BatchStream, step: int, *,
        show_progress: bool = False, tensorboard: bool = False,
    ) -> None:  # fmt: skip
        self.step = step
        self.scores: dict[str, float] = {}
        self._scored_at = -1
        self._trainer, self._stream, self._config = trainer, stream, trainer.config
        self._buffer = MetricBuffer()
        self._rates = RateMeter(flops_per_second=trainer.peak_flops_per_second())
        self._flying: collections.deque[jax.Array] = collections.deque()
        self._flops: dict[Any, float] = {}
        self._window_flops = 0.0
        is_first = jax.process_index() == 0
        self._bar = TrainingProgress(
            show_progress and is_first, total=self._config.steps, done=step
        )
        self._log: MetricLog | None = None
        if trainer.directory is not None and is_first:
            events = trainer.directory / "tensorboard"
            writers = [TensorBoardWriter(events, resume_step=step)] if tensorboard else []
            self._log = MetricLog(
                trainer.directory / "metrics.jsonl", resume_step=step, writers=writers
            )

    def run(self) -> None:
        """Trains until the last step, or until the process is told to stop."""
        config = self._config
        with contextlib.ExitStack() as stack:
            if self._log is not None:
                stack.enter_context(self._log)
            stack.enter_context(self._bar)
            stop = stack.enter_context(Interruption())
            self._rates.restart()
            is_stopped = False
            while self.step < config.steps and not is_stopped:
                self.advance()
                is_last = self.step == config.steps
                is_stopped = stop.agreed(self.step)
                is_due = is_last or is_stopped
                saves = is_due or _is_due(self.step, config.save_every)
                evaluates = is_last or _is_due(self.step, config.evaluate_every)
                if saves or evaluates or _is_due(self.step, config.log_every):
                    self._report()
                if evaluates:
                    self._evaluate()
                if saves:
                    with self._rates.paused():
                        scores = self.scores if self._scored_at == self.step else {}
                        self._trainer.save(self._stream, scores)

    def advance(self) -> None:
        """One step on the next batch; waits for nothing but an earlier step."""
        loaded: LoadedBatch = next(self._stream)
        shapes = tuple(array.shape for array in jax.tree.leaves(loaded.batch))
        is_new = shapes not in self._flops
        started = time.perf_counter()
        with self._rates.paused() if is_new else contextlib.nullcontext():
            if is_new:
                self._flops[shapes] = self._trainer.model_flops(loaded.batch)
            metrics = self._trainer.update(loaded.batch)
            if is_new:
                _logger.info(
                    "compiled the step for batches of %s in %.1f s",
                    loaded.batch.describe(), time.perf_counter() - started,
                )  # fmt: skip
        self._window_flops += self._flops[shapes]
        self.step += 1
        self._buffer.add(
            self.step, metrics, examples=loaded.examples, tokens=loaded.tokens,
            identity=loaded.identity,
        )  # fmt: skip
        self._flying.append(metrics["loss"])
        if len(self._flying) > _STEPS_IN_FLIGHT:
            self._flying.popleft().block_until_ready()
        self._bar.advance(self.step)

    def _report(self) -> None:
        """Waits for the steps since the last report; refuses to go on from a loss that is lost."""
        if not len(self._buffer):
            return
        window = self._buffer.fetch()
        rates = self._rates.measure(window, flops=self._window_flops)
        self._window_flops = 0.0
        record = {
            **window.means(), "learning_rate": self._trainer.learning_rate(self.step),
            "examples": window.examples, "tokens": window.tokens, **rates,
        }  # fmt: skip
        if self._log is not None:
            record = self._log.write(self.step, record)
        self._bar.report(record)
        error = self._trainer.divergence(window)
        if error is not None:
            raise error

    def _evaluate(self) -> None:
        with self._rates.paused():
            self.scores = self._trainer.evaluate()
        self._scored_at = self.step
        if not self.scores:
            return
        if self._log is not None:
            self._log.write_evaluation(self.step, self.scores)
        shown = "  ".join(f"{name} {value:.4g}" for name, value in self.scores.items())
        self._bar.note(f"step {self.step:,}  {shown}")


def _is_due(step: int, every: int | None) -> bool:
    return every is not None and step % every == 0
