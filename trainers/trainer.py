"""Trains an objective: the state, the compiled steps, and what is read from and written to disk."""

import contextlib
import dataclasses
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from textzoo.checkpoints.training_state import TrainingCheckpoints
from textzoo.errors import ConfigError, ResumeError, differences
from textzoo.model import TextModel
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.blueprint import Arrays, Blueprint
from textzoo.trainers.data import BatchStream, TrainingData
from textzoo.trainers.evaluation import Evaluator, HeldOut, host_arrays
from textzoo.trainers.flops import TRAINING_FACTOR, count_flops, total_flops_per_second
from textzoo.trainers.holder import StateHolder
from textzoo.trainers.loop import Loop
from textzoo.trainers.mesh import make_mesh
from textzoo.trainers.metrics import Window
from textzoo.trainers.objectives.base import Objective
from textzoo.trainers.optimizers import make_optimizer
from textzoo.trainers.parameter_groups import split_frozen
from textzoo.trainers.precision import check_precision
from textzoo.trainers.schedules import make_schedule
from textzoo.trainers.sharding import place_batch, replicated
from textzoo.trainers.state import TrainState, abstract_state, initial_state, shardings_of
from textzoo.trainers.step import make_evaluation_step, make_train_step
from textzoo.trainers.training_config import TrainingConfig

_logger = logging.getLogger(__name__)

# What may be changed when a run is continued; everything else would change its result.
_FREE_TO_CHANGE = (
    "mesh", "log_every", "evaluate_every", "save_every", "keep_last", "keep_best", "best_metric",
    "best_mode",
)  # fmt: skip


