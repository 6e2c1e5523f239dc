r"""Which parameters learn how fast, decay how much, or not at all.

Parameters are known by dotted path, such as ``model.encoder.layers.0.attention.qkv.kernel``.
Without rules, matrices and tables decay, while biases, norms and whatever has less than two axes
do not, as is usual since BERT (Devlin et al. 2019).

Layer-wise decay (ELECTRA, Clark et al. 2020, appendix B) makes lower layers learn slower::

    scale = layer_decay ** (N + 1 - depth)
    depth = 0 of embeddings, i + 1 of layers.i, N + 1 of everything above the layers

Notes:
    ELECTRA's code gives its head another step of depth, so its top layer has the square of the
    factor; here, as in BEiT, the top layer has the factor itself. Layers that are shared (ALBERT)
    have the depth of their first use.
"""

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from textzoo.errors import ConfigError, closest

_LAYER = re.compile(r"(?:^|\.)layers\.(\d+)(?:\.|$)")
# What stands below the first layer: parts of this name, or tables and norms of an encoder's input.
_BELOW = re.compile(
    r"(?:^|\.)(?:\w*embedding\w*|position_table|type_table|relative_bias|input_norm"
    r"|input_projection)(?:\.|$)"
)
_NORM_OR_BIAS = re.compile(r"(?:^|[._])norm(?:\.|$)|(?:^|\.)(?:scale|(?:\w+_)?bias)$")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GroupRule:
    r"""What holds for parameters whose path matches.

    Attributes:
        pattern: a regular expression that is searched in the dotted path, such as
            ``r"\.embedding\."`` or ``r"^head\."``.
        learning_rate_scale: times the rate of the schedule (and times layer-wise decay).
        weight_decay: ``None`` keeps what would hold without the rule.
        frozen: no gradient, no update, no state.
    """

    pattern: str
    learning_rate_scale: float = 1.0
    weight_decay: float | None = None
    frozen: bool = False

    def __post_init__(self) -> None:
        check_pattern(self.pattern)
        if not 0 <= self.learning_rate_scale < math.inf:
            raise ConfigError(
                f"rule {self.pattern!r}: learning_rate_scale={self.learning_rate_scale}; use a "
                "number above 0 (or frozen=True)"
            )
        if self.weight_decay is not None and not 0 <= self.weight_decay < math.inf:
            raise ConfigError(
                f"rule {self.pattern!r}: weight_decay={self.weight_decay}; use 0 or more"
            )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """What the optimizer does with one parameter.

    Attributes:
        group: the pattern of the rule it falls under, or what it is by default.
        learning_rate_scale: times the rate of the schedule.
        weight_decay: times the rate, too.
        frozen: whether it is left alone.
    """

    group: str
    learning_rate_scale: float
    weight_decay: float
    frozen: bool = False


def check_pattern(pattern: str) -> None:
    """Raises :class:`ConfigError` unless the pattern is a regular expression."""
    try:
        re.compile(pattern)
    except (re.error, TypeError) as error:
        raise ConfigError(
            f"pattern {pattern!r} is not a regular expression ({error}); write a part of a "
            r"dotted path, such as r'\.embedding\.'"
        ) from error


def group_parameters(
    params: Mapping[str, Any],
    *,
    weight_decay: float,
    rules: Sequence[GroupRule] = (),
    frozen: Sequence[str] = (),
    layer_decay: float = 1.0,
) -> dict[str, Treatment]:
    """Decides for every parameter; the first rule that matches wins.

    Args:
        params: arrays or their shapes by dotted path: all of them, also the frozen ones.
        weight_decay: of matrices and tables.
        rules: exceptions.
        frozen: patterns of parameters that stay as they are, whatever the rules say.
        layer_decay: factor per layer, from the top down; 1 for none.

    Raises:
        ConfigError: a pattern matches nothing, or only what earlier rules have taken.
    """
    for pattern in [*(rule.pattern for rule in rules), *frozen]:
        if not any(re.search(pattern, path) for path in params):
            raise ConfigError(
                f"pattern {pattern!r} matches no parameter; {closest(pattern, params)}"
            )
    scales = dict(_layer_scales(params, layer_decay))
    used: set[int] = set()
    treatments = {}
    for path, value in params.items():
        decays = len(value.shape) > 1 and not _NORM_OR_BIAS.search(path)
        treatment = Treatment(
            group="matrices and tables" if decays else "norms, biases, vectors",
            learning_rate_scale=scales[path],
            weight_decay=weight_decay if decays else 0.0,
        )
        for index, rule in enumerate(rules):
            if re.search(rule.pattern, path):
                used.add(index)
                treatment = _apply(rule, treatment)
                break
        for pattern in frozen:
            if re.search(pattern, path):
                treatment = dataclasses.replace(treatment, group=pattern, frozen=True)
                break
        treatments[path] = treatment
    for index, rule in enumerate(rules):
        if index not in used:
            raise ConfigError(
                f"rule {rule.pattern!r} never applies: earlier rules match every parameter it "
                "matches; put it first"
            )
    return treatments


def _apply(rule: GroupRule, treatment: Treatment) -> Treatment:
    decay = treatment.weight_decay if rule.weight_decay is None else rule.weight_decay
    return Treatment(
        group=rule.pattern,
        learning_rate_scale=treatment.learning_rate_scale * rule.learning_rate_scale,
        weight_decay=decay,
        frozen=rule.frozen,
    )


def _layer_scales(params: Mapping[str, Any], factor: float) -> Iterator[tuple[str, float]]:
    """The scale of each parameter by its depth; every model of an objective has its own layers."""
    counts: dict[str, int] = {}
    for path in params:
        if found := _LAYER.search(path):
            root = path.split(".")[0]
            counts[root] = max(counts.get(root, 0), int(found.group(1)) + 1)
    for path in params:
        top = counts.get(path.split(".")[0], 0) + 1
        if found := _LAYER.search(path):
            depth = int(found.group(1)) + 1
        else:
            depth = 0 if _BELOW.search(path) else top
        yield path, factor ** (top - depth)


def split_frozen(groups: Mapping[str, Treatment]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The paths of trained and of frozen parameters, in their order."""
    trained = tuple(path for path, treatment in groups.items() if not treatment.frozen)
    return trained, tuple(path for path, treatment in groups.items() if treatment.frozen)


def describe_groups(groups: Mapping[str, Treatment], params: Mapping[str, Any]) -> Table:
    """A table with a line per group: how many parameters, and what happens to them.

    Args:
        groups: from :func:`group_parameters`.
        params: arrays or their shapes.
    """
    sizes: dict[Treatment, list[int]] = {}
    for path, treatment in groups.items():
        entry = sizes.setdefault(treatment, [0, 0])
        entry[0] += 1
        entry[1] += math.prod(params[path].shape)
    table = Table(title="parameters", title_justify="left")
    table.add_column("group")
    for name in ("tensors", "parameters", "rate", "weight decay"):
        table.add_column(name, justify="right")
    for treatment, (tensors, count) in sizes.items():
        rate, decay = f"x {treatment.learning_rate_scale:.4g}", f"{treatment.weight_decay:g}"
        if treatment.frozen:
            rate, decay = "frozen", "-"
        # Brackets of a pattern are not markup.
        group = treatment.group.replace("[", r"\[")
        table.add_row(group, f"{tensors:,}", f"{count:,}", rate, decay)
    return table
