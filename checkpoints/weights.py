"""Parameters by dotted path, and safetensors files."""

import hashlib
import json
import mmap
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from safetensors import SafetensorError, safe_open
from safetensors import numpy as safetensors_numpy

from textzoo.config import ModelConfig
from textzoo.errors import ConfigError, WeightsError
from textzoo.model import TextModel
from textzoo.parts import build

FILE_NAME = "model.safetensors"

_DTYPES = {
    "F64": np.dtype(np.float64), "F32": np.dtype(np.float32), "F16": np.dtype(np.float16),
    "BF16": jnp.dtype(jnp.bfloat16), "I64": np.dtype(np.int64), "I32": np.dtype(np.int32),
    "I16": np.dtype(np.int16), "I8": np.dtype(np.int8), "U64": np.dtype(np.uint64),
    "U32": np.dtype(np.uint32), "U16": np.dtype(np.uint16), "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}  # fmt: skip


class _OneKey(nnx.RngStream):
    """Gives the same key each time: enough to know the shape of what is drawn with it."""

    def __call__(self) -> jax.Array:
        return self.key.get_value()


def abstract_model(config: ModelConfig) -> TextModel:
    """The model of a config with shapes in place of parameters: no initial value is computed."""

    def make() -> TextModel:
        # Advancing a stream is four fifths of the time it takes to trace the initial values.
        rngs = nnx.Rngs()
        rngs.default = _OneKey(jax.random.key(0), tag="default")  # type: ignore[attr-defined]
        return build(config, rngs=rngs)

    return nnx.eval_shape(make)


def parameter_shapes(model: nnx.Module) -> dict[str, tuple[int, ...]]:
    """Shape of every variable of a (possibly abstract) model, by dotted path."""
    return {path: tuple(variable.shape) for path, variable in _variables(model).items()}


def get_parameters(model: nnx.Module) -> dict[str, np.ndarray]:
    """Every variable of a model as a numpy array, by dotted path.

    Raises:
        ConfigError: the model carries random state, which is not saved.
    """
    variables = _variables(model)
    for path, variable in variables.items():
        if isinstance(variable, nnx.RngState):
            raise ConfigError(
                f"the model carries random state at {path}, which weights do not hold; build "
                "dropout without rngs and give them to the call: self.dropout(x, rngs=rngs)"
            )
    values = jax.device_get([variable.get_value() for variable in variables.values()])
    return dict(zip(variables, map(np.asarray, values), strict=True))


def fill(model: Any, arrays: Mapping[str, np.ndarray], *, source: str) -> Any:
    """Puts ``arrays`` into an abstract model, in place, and returns it.

    Arrays that have the wanted dtype are not copied on the host.

    Args:
        model: from :func:`abstract_model`.
        arrays: one array per dotted path.
        source: where the arrays come from, for messages.

    Raises:
        WeightsError: arrays are missing, too many, or of another shape; all are listed.
    """
    variables = _variables(model)
    check_fit(parameter_shapes(model), arrays, source=source)
    host = []
    for path, variable in variables.items():
        array = arrays[path]
        host.append(array if array.dtype == variable.dtype else array.astype(variable.dtype))
    for variable, array in zip(variables.values(), jax.device_put(host), strict=True):
        variable.set_value(array)
    return model


def check_fit(
    expected: Mapping[str, tuple[int, ...]], arrays: Mapping[str, np.ndarray], *, source: str
) -> None:
    """Raises :class:`WeightsError` unless names and shapes agree; lists every disagreement."""
    problems = [f"  missing: {path} {tuple(shape)}" for path, shape in expected.items()
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
    """Reads a safetensors file as read-only views of the mapped file: nothing is copied.

    Raises:
        WeightsError: the file does not exist or is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(
            f"{path} does not exist; a model directory needs its weights there "
            "(pickled weights such as pytorch_model.bin are not read: convert them first)"
        )
    try:
        with safe_open(path, framework="np"):
            pass  # checks the header against the size of the file
    except SafetensorError as error:
        raise WeightsError(
            f"{path} is not a whole safetensors file ({error}); copy or download it again"
        ) from error
    with path.open("rb") as file:
        header_size = int.from_bytes(file.read(8), "little")
        header: dict[str, Any] = json.loads(file.read(header_size))
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    header.pop("__metadata__", None)
    arrays = {}
    for name, entry in header.items():
        dtype = _DTYPES.get(entry["dtype"])
        if dtype is None:
            raise WeightsError(
                f"{path}: {name} has dtype {entry['dtype']}, which is not read; save it as "
                "float32, bfloat16 or float16"
            )
        begin, end = entry["data_offsets"]
        arrays[name] = np.frombuffer(
            data, dtype, count=(end - begin) // dtype.itemsize, offset=8 + header_size + begin
        ).reshape(entry["shape"]) if end > begin else np.empty(entry["shape"], dtype)  # fmt: skip
    return arrays


def write_safetensors(
    path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Writes arrays as a safetensors file; an existing file is replaced in one step."""
    contiguous = {name: np.asarray(array, order="C") for name, array in sorted(arrays.items())}
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        safetensors_numpy.save_file(
            contiguous, partial, metadata=dict(metadata or {"format": "np"})
        )
        partial.chmod(0o666 & ~_umask())  # the library makes a file that only its owner can read
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: Path, expected: str, *, name: str) -> None:
    """Raises :class:`WeightsError` unless the file is the one that was released as ``name``."""
    if not path.is_file():
        raise WeightsError(f"{name}: {path} does not exist; install or download the model again")
    # The hub's cache names a file by its SHA-256 and links to it.
    if path.is_symlink() and path.resolve().name == expected:
        return
    found = sha256(path)
    if found != expected:
        raise WeightsError(
            f"{name}: {path} is not the file that was released (sha256 {found}, expected "
            f"{expected}); install or download it again. To read changed weights on purpose, "
            "load them by the path of a directory of your own."
        )


def _variables(model: nnx.Module) -> dict[str, nnx.Variable]:
    found: dict[str, nnx.Variable] = {}
    for path, _ in nnx.to_flat_state(nnx.state(model)):
        node: Any = model
        for key in path:
            by_item = isinstance(key, int) or isinstance(node, Mapping)
            node = node[key] if by_item else getattr(node, str(key))
        found[".".join(str(key) for key in path)] = node
    return found
