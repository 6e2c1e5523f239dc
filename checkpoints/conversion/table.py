"""Tables that rename and reshape another library's tensors into ours, and back.

A table is a list of rules, each with a name pattern on either side and the reshaping between them.
Read forwards it converts a checkpoint, read backwards it exports one. Forwards, every tensor of the
source must match a rule or be listed as ignored; in both directions every parameter must take part,
and all problems are reported at once.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from textzoo.errors import WeightsError

Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Transform:
    """A reshaping and its inverse.

    Attributes:
        forward: from (their array, wanted shape) to ours.
        backward: from our array to theirs.
    """

    forward: Callable[[np.ndarray, Shape], np.ndarray]
    backward: Callable[[np.ndarray], np.ndarray]


def _transpose(array: np.ndarray, shape: Shape) -> np.ndarray:
    return np.ascontiguousarray(array.T).reshape(shape)


def _transpose_back(array: np.ndarray, input_axes: int) -> np.ndarray:
    rows = math.prod(array.shape[:input_axes])
    return array.reshape(rows, -1).T


COPY = Transform(lambda array, shape: array.reshape(shape), lambda array: array)
"""Tables, which look the same on both sides."""
VECTOR = Transform(lambda array, shape: array.reshape(shape), lambda array: array.reshape(-1))
"""Biases, whose axes we may have split into heads."""
KERNEL = Transform(_transpose, functools.partial(_transpose_back, input_axes=1))
"""A torch ``Linear`` weight ``[out, in]`` and our kernel ``[in, *out]``."""
HEADS_KERNEL = Transform(_transpose, functools.partial(_transpose_back, input_axes=2))
"""The same for a map out of attention heads, ``[heads, head width, out]``."""


@dataclasses.dataclass(frozen=True)
class Rule:
    """Two names for one kind of tensor.

    Attributes:
        source: name in the other library; ``{i}`` stands for a number.
        target: path of our parameter, with the same placeholders.
        transform: how the arrays differ.
        piece: the source is this piece of our parameter, which stacks several on its third axis
            from the end: 0, 1, 2 for query, key and value.
    """

    source: str
    target: str
    transform: Transform = COPY
    piece: int | None = None


def linear_rules(
    source: str, target: str, *, piece: int | None = None, kernel: Transform = KERNEL
) -> tuple[Rule, Rule]:
    """Rules for the weight and bias of a torch ``Linear``."""
    return (
        Rule(f"{source}.weight", f"{target}.kernel", kernel, piece),
        Rule(f"{source}.bias", f"{target}.bias", VECTOR, piece),
    )


def norm_rules(source: str, target: str) -> tuple[Rule, Rule]:
    """Rules for the weight and bias of a torch ``LayerNorm``."""
    return (
        Rule(f"{source}.weight", f"{target}.scale", VECTOR),
        Rule(f"{source}.bias", f"{target}.bias", VECTOR),
    )


def convert(
    tensors: Mapping[str, np.ndarray],
    rules: Sequence[Rule],
    shapes: Mapping[str, Shape],
    *,
    ignore: Sequence[str] = (),
    source: str,
) -> dict[str, np.ndarray]:
    """Applies a table forwards.

    Args:
        tensors: the source, by name.
        rules: the table.
        shapes: the wanted parameters, by path.
        ignore: regular expressions of source names that have no place in the target.
        source: where the tensors come from, for messages.

    Raises:
        WeightsError: tensors without a rule, parameters left empty, or shapes that do not fit.
    """
    patterns = [(_compile(rule.source), rule) for rule in rules]
    result: dict[str, np.ndarray] = {}
    filled: dict[str, set[int | None]] = {}
    problems: list[str] = []
    for name, array in tensors.items():
        found = _first_match(patterns, name)
        if found is None:
            if not any(re.fullmatch(pattern, name) for pattern in ignore):
                problems.append(f"  no place for {name} {array.shape}")
            continue
        rule, numbers = found
        target = rule.target.format(**numbers)
        if target not in shapes:
            problems.append(f"  {name} {array.shape} goes to {target}, which the model lacks")
            continue
        if rule.piece in filled.setdefault(target, set()):
            problems.append(f"  {target} is filled twice, the second time by {name}")
            continue
        filled[target].add(rule.piece)
        problem = _place(result, target, array, rule, tuple(shapes[target]))
        if problem:
            problems.append(f"  {name}: {problem}")
    for target, shape in shapes.items():
        pieces = filled.get(target, set())
        if not pieces or (None not in pieces and len(pieces) != _stack(shape)[0]):
            problems.append(f"  nothing fills {target} {tuple(shape)}")
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise WeightsError(f"{source} does not convert; {count}:\n" + "\n".join(problems))
    return result


def convert_back(arrays: Mapping[str, np.ndarray], rules: Sequence[Rule]) -> dict[str, np.ndarray]:
    """Applies a table backwards.

    Args:
        arrays: our parameters, by path.
        rules: the table.

    Raises:
        WeightsError: parameters that no rule names.
    """
    patterns = [(_compile(rule.target), rule) for rule in rules]
    result: dict[str, np.ndarray] = {}
    homeless = []
    for path, array in arrays.items():
        found = [(rule, m.groupdict()) for pattern, rule in patterns if (m := pattern(path))]
        if not found:
            homeless.append(f"  {path} {array.shape}")
        for rule, numbers in found:
            value = array if rule.piece is None else _stacked(array, rule.piece)
            result[rule.source.format(**numbers)] = rule.transform.backward(value)
    if homeless:
        raise WeightsError("the other layout has no place for:\n" + "\n".join(homeless))
    return result


def _compile(template: str) -> Callable[[str], re.Match[str] | None]:
    """A matcher of whole names; ``{i}`` matches a number."""
    pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>\\d+)", re.escape(template))
    return re.compile(pattern).fullmatch


def _first_match(
    patterns: Sequence[tuple[Callable[[str], re.Match[str] | None], Rule]], name: str
) -> tuple[Rule, dict[str, str]] | None:
    for pattern, rule in patterns:
        match = pattern(name)
        if match is not None:
            return rule, match.groupdict()
    return None


def _stack(shape: Shape) -> tuple[int, Shape]:
    """Number and shape of the pieces of a stacked parameter."""
    return shape[-3], shape[:-3] + shape[-2:]


def _stacked(array: np.ndarray, piece: int) -> np.ndarray:
    return array[..., piece, :, :]


def _place(
    result: dict[str, np.ndarray], target: str, array: np.ndarray, rule: Rule, shape: Shape
) -> str | None:
    """Puts an array where it belongs; returns what is wrong with it."""
    wanted = shape if rule.piece is None else _stack(shape)[1]
    if array.shape != _their_shape(wanted, rule.transform):
        return f"has shape {array.shape}, {target} needs {_their_shape(wanted, rule.transform)}"
    value = rule.transform.forward(array, wanted)
    if rule.piece is None:
        result[target] = value
    else:
        _stacked(result.setdefault(target, np.empty(shape, array.dtype)), rule.piece)[...] = value
    return None


def _their_shape(shape: Shape, transform: Transform) -> Shape:
    # A broadcast scalar costs no memory, whatever its shape.
    return transform.backward(np.broadcast_to(np.float32(0), shape)).shape