class TrainingDiverged(ArithmeticError):
    """The loss is not a finite number."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """How a run ended.

    Attributes:
        step: updates done.
        is_complete: False when the run was told to stop before its last step.
        scores: of the last evaluation.
        best_step: the checkpoint :meth:`Trainer.best_model` reads; ``None`` without a directory.
    """

    step: int
    is_complete: bool
    scores: Mapping[str, float]
    best_step: int | None


class Trainer:
    """Trains an objective; continues where an earlier process was stopped.

    What decides the result is in the objective, the config and the data. With a directory, a run
    that was killed goes on from its last checkpoint and ends with the same bits as one that was
    not, on the same kind and number of devices.

    Args:
        objective: what to train. Its arrays are read at the first step, and written at the end of
            :meth:`fit`. With abstract arrays (``nnx.eval_shape``) it can be planned, not trained.
        config: see :class:`textzoo.trainers.training_config.TrainingConfig`.
        directory: for checkpoints and ``metrics.jsonl``; ``None``: nothing is written.
        evaluators: called with the model at every evaluation; each returns scores by name.
        held_out: rows, by name, whose loss is computed at every evaluation.
        devices: all there are by default.

    Attributes:
        mesh: the devices.
        abstract: shapes, dtypes and shardings of the state.
        step: the compiled step, ``(state, batch) -> (state, metrics)``; it donates the state.
        holder: holds the state, and calls the step on it.
    """

    def __init__(
        self, objective: Objective, config: TrainingConfig, *,
        directory: str | Path | None = None, evaluators: Sequence[Evaluator] = (),
        held_out: Mapping[str, HeldOut] | None = None,
        devices: Sequence[jax.Device] | None = None,
    ) -> None:  # fmt: skip
        self.objective = objective
        self.config = config
        self.directory = None if directory is None else Path(directory)
        self.mesh = make_mesh(config.mesh, devices)
        self.blueprint = Blueprint(objective, remat=config.remat)
        shapes = self.blueprint.shapes(self.blueprint.parameters)
        self.optimizer = make_optimizer(config.optimizer, shapes, config.steps)
        trained, frozen = split_frozen(config.optimizer.group(shapes))
        check_precision({name: shapes[name] for name in trained})
        self.abstract = abstract_state(
            self.blueprint, self.optimizer, self.mesh, frozen=frozen,
            has_average=config.average_decay is not None,
        )  # fmt: skip
        self._evaluators = tuple(evaluators)
        self._held_out = dict(held_out or {})
        self._schedule = make_schedule(config.optimizer.schedule, config.steps)
        self._checkpoints: TrainingCheckpoints | None = None
        step = make_train_step(
            self.blueprint, self.optimizer, seed=config.seed, accumulation=config.accumulation,
            average_decay=config.average_decay,
        )  # fmt: skip
        whole = replicated(self.mesh)
        self.step = jax.jit(
            step, donate_argnums=0, out_shardings=(shardings_of(self.abstract), whole)
        )
        self.holder = StateHolder(self.step, self.abstract)
        self._evaluate = jax.jit(make_evaluation_step(self.blueprint), out_shardings=whole)

    def fit(
        self, data: TrainingData, *, show_progress: bool = False, tensorboard: bool = False
    ) -> TrainingResult:
        """Trains to the last step, from the last checkpoint in the directory if there is one.

        SIGTERM ends the run early, after a checkpoint has been written.

        Args:
            data: see :mod:`textzoo.trainers.data`.
            show_progress: shows a progress bar on stderr.
            tensorboard: also write TensorBoard events into the directory.

        Raises:
            TrainingDiverged: the loss is not finite; the message names the step, the batch and
                the last good checkpoint.
            ResumeError: the directory was begun with other settings, other data or another model.
        """
        stream = data.stream(
            process_index=jax.process_index(), process_count=jax.process_count()
        )  # fmt: skip
        with contextlib.ExitStack() as stack:
            stack.callback(setattr, self, "_checkpoints", None)
            stack.enter_context(contextlib.closing(stream))
            self._checkpoints = stack.enter_context(self._open_checkpoints())
            step = self._restore(stream)
            loop = Loop(
                self, stream, step, show_progress=show_progress, tensorboard=tensorboard
            )  # fmt: skip
            loop.run()
            best = None
            if self._checkpoints is not None:
                self._checkpoints.wait()
                best = _best(self._checkpoints)
        self.model()
        return TrainingResult(
            step=loop.step, is_complete=loop.step == self.config.steps, scores=loop.scores,
            best_step=best,
        )  # fmt: skip

    @property
    def state(self) -> TrainState | None:
        """The present state; ``None`` until it is needed."""
        return self.holder.state

    @state.setter
    def state(self, state: TrainState | None) -> None:
        self.holder.state = state

    def start(self) -> TrainState:
        """The present state; made from the objective's arrays when there is none."""
        state = self.holder.state
        if state is None:
            state = initial_state(self.blueprint, self.optimizer, self.abstract)
            self.holder.state = state
        return state

    def update(self, batch: TrainBatch) -> dict[str, jax.Array]:
        """One step on this process's rows of a batch; the metrics stay on the device."""
        if self.holder.is_empty:
            self.start()
        with jax.set_mesh(self.mesh):
            return self.holder.update(place_batch(batch, self.mesh))

    def lower(self, batch: TrainBatch) -> Any:
        """The step, lowered for global batches of this kind: for plans and for counting FLOPs.

        Args:
            batch: ``jax.ShapeDtypeStruct`` with shardings, or arrays on the mesh.
        """
        with jax.set_mesh(self.mesh):
            return self.step.lower(self.abstract, batch)

    def evaluate(self) -> dict[str, float]:
        """Losses of the held-out rows, as ``name/metric``, and the scores of the evaluators."""
        arrays = self._arrays()
        scores: dict[str, float] = {}
        for name, held_out in self._held_out.items():
            with jax.set_mesh(self.mesh):
                found = held_out.measure(self._evaluate, arrays, self.mesh)
            scores.update({f"{name}/{metric}": value for metric, value in found.items()})
        if self._evaluators:
            model = self.model()
            for evaluator in self._evaluators:
                scores.update(evaluator(model))
        return scores

    def model(self) -> TextModel:
        """The model with the present parameters, or with their average if one is kept.

        They are written into the objective, whole, on this process's first device.
        """
        self.blueprint.restore(self.objective, host_arrays(self._arrays()))
        return self.objective.export()

    def best_model(self) -> TextModel:
        """The model of the best checkpoint in the directory (see ``best_metric``)."""
        with self._open_checkpoints() as checkpoints:
            step = None if checkpoints is None else _best(checkpoints)
            if checkpoints is None or step is None:
                raise ConfigError(
                    f"there is no checkpoint in directory={self.directory}; call fit() of a "
                    "Trainer with a directory first, or use model()"
                )
            part = "params" if self.config.average_decay is None else "average"
            saved = checkpoints.load_params(step, key=part)
        self.blueprint.restore(self.objective, host_arrays({**self._arrays(), **saved}))
        return self.objective.export()

    def save(self, stream: BatchStream, scores: Mapping[str, float]) -> None:
        """Begins to write a checkpoint, if there is a directory; the run goes on meanwhile."""
        if self._checkpoints is not None:
            state = self.start()
            self._checkpoints.save(
                int(state.step), state,
                data={"position": stream.get_state(), "config": _settings(self.config)},
                metrics=scores or None,
            )  # fmt: skip

    def learning_rate(self, step: int) -> float:
        """The learning rate of an update, before the scales of parameter groups.

        Args:
            step: number of the update, from 1.
        """
        return float(self._schedule(step - 1))

    def model_flops(self, batch: TrainBatch) -> float:
        """Arithmetic of a step on global batches of this shape; see :mod:`textzoo.trainers.flops`.

        Args:
            batch: this process's rows.
        """
        rows = self.blueprint.shapes((*self.blueprint.parameters, *self.blueprint.memory))
        evaluate = make_evaluation_step(self.blueprint)
        forward = count_flops(evaluate, rows, batch, jax.ShapeDtypeStruct((), jnp.int32))
        return TRAINING_FACTOR * forward * jax.process_count()

    def peak_flops_per_second(self) -> float | None:
        """What the devices could do at most; ``None`` when it is not known."""
        dtype = self.blueprint.computation_dtype()
        return total_flops_per_second(list(self.mesh.devices.flat), dtype)

    def divergence(self, window: Window) -> TrainingDiverged | None:
        """The error to raise for a window with a loss that is not finite, if it has one."""
        bad = window.first_bad()
        if bad is None:
            return None
        steps: Sequence[int] = ()
        if self._checkpoints is not None:
            self._checkpoints.wait()
            steps = self._checkpoints.steps()
        good = [step for step in steps if step < bad.step]
        where = (
            f"the last good checkpoint is that of step {max(good)} in {self.directory}"
            if good
            else "there is no checkpoint of an earlier step"
        )
        return TrainingDiverged(
            f"the loss of step {bad.step} is {bad.values['loss']}, on {bad.identity}; "
            f"{where}. Look at these rows, or begin again with a smaller learning rate, a longer "
            "warm-up or a clip_norm"
        )

    def _arrays(self) -> Arrays:
        state = self.start()
        params = state.params if state.average is None else state.average
        return {**params, **state.frozen, **state.memory}

    @contextlib.contextmanager
    def _open_checkpoints(self) -> Any:
        if self.directory is None:
            yield None
            return
        config = self.config
        checkpoints = TrainingCheckpoints(
            self.directory / "checkpoints", keep_last=config.keep_last,
            keep_best=config.keep_best if config.best_metric else 0,
            best_metric=config.best_metric, best_mode=config.best_mode,  # type: ignore[arg-type]
        )  # fmt: skip
        with contextlib.closing(checkpoints):
            yield checkpoints

    def _restore(self, stream: BatchStream) -> int:
        found = None
        if self._checkpoints is not None:
            found = self._checkpoints.restore_latest(self.abstract)
        if found is None:
            return int(self.start().step)
        _check_same(found.data["config"], _settings(self.config), self.directory)
        stream.set_state(found.data["position"])
        self.state = found.state
        _logger.info("continued from step %d in %s", found.step, self.directory)
        return found.step


def _best(checkpoints: TrainingCheckpoints) -> int | None:
    """The best checkpoint; the newest, where nothing says which is best."""
    best = checkpoints.best_step()
    return max(checkpoints.steps(), default=None) if best is None else best


def _settings(config: TrainingConfig) -> dict[str, Any]:
    """The part of a config that decides the result, as JSON has it."""
    settings = json.loads(json.dumps(dataclasses.asdict(config)))
    return {name: settings[name] for name in settings if name not in _FREE_TO_CHANGE}


def _check_same(old: Mapping[str, Any], new: Mapping[str, Any], directory: Path | None) -> None:
    different = differences(old, new)
    if different:
        raise ResumeError(
            f"{directory} was begun with other settings; use them again, or another directory:\n"
            + "\n".join(different)
        )
