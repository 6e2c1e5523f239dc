"""What a training run does beyond its model, its objective and its data."""

import dataclasses

from textzoo.errors import ConfigError
from textzoo.trainers.mesh import MeshConfig
from textzoo.trainers.optimizers import OptimizerConfig

REMAT = ("none", "dots", "full")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """Length, optimizer, devices, and what is written when.

    Attributes:
        steps: optimizer updates of the whole run.
        optimizer: see :class:`textzoo.trainers.optimizers.OptimizerConfig`.
        mesh: arrangement of the devices.
        seed: of dropout, masks and samples. The data has a seed of its own.
        accumulation: parts into which a batch is cut to save memory; see
            :func:`textzoo.trainers.step.make_train_step`.
        remat: what a backward pass keeps of an encoder layer: ``"none"`` (everything), ``"dots"``
            or ``"full"`` (nothing but the layer's input); less memory, more arithmetic.
        average_decay: of an exponential moving average of the parameters, which is then what is
            evaluated and exported; ``None`` for none.
        log_every: steps between two lines of metrics.
        evaluate_every: steps between two evaluations; ``None``: only at the end.
        save_every: steps between two checkpoints; ``None``: only at the end and when the run is
            told to stop.
        keep_last: newest checkpoints that are kept.
        keep_best: best checkpoints that are kept besides.
        best_metric: name of the metric of evaluations that tells the best; ``None``: the newest
            checkpoint is the best.
        best_mode: ``"max"`` or ``"min"``.
    """

    steps: int
    optimizer: OptimizerConfig = OptimizerConfig()
    mesh: MeshConfig = MeshConfig()
    seed: int = 0
    accumulation: int = 1
    remat: str = "none"
    average_decay: float | None = None
    log_every: int = 10
    evaluate_every: int | None = None
    save_every: int | None = None
    keep_last: int = 2
    keep_best: int = 1
    best_metric: str | None = None
    best_mode: str = "max"

    def __post_init__(self) -> None:
        for name in ("steps", "accumulation", "log_every", "keep_last"):
            _check_count(name, getattr(self, name), least=1, hint="")
        for name in ("evaluate_every", "save_every"):
            value = getattr(self, name)
            if value is not None:
                _check_count(name, value, least=1, hint=", or leave it out")
        _check_count("keep_best", self.keep_best, least=0, hint="")
        _check_count("seed", self.seed, least=0, hint="")
        if self.remat not in REMAT:
            raise ConfigError(f"remat={self.remat!r} is unknown; use one of {', '.join(REMAT)}")
        if self.best_mode not in ("max", "min"):
            raise ConfigError(f"best_mode={self.best_mode!r} is unknown; use 'max' or 'min'")
        if self.average_decay is not None and not 0 < self.average_decay < 1:
            raise ConfigError(
                f"average_decay={self.average_decay}; use a number between 0 and 1, such as 0.999"
            )


def _check_count(name: str, value: object, *, least: int, hint: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name}={value!r}; use a whole number, {least} or more{hint}")
