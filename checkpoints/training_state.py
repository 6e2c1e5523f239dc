"""The checkpoints of a training run: arrays in Orbax, everything else in a record beside them.

A folder per step, named by its number::

    1200/state/...            the arrays, by path, in Orbax's format
    1200/record/record.json   data position, metrics, and a checksum of every array

Orbax writes to a folder of another name and renames it when all processes are done, so that a run
may be killed at any moment. It does not see a changed bit, nor every missing file (what is not
there reads as zeros); the checksums do.
"""

import dataclasses
import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self

import jax
import numpy as np

from textzoo.checkpoints import training_reader as reader
from textzoo.checkpoints.retention import Retention
from textzoo.checkpoints.training_record import flatten, make_record, stored_form
from textzoo.errors import CheckpointError, ConfigError, ResumeError

_LONG_WAIT = 1.0  # seconds
_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Skipped:
    """A checkpoint that could not be restored, and why."""

    step: int
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a run goes on from.

    Attributes:
        step: the number of the checkpoint.
        state: a tree like the one asked for, of arrays with its shardings.
        data: what was given to :meth:`TrainingCheckpoints.save`.
        metrics: likewise.
        skipped: newer checkpoints that are damaged.
    """

    step: int
    state: Any
    data: Mapping[str, Any]
    metrics: Mapping[str, float] | None
    skipped: tuple[Skipped, ...]


class TrainingCheckpoints:
    """A folder of checkpoints of one run.

    With several processes every one of them calls :meth:`save`, :meth:`restore_latest`,
    :meth:`wait` and :meth:`close` at the same points, and all see the same folder. Reading neither
    makes the folder nor changes anything in it; the first save removes what a killed run left
    half written.

    Args:
        directory: made by the first save.
        keep_last: how many of the newest checkpoints to keep.
        keep_best: how many of the best to keep beside them.
        best_metric: the metric that says which are best; every ``metrics`` given has it.
        best_mode: ``"max"`` or ``"min"``.
        asynchronous: write while training goes on.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        keep_last: int = 2,
        keep_best: int = 1,
        best_metric: str | None = None,
        best_mode: Literal["max", "min"] = "max",
        asynchronous: bool = True,
    ) -> None:
        from etils import epath

        path = os.path.expanduser(directory)
        self.directory = epath.Path(path if "://" in path else os.path.abspath(path))
        self._asynchronous = asynchronous
        self._retention = Retention(
            keep_last=keep_last, keep_best=keep_best, best_metric=best_metric, best_mode=best_mode
        )
        self._manager: Any = None
        self._newest: int | None = None  # of this run: restored or saved
        self._pending: int | None = None
        self._size = 0  # of the pending one, in bytes

    def save(
        self,
        step: int,
        state: Any,
        *,
        data: Mapping[str, Any],
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Saves a state; the caller may donate it to the next step as soon as this returns.

        Orbax copies arrays from the devices before it returns. On a CPU it keeps a view of them,
        and JAX does not reuse the memory of an array that is viewed: until all is written, the
        state is there twice. The caller waits for the copy and for the checksums; the arrays are
        written in the background.

        Saving a step again that was just saved does nothing, whatever the arguments.

        Args:
            step: number of steps done; grows from call to call.
            state: a tree of arrays, all of them global ones where there are several processes.
            data: what else the run needs to go on, of JSON types; it is copied.
            metrics: measured at this step.

        Raises:
            CheckpointError: this checkpoint, or the one before in the background, could not be
                written. The run may save again.
            ResumeError: the folder holds checkpoints that were not restored.
        """
        started = time.monotonic()
        self.wait()
        waited = time.monotonic() - started
        if waited > _LONG_WAIT:
            _logger.warning(
                "step %d waited %.1f s for the checkpoint before it; save less often", step, waited
            )
        if step == self._newest:
            return
        self._check_step(step)
        if metrics is not None:
            self._retention.check(metrics)
        leaves = _arrays(state)
        stored = stored_form(leaves)
        record = make_record(step, leaves, stored, data=data, metrics=metrics)
        if record["metrics"] is not None:
            self._retention.metrics[step] = record["metrics"]
        self._pending, self._size = step, sum(array.nbytes for array in stored.values())
        self._attempt(lambda: self._write(step, stored, record))
        self._newest = step
        if not self._asynchronous:
            self._pending = None

    def restore_latest(self, abstract_state: Any) -> Restored | None:
        """Restores the newest checkpoint that is intact; ``None`` when there are no checkpoints.

        Values are moved, not computed: the arrays are bit for bit what was saved, on whatever
        mesh. A checkpoint that is damaged is named in a warning and in the result.

        Args:
            abstract_state: a tree like the one saved, of ``jax.ShapeDtypeStruct`` with the
                shardings the arrays are to have.

        Raises:
            ResumeError: the newest intact checkpoint is of another tree, shape or dtype.
            CheckpointError: there are checkpoints, and all are damaged.
        """
        self.wait()
        leaves = flatten(abstract_state)
        skipped: list[Skipped] = []
        for step in reversed(reader.steps_of_all_processes(self.directory)):
            try:
                found, record = reader.restore(self.directory, step, leaves)
            except CheckpointError as error:
                _logger.warning("checkpoint %d in %s is skipped: %s", step, self.directory, error)
                skipped.append(Skipped(step, str(error)))
                self._retention.unusable.add(step)
                continue
            self._newest = step
            self._retention.unusable.discard(step)
            return Restored(
                step=step,
                state=jax.tree.unflatten(jax.tree.structure(abstract_state), found.values()),
                data=record["data"],
                metrics=record["metrics"],
                skipped=tuple(skipped),
            )
        if skipped:
            reasons = "\n  ".join(f"step {item.step}: {item.reason}" for item in skipped)
            raise CheckpointError(
                f"none of the checkpoints in {self.directory} can be restored:\n  {reasons}\n"
                "Begin the run again in another directory"
            )
        return None

    def steps(self) -> list[int]:
        """The steps that are completely written, ascending, without those found damaged."""
        return [
            step
            for step in reader.list_steps(self.directory)
            if step not in self._retention.unusable
        ]

    def best_step(self) -> int | None:
        """The best of :meth:`steps`; ``None`` when none has the metric."""
        steps = self.steps()
        self._read_metrics(steps)
        return next(iter(self._retention.ranked(steps)), None)

    def load_params(self, step: int, *, key: str = "params") -> dict[str, np.ndarray]:
        """Reads a part of a checkpoint to the host, without a model or a mesh.

        Args:
            step: one of :meth:`steps`.
            key: the part of the state, such as ``"params"`` or ``"ema"``.

        Returns:
            The arrays by path below ``key``.
        """
        return reader.load_part(self.directory, step, key)

    def average_params(self, steps: Sequence[int], *, key: str = "params") -> dict[str, np.ndarray]:
        """The mean of the parameters of several checkpoints ("model soup").

        Paper: Wortsman et al. 2022, "Model soups", uniform; here along one run, as in Izmailov
        et al. 2018, "Averaging Weights Leads to Wider Optima".

        The mean is taken in float64. What is not floating-point comes from the last of ``steps``.
        """
        return reader.average_parts(self.directory, steps, key)

    def wait(self) -> None:
        """Blocks until everything is written.

        Raises:
            CheckpointError: it could not be. Reported once; the run may save again.
        """
        if self._pending is not None:
            self._attempt(self._manager.wait_until_finished)
            self._pending = None

    def close(self) -> None:
        """Like :meth:`wait`, and ends the threads that write. Saving again starts new ones."""
        try:
            self.wait()
        finally:
            manager, self._manager = self._manager, None
            if manager is not None:
                manager.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_step(self, step: int) -> None:
        if isinstance(step, bool) or not isinstance(step, int) or step < 0:
            raise ConfigError(f"step={step!r}; use a whole number, 0 or more")
        if self._newest is not None and step < self._newest:
            raise ConfigError(f"step={step} comes after step {self._newest}; steps must grow")
        if self._manager is None:
            later = [s for s in self.steps() if self._newest is None or s > self._newest]
            if later:
                raise ResumeError(
                    f"{self.directory} holds checkpoints of steps {later}, which this run did not "
                    "begin with; restore the latest before saving, or save to another directory"
                )

    def _read_metrics(self, steps: Sequence[int]) -> None:
        for step in steps:
            if step not in self._retention.metrics:
                self._retention.metrics[step] = reader.read_metrics(self.directory, step)

    def _write(self, step: int, stored: Mapping[str, jax.Array], record: dict[str, Any]) -> None:
        import orbax.checkpoint as ocp

        if self._manager is None:
            self._read_metrics(self.steps())
            self._manager = self._new_manager()
        if step in self._retention.unusable:
            if step in self._manager.all_steps():
                self._manager.delete(step)
            self._retention.unusable.discard(step)
        items = {
            # Orbax refuses empty arrays, and there is nothing to save of them.
            reader.STATE: ocp.args.PyTreeSave({n: a for n, a in stored.items() if a.size}),
            reader.RECORD: ocp.args.JsonSave(record),
        }
        self._manager.save(step, args=ocp.args.Composite(**items), force=True)

    def _new_manager(self) -> Any:
        import orbax.checkpoint as ocp

        return ocp.CheckpointManager(
            self.directory,
            item_handlers={
                reader.STATE: ocp.PyTreeCheckpointHandler(),
                reader.RECORD: ocp.JsonCheckpointHandler(filename=reader.RECORD_FILE),
            },
            options=ocp.CheckpointManagerOptions(
                preservation_policy=self._retention,
                enable_async_checkpointing=self._asynchronous,
                cleanup_tmp_directories=True,
                save_root_metadata=False,
                lightweight_initialize=True,
            ),
        )

    def _attempt(self, action: Callable[[], None]) -> None:
        """Does something that may find that the pending checkpoint cannot be written."""
        absl = logging.getLogger("absl")
        absl.addFilter(_is_news)
        try:
            action()
        except Exception as error:
            step, self._pending = self._pending, None
            raise self._failure(step, error) from error
        finally:
            absl.removeFilter(_is_news)

    def _failure(self, step: int | None, error: Exception) -> CheckpointError:
        if step is not None:
            self._retention.metrics.pop(step, None)
        for path in self.directory.glob(f"{step}.orbax-checkpoint-tmp*"):
            path.rmtree(missing_ok=True)
        steps = self.steps()
        self._newest = max(steps, default=None)
        if self._manager is not None:
            self._manager.reload()
        intact = f"those of steps {steps} are intact" if steps else "there is no other"
        try:
            free = f"{shutil.disk_usage(self.directory).free / 1e6:,.1f} MB are free"
        except OSError:
            free = "the free space is unknown"
        return CheckpointError(
            f"the checkpoint of step {step} could not be written to {self.directory}: "
            f"{reader.brief(error)}; it takes up to {self._size / 1e6:,.1f} MB, {free} without it; "
            f"{intact}"
        )


def _is_news(record: logging.LogRecord) -> bool:
    """Not the traceback of what is raised here, nor the length of a wait that was asked for."""
    return not record.exc_info and not record.getMessage().startswith("Waiting for previous save")


def _arrays(state: Any) -> dict[str, jax.Array]:
    leaves = flatten(state)
    for name, leaf in leaves.items():
        if not isinstance(leaf, jax.Array):
            raise ConfigError(
                f"{name!r} of the state is a {type(leaf).__name__}, expected a jax.Array; numbers "
                "and texts go into data="
            )
    return leaves
