r"""How the learning rate goes over a run.

With peak ``p``, total steps ``T``, warm-up steps ``W``, end value ``e p`` and ``s = 0, 1, 2, ...``
the number of updates already done::

    warm-up       p s / W                                                  s < W
    constant      p
    linear        p + (e p - p) x          x = (s - W) / (T - W)
    cosine        e p + (p - e p) (1 + cos(pi x)) / 2
    wsd           p until the last D = decay_share T steps, then, with x = (s - T + D) / D,
                  linear: p + (e p - p) x       sqrt: p + (e p - p) sqrt(x)
    inverse_sqrt  p sqrt(W / s)

From step T on every schedule stays where it is at T (``inverse_sqrt`` goes on).

References:
    Warm-up and linear decay: Devlin et al. 2019. Cosine: Loshchilov and Hutter 2017. Inverse
    square root: Vaswani et al. 2017, section 5.3. Warm-up, stable, decay: Hu et al. 2024 (MiniCPM),
    section 4; its 1 - sqrt form: Hägele et al. 2024, section 3, used by ModernBERT.

Notes:
    ``constant``, ``linear``, ``cosine`` and ``inverse_sqrt`` equal transformers'
    ``get_*_schedule_with_warmup`` at every step. As there, the first update of a run with a
    warm-up has rate zero, the W-th after it is the first at the peak, and the last one, number
    T - 1, is one step short of the end value.
"""

import dataclasses
import math

import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from jaxtyping import Array

from textzoo.errors import ConfigError, closest

KINDS = ("constant", "linear", "cosine", "wsd", "inverse_sqrt")
DECAY_SHAPES = ("linear", "sqrt")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleConfig:
    """A learning rate that depends on the step; see the equations of this module.

    Attributes:
        kind: one of ``KINDS``.
        peak: p, the largest rate.
        warmup_steps: W; ``None`` takes ``warmup_share`` of the total instead.
        warmup_share: W / T, rounded up to whole steps.
        end_share: e, the value at T as a share of the peak (``linear``, ``cosine``, ``wsd``).
        decay_share: D / T, rounded up to whole steps (``wsd``).
        decay_shape: ``"linear"`` or ``"sqrt"`` (``wsd``).
    """

    kind: str = "linear"
    peak: float = 2e-5
    warmup_steps: int | None = None
    warmup_share: float = 0.1
    end_share: float = 0.0
    decay_share: float = 0.1
    decay_shape: str = "linear"

    def __post_init__(self) -> None:
        for name, known in (("kind", KINDS), ("decay_shape", DECAY_SHAPES)):
            value = getattr(self, name)
            if value not in known:
                raise ConfigError(f"schedule: {name}={value!r}; {closest(value, known)}")
        if not 0 < self.peak < math.inf:
            raise ConfigError(f"schedule: peak={self.peak}; use a number above 0, such as 2e-5")
        if self.warmup_steps is not None and self.warmup_steps < 0:
            raise ConfigError(f"schedule: warmup_steps={self.warmup_steps}; use 0 or more")
        for name in ("warmup_share", "end_share", "decay_share"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ConfigError(f"schedule: {name}={value}; a share lies between 0 and 1")

    def count_warmup_steps(self, total_steps: int) -> int:
        """W of a run of ``total_steps``."""
        if self.warmup_steps is not None:
            return self.warmup_steps
        return _share(self.warmup_share, total_steps)


def make_schedule(config: ScheduleConfig, total_steps: int) -> optax.Schedule:
    """The rate as a function of the number of updates done.

    Args:
        config: kind and numbers.
        total_steps: T, updates of the whole run (not micro-batches).

    Raises:
        ConfigError: the phases do not fit into the run.
    """
    warmup = config.count_warmup_steps(total_steps)
    if total_steps < 1:
        raise ConfigError(f"a run of {total_steps} steps has no schedule; use 1 or more")
    if warmup > total_steps:
        raise ConfigError(
            f"schedule: {warmup} warm-up steps do not fit into a run of {total_steps}; write "
            f"warmup_share=0.1, or warmup_steps={max(1, total_steps // 10)}"
        )
    after = _after_warmup(config, warmup, total_steps)
    if warmup == 0:
        return after
    rise = optax.linear_schedule(0.0, config.peak, warmup)
    return optax.join_schedules([rise, after], [warmup])


def _after_warmup(config: ScheduleConfig, warmup: int, total: int) -> optax.Schedule:
    """The schedule from the end of the warm-up, counted from there."""
    peak, end = config.peak, config.peak * config.end_share
    rest = max(1, total - warmup)
    if config.kind == "linear":
        return optax.linear_schedule(peak, end, rest)
    if config.kind == "cosine":
        return optax.cosine_decay_schedule(peak, rest, alpha=config.end_share)
    if config.kind == "inverse_sqrt":
        if warmup == 0:
            raise ConfigError(
                "schedule: inverse_sqrt falls from the end of the warm-up, and there is none; "
                "write warmup_steps=1000"
            )
        return lambda count: peak * jnp.sqrt(warmup / (jnp.asarray(count, jnp.float32) + warmup))
    if config.kind == "wsd":
        decay = _share(config.decay_share, total)
        if warmup + decay > total:
            raise ConfigError(
                f"schedule: {warmup} steps of warm-up and {decay} of decay do not fit into a run "
                f"of {total}; make warmup_share + decay_share at most 1"
            )
        stable = optax.constant_schedule(peak)
        return optax.join_schedules(
            [stable, _fall(peak, end, decay, config.decay_shape)], [total - warmup - decay]
        )
    return optax.constant_schedule(peak)


def _fall(start: float, end: float, steps: int, shape: str) -> optax.Schedule:
    if shape == "linear" or steps == 0:
        # Without steps the decay begins where the run is over, and stays at the peak.
        return optax.linear_schedule(start, end if steps else start, max(1, steps))

    def schedule(count: ArrayLike) -> Array:
        done = jnp.clip(jnp.asarray(count, jnp.float32) / steps, 0, 1)
        return start + (end - start) * jnp.sqrt(done)

    return schedule


def _share(share: float, total: int) -> int:
    # 0.07 * 100 is 7.000000000000001 in floating point.
    return math.ceil(round(share * total, 6))
