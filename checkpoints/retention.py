"""Which checkpoints of a run are kept."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from textzoo.errors import ConfigError, closest


@dataclasses.dataclass(slots=True, kw_only=True)
class Retention:
    """Keeps the newest checkpoints and the best ones.

    A checkpoint is deleted after a newer one is complete, never before. One that could not be
    restored counts as neither new nor good, and goes with the others.

    Attributes:
        keep_last: how many of the newest to keep, 1 or more.
        keep_best: how many of the best to keep; of equals, the newer is better.
        best_metric: the metric that says which are best; ``None`` keeps none for being good.
        best_mode: ``"max"`` or ``"min"``.
        metrics: of each step that has some; NaN is never best.
        unusable: steps that could not be restored.
    """

    keep_last: int = 2
    keep_best: int = 1
    best_metric: str | None = None
    best_mode: str = "max"
    metrics: dict[int, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    unusable: set[int] = dataclasses.field(default_factory=set)

    def __post_init__(self) -> None:
        for name, least in (("keep_last", 1), ("keep_best", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"{name}={value!r}; use a whole number of at least {least}")
        if self.best_mode not in ("max", "min"):
            raise ConfigError(f"best_mode={self.best_mode!r}; write 'max' or 'min'")

    def check(self, metrics: Mapping[str, float]) -> None:
        """Raises unless the metric that says what is best is among these."""
        if self.best_metric is not None and self.best_metric not in metrics:
            raise ConfigError(
                f"best_metric={self.best_metric!r} is not among the metrics; "
                f"{closest(self.best_metric, metrics)}"
            )

    def ranked(self, steps: Iterable[int]) -> list[int]:
        """Those of the steps that have the metric, the best one first."""
        if self.best_metric is None:
            return []
        sign = 1 if self.best_mode == "max" else -1
        scores = [
            (sign * self.metrics[step][self.best_metric], step)
            for step in steps
            if step not in self.unusable and self.best_metric in self.metrics.get(step, {})
        ]
        return [step for _, step in sorted(s for s in scores if not math.isnan(s[0]))][::-1]

    def kept(self, steps: Iterable[int]) -> set[int]:
        """Those of the steps that are kept."""
        usable = sorted(set(steps) - self.unusable)
        return set(usable[-self.keep_last :]) | set(self.ranked(usable)[: self.keep_best])

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """What Orbax asks: which of these checkpoints to keep."""
        kept = self.kept(checkpoint.step for checkpoint in checkpoints)
        return [checkpoint.step in kept for checkpoint in checkpoints]
