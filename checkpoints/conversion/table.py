"""Tables that rename and reshape another library's tensors into ours.

A table is a list of rules. Every tensor of the source must match a rule or be listed as ignored,
every parameter of the target must be filled, and all problems are reported at once.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from textzoo.errors import WeightsError

Transform = Callable[[np.ndarray, tuple[int, ...]], np.ndarray]


def copy(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The array itself, reshaped when only the grouping of its axes differs (biases of heads)."""
    return array if array.shape == shape else array.reshape(shape)


def kernel(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A torch ``Linear`` weight ``[out, in]`` as our kernel ``[in, out]``, heads split."""
    return np.ascontiguousarray(array.T).reshape(shape)


@dataclasses.dataclass(frozen=True)
class Rule:
    r"""Where one kind of source tensor goes.

    Attributes:
        source: regular expression for the whole source name.
        target: path of the parameter; ``\1`` and so on stand for the groups of ``source``.
        transform: from (array, wanted shape) to the array.
        piece: the tensor is this piece of a stacked parameter, on its third axis from the end:
            0, 1, 2 for query, key and value.
    """

    source: str
    target: str
    transform: Transform = copy
    piece: int | None = None


def linear_rules(source: str, target: str, piece: int | None = None) -> tuple[Rule, Rule]:
    """Rules for the weight and bias of a torch ``Linear``."""
    return (
        Rule(rf"{source}\.weight", f"{target}.kernel", kernel, piece),
        Rule(rf"{source}\.bias", f"{target}.bias", copy, piece),
    )


def norm_rules(source: str, target: str) -> tuple[Rule, Rule]:
    """Rules for the weight and bias of a torch ``LayerNorm``."""
    return (
        Rule(rf"{source}\.weight", f"{target}.scale"),
        Rule(rf"{source}\.bias", f"{target}.bias"),
    )


def convert(
    tensors: Mapping[str, np.ndarray],
    rules: Sequence[Rule],
    shapes: Mapping[str, tuple[int, ...]],
    *,
    ignore: Sequence[str] = (),
    source: str,
) -> dict[str, np.ndarray]:
    """Applies a table.

    Args:
        tensors: the source, by name.
        rules: the table; the first rule that matches a name counts.
        shapes: the wanted parameters, by path.
        ignore: regular expressions of source names that have no place in the target.
        source: where the tensors come from, for messages.

    Raises:
        WeightsError: tensors without a rule, parameters left empty, or shapes that do not fit.
    """
    result: dict[str, np.ndarray] = {}
    filled: dict[str, set[int | None]] = {}
    problems: list[str] = []
    for name, array in tensors.items():
        found = next(((rule, m) for rule in rules if (m := re.fullmatch(rule.source, name))), None)
        if found is None:
            if not any(re.fullmatch(pattern, name) for pattern in ignore):
                problems.append(f"  no place for {name} {array.shape}")
            continue
        rule, match = found
        target = match.expand(rule.target)
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
        if not pieces or (None not in pieces and len(pieces) != shape[-3]):
            problems.append(f"  nothing fills {target} {tuple(shape)}")
    if problems:
        raise WeightsError(
            f"{source} does not convert; {len(problems)} problems:\n" + "\n".join(problems)
        )
    return result


def _place(
    result: dict[str, np.ndarray],
    target: str,
    array: np.ndarray,
    rule: Rule,
    shape: tuple[int, ...],
) -> str | None:
    wanted = shape if rule.piece is None else shape[:-3] + shape[-2:]
    if array.size != int(np.prod(wanted)):
        return f"has shape {array.shape}, {target} needs {wanted}"
    value = rule.transform(array, wanted)
    if rule.piece is None:
        result[target] = value
        return None
    whole = result.setdefault(target, np.empty(shape, array.dtype))
    whole[(..., rule.piece, slice(None), slice(None))] = value
    return None
