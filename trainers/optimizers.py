r"""Optimizers over a flat dict of parameters, assembled from optax.

One step, with the gradient ``g`` over all trained parameters and rate ``r`` of the schedule::

    g <- g min(1, clip_norm / ||g||)
    d <- direction of the named optimizer
    p <- p - r scale_p (d + weight_decay_p p)        (LAMB: see below)

- ``adamw`` (Loshchilov and Hutter 2019): ``d = m / (sqrt(v) + eps)``, both moments unbiased.
- ``lamb`` (You et al. 2020): Adam's direction with the decay added, times ``||p|| / ||d||``.
- ``muon`` (Jordan 2024; Liu et al. 2025): kernels inside layers move along the nearest orthogonal
  matrix to their momentum, times ``0.2 sqrt(max(fan_in, fan_out))``, which has the root mean
  square of AdamW's updates; so rate and decay are AdamW's. All else, also tables and heads, is
  AdamW.
- ``sgd``: ``d`` is the momentum of the gradient.

``scale_p`` and ``weight_decay_p`` stand in :mod:`textzoo.trainers.parameter_groups`. Decay is
multiplied by the rate, as in PyTorch.

Notes:
    - LAMB leaves out the factor ``||p|| / ||d||`` where nothing decays by default, as its authors'
      code does: for norms, biases and vectors. Its factor is one for queries, keys and values
      together, because they are one parameter.
    - SGD's decay is decoupled, too; PyTorch's goes through the momentum.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax

from textzoo.errors import ConfigError, closest
from textzoo.trainers.muon import muon_axes, scale_by_muon
from textzoo.trainers.parameter_groups import (
    GroupRule,
    Treatment,
    check_pattern,
    group_parameters,
)
from textzoo.trainers.schedules import ScheduleConfig, make_schedule

Parameters = Mapping[str, Any]
"""Arrays, or shapes, by dotted path."""

OPTIMIZERS = ("adamw", "lamb", "muon", "sgd")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerConfig:
    """What happens to parameters once their gradients are known.

    Attributes:
        name: one of ``OPTIMIZERS``.
        schedule: of the learning rate.
        betas: decay of Adam's two moments.
        eps: added to the root of Adam's second moment; ``None``: 1e-8, for LAMB 1e-6.
        momentum: of ``sgd`` and ``muon``; ``None``: 0 and 0.95.
        weight_decay: of matrices and tables.
        clip_norm: longest gradient; ``None`` for any.
        layer_decay: factor of the rate per layer, from the top down; 1 for none.
        rules: exceptions for some parameters, the first that matches wins.
        frozen: patterns of parameters that stay as they are.
        moment_dtype: in which first moments are kept; ``None`` for the parameters' own.
    """

    name: str = "adamw"
    schedule: ScheduleConfig = ScheduleConfig()
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float | None = None
    momentum: float | None = None
    weight_decay: float = 0.01
    clip_norm: float | None = 1.0
    layer_decay: float = 1.0
    rules: tuple[GroupRule, ...] = ()
    frozen: tuple[str, ...] = ()
    moment_dtype: str | None = None

    def __post_init__(self) -> None:
        if self.name not in OPTIMIZERS:
            raise ConfigError(f"optimizer: name={self.name!r}; {closest(self.name, OPTIMIZERS)}")
        if isinstance(self.frozen, str):
            raise ConfigError(f"optimizer: frozen={self.frozen!r} is one text; write a list of "
                              "patterns")  # fmt: skip
        for name in ("betas", "rules", "frozen"):  # lists, where they come from JSON
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for pattern in self.frozen:
            check_pattern(pattern)
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(
                f"optimizer: betas={self.betas}; use two numbers from 0 to below 1, such as "
                "(0.9, 0.999)"
            )
        if self.momentum is not None and not 0 <= self.momentum < 1:
            raise ConfigError(f"optimizer: momentum={self.momentum}; use 0 to below 1")
        if not 0 <= self.weight_decay < math.inf:
            raise ConfigError(f"optimizer: weight_decay={self.weight_decay}; use 0 or more")
        if not 0 < self.layer_decay <= 1:
            raise ConfigError(f"optimizer: layer_decay={self.layer_decay}; use above 0, up to 1")
        for name in ("eps", "clip_norm"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"optimizer: {name}={value}; use a number above 0, or null")
        if self.moment_dtype not in (None, "float32", "bfloat16"):
            raise ConfigError(
                f"optimizer: moment_dtype={self.moment_dtype!r}; use 'float32' or 'bfloat16'"
            )

    def group(self, params: Parameters) -> dict[str, Treatment]:
        """What happens to each parameter; see :func:`group_parameters`.

        Args:
            params: all parameters or their shapes, also those that shall be frozen.
        """
        return group_parameters(
            params, weight_decay=self.weight_decay, rules=self.rules, frozen=self.frozen,
            layer_decay=self.layer_decay,
        )  # fmt: skip


def make_optimizer(
    config: OptimizerConfig, params: Parameters, total_steps: int
) -> optax.GradientTransformation:
    """The optimizer of a run.

    Its ``init`` and ``update`` take flat dicts of the *trained* parameters only; see
    :func:`textzoo.trainers.parameter_groups.split_frozen`. Every part of its state that belongs to
    a parameter is keyed by the parameter's path.

    Args:
        config: name and numbers.
        params: all parameters or their shapes, also the frozen ones, so that rules can be checked.
        total_steps: updates of the whole run.
    """
    groups = config.group(params)
    schedule = make_schedule(config.schedule, total_steps)
    steps = [] if config.clip_norm is None else [optax.clip_by_global_norm(config.clip_norm)]
    steps += [_direction(config), *_decayed_weights(groups)]
    if config.name == "lamb":
        plain = group_parameters(params, weight_decay=1.0)
        adapted = {path for path, treatment in plain.items() if treatment.weight_decay}
        steps.append(optax.masked(optax.scale_by_trust_ratio(), lambda tree: _mask(tree, adapted)))
    steps += [_scaled_rates(groups), optax.scale_by_learning_rate(schedule)]
    chain = optax.chain(*steps)

    def init(trained: Any) -> optax.OptState:
        for path in trained:
            if path not in groups:
                raise ConfigError(f"no parameter {path!r}; {closest(path, groups)}")
            if groups[path].frozen:
                raise ConfigError(
                    f"{path} is frozen ({groups[path].group!r}); give the optimizer the trained "
                    "parameters only, see split_frozen"
                )
        return chain.init(trained)

    return optax.GradientTransformation(init, chain.update)


def _direction(config: OptimizerConfig) -> optax.GradientTransformation:
    first, second = config.betas
    eps = config.eps or (1e-6 if config.name == "lamb" else 1e-8)
    adam = optax.scale_by_adam(first, second, eps=eps, mu_dtype=config.moment_dtype)
    if config.name == "sgd":
        return optax.trace(config.momentum or 0.0, accumulator_dtype=config.moment_dtype)
    if config.name != "muon":
        return adam
    momentum = 0.95 if config.momentum is None else config.momentum
    muon = scale_by_muon(momentum, config.moment_dtype)
    return optax.partition(
        {"muon": muon, "adam": adam},
        lambda tree: {
            path: "adam" if muon_axes(path, value.ndim) is None else "muon"
            for path, value in tree.items()
        },
    )


def _decayed_weights(groups: Mapping[str, Treatment]) -> list[optax.GradientTransformation]:
    """Add to each update the decay of its parameter: one step for each value there is."""
    values = sorted({treatment.weight_decay for treatment in groups.values()} - {0.0})

    def having(value: float) -> Callable[[Any], dict[str, bool]]:
        return lambda tree: _mask(tree, {p for p in tree if groups[p].weight_decay == value})

    return [optax.add_decayed_weights(value, having(value)) for value in values]


def _scaled_rates(groups: Mapping[str, Treatment]) -> optax.GradientTransformation:
    def scale(updates: Any, _: Any) -> Any:
        return {path: u * groups[path].learning_rate_scale for path, u in updates.items()}

    return optax.stateless(scale)


def _mask(tree: Any, chosen: set[str]) -> dict[str, bool]:
    return {path: path in chosen for path in tree}


def optimizer_state_shardings(
    state: Any,
    param_shardings: Mapping[str, jax.sharding.NamedSharding],
    replicated: jax.sharding.NamedSharding,
) -> Any:
    """Where each part of an optimizer's state lies: with its parameter, or everywhere.

    Args:
        state: of ``optimizer.init``, or its shapes (``jax.eval_shape``).
        param_shardings: by dotted path.
        replicated: for counters, and for what has another number of axes than its parameter.

    Returns:
        A tree like ``state``.
    """

    def place(path: tuple[Any, ...], leaf: Any) -> jax.sharding.NamedSharding:
        for key in reversed(path):
            sharding = param_shardings.get(getattr(key, "key", None))  # type: ignore[arg-type]
            if sharding is not None and len(sharding.spec) <= len(leaf.shape):
                return sharding
        return replicated

    return jax.tree.map_with_path(place, state)
