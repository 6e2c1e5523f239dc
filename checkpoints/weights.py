"""Parameters by dotted path, and safetensors files."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from safetensors import SafetensorError
from safetensors import numpy as safetensors_numpy

from textzoo.errors import WeightsError

FILE_NAME = "model.safetensors"


def parameter_shapes(model: nnx.Module) -> dict[str, tuple[int, ...]]:
    """Shape of every variable of a (possibly abstract) model, by dotted path."""
    return {path: tuple(variable.shape) for path, variable in _variables(model).items()}


def get_parameters(model: nnx.Module) -> dict[str, np.ndarray]:
    """Every variable of a model as a numpy array, by dotted path."""
    return {path: np.asarray(variable[...]) for path, variable in _variables(model).items()}


def model_from_parameters(
    make: Callable[[], nnx.Module], arrays: Mapping[str, np.ndarray], *, source: str
) -> Any:
    """Builds a model without initialising it and fills it with ``arrays``.

    Args:
        make: builds the model; traced only for shapes, so no memory is spent on initial values.
        arrays: one array per dotted path.
        source: where the arrays come from, for messages.

    Raises:
        WeightsError: arrays are missing, too many, or of another shape; all are listed.
    """
    return fill(nnx.eval_shape(make), arrays, source=source)


def fill(abstract: nnx.Module, arrays: Mapping[str, np.ndarray], *, source: str) -> Any:
    """Fills a model that was built for its shapes alone (``nnx.eval_shape``); returns it.

    Raises:
        WeightsError: as :func:`model_from_parameters`.
    """
    variables = _variables(abstract)
    check_fit({path: v.shape for path, v in variables.items()}, arrays, source=source)
    filled = []
    for path, variable in variables.items():
        array = arrays[path]
        filled.append(np.asarray(array, variable.dtype) if array.dtype != variable.dtype else array)
    placed = jax.device_put(filled)
    for variable, array in zip(variables.values(), placed, strict=True):
        variable.set_value(jnp.asarray(array))
    return abstract


def check_fit(
    expected: Mapping[str, tuple[int, ...]], arrays: Mapping[str, np.ndarray], *, source: str
) -> None:
    """Raises :class:`WeightsError` unless names and shapes agree; lists every disagreement."""
    problems = [f"  missing: {path} {shape}" for path, shape in expected.items()
                if path not in arrays]  # fmt: skip
    for path, array in arrays.items():
        if path not in expected:
            problems.append(f"  not in the model: {path} {array.shape}")
        elif tuple(array.shape) != tuple(expected[path]):
            problems.append(f"  {path}: file has {array.shape}, model needs {expected[path]}")
    if problems:
        raise WeightsError(
            f"{source} does not fit the model its config describes:\n" + "\n".join(problems)
        )


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Reads a safetensors file into numpy arrays.

    Raises:
        WeightsError: the file does not exist or is damaged.
    """
    if not path.is_file():
        raise WeightsError(
            f"{path} does not exist; a model directory needs its weights there "
            "(pickled weights such as pytorch_model.bin are not read: convert them first)"
        )
    try:
        return safetensors_numpy.load_file(path)
    except SafetensorError as error:
        raise WeightsError(
            f"{path} is not a whole safetensors file ({error}); copy or download it again"
        ) from error


def write_safetensors(
    path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Writes arrays as a safetensors file."""
    contiguous = {name: np.ascontiguousarray(array) for name, array in sorted(arrays.items())}
    safetensors_numpy.save_file(contiguous, path, metadata=dict(metadata or {"format": "np"}))


def _variables(model: nnx.Module) -> dict[str, nnx.Variable]:
    leaves = nnx.to_flat_state(nnx.state(model))
    found: dict[str, nnx.Variable] = {}
    for path, _ in leaves:
        node: Any = model
        for key in path:
            node = node[key] if isinstance(key, int) else getattr(node, str(key))
        found[".".join(str(key) for key in path)] = node
    return found
