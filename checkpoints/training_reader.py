"""Reads checkpoints of a training run; nothing here changes a file.

Orbax's handler is called directly, without its manager: the manager waits for all processes after
each read, and one that met a damaged file would let the others wait for it. Here each process
reads what its devices need, and then they agree on whether all could.
"""

import contextlib
import gc
import json
import logging
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from textzoo.checkpoints.training_record import (
    changed_leaves,
    check_record,
    check_state,
    is_key,
)
from textzoo.errors import CheckpointError, ConfigError

STATE, RECORD, RECORD_FILE = "state", "record", "record.json"
"""Names in the folder of a step."""

_logger = logging.getLogger(__name__)


def list_steps(directory: Any) -> list[int]:
    """The steps in a folder that are completely written, ascending."""
    import orbax.checkpoint as ocp

    if not directory.exists():
        return []
    return sorted(found.step for found in ocp.path.step.standard_name_format().find_all(directory))


def steps_of_all_processes(directory: Any) -> list[int]:
    """What the first process finds, on all of them: a file system may show others less."""
    steps = list_steps(directory)
    if jax.process_count() == 1:
        return steps
    count = int(multihost_utils.broadcast_one_to_all(np.int32(len(steps))))
    padded = np.resize(np.array([*steps, -1], np.int32), count)
    return np.asarray(multihost_utils.broadcast_one_to_all(padded)).tolist()


def read_record(directory: Any, step: int) -> Mapping[str, Any]:
    """The record of a checkpoint.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    path = directory / str(step) / RECORD / RECORD_FILE
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{RECORD_FILE} cannot be read: {brief(error)}") from error
    return check_record(record, step)


def read_metrics(directory: Any, step: int) -> Mapping[str, float]:
    """The metrics of a checkpoint; empty when it has none or is damaged."""
    try:
        return read_record(directory, step)["metrics"] or {}
    except CheckpointError:
        return {}


def restore(
    directory: Any, step: int, leaves: Mapping[str, jax.ShapeDtypeStruct]
) -> tuple[dict[str, jax.Array], Mapping[str, Any]]:
    """Restores a checkpoint to the devices; all processes fail or none.

    Args:
        directory: of the run.
        step: which checkpoint.
        leaves: what is asked for, by path.

    Returns:
        The arrays, in the order asked for, and the record.

    Raises:
        CheckpointError: it is damaged.
        ResumeError: it is of another state.
    """
    problem = ""
    record: Mapping[str, Any] = {}
    arrays: Mapping[str, Any] = {}
    try:
        record = read_record(directory, step)
    except CheckpointError as error:
        problem = str(error)
    _agree(problem)
    check_state(record, leaves, where=f"the checkpoint of step {step} in {directory}")
    try:
        arrays = _read_arrays(directory, step, {n: _stored(leaf) for n, leaf in leaves.items()})
    except CheckpointError as error:
        problem = str(error)
    _agree(problem)
    _agree(_changes(record, arrays))
    return {
        name: jax.random.wrap_key_data(arrays[name], impl=record["leaves"][name]["key"])
        if is_key(leaf)
        else arrays[name]
        for name, leaf in leaves.items()
    }, record


def load_part(directory: Any, step: int, key: str) -> dict[str, np.ndarray]:
    """Reads the arrays below one key of the state to the host, by path below it."""
    try:
        record = read_record(directory, step)
        entries = record["leaves"]
        leaves = {
            name: jax.ShapeDtypeStruct(entry["shape"], entry["dtype"])
            for name, entry in entries.items()
            if name.startswith(f"{key}/") and entry["key"] is None
        }
        if not leaves:
            parts = sorted({name.split("/")[0] for name in entries})
            raise ConfigError(f"the checkpoint of step {step} has no {key!r}; it has {parts}")
        arrays = _read_arrays(directory, step, leaves)
        problem = _changes(record, arrays)
    except CheckpointError as error:
        problem = str(error)
    if problem:
        raise CheckpointError(
            f"the checkpoint of step {step} in {directory} cannot be read: {problem}; there are "
            f"those of steps {list_steps(directory)}"
        )
    return {name.removeprefix(f"{key}/"): array for name, array in arrays.items()}


def average_parts(directory: Any, steps: Sequence[int], key: str) -> dict[str, np.ndarray]:
    """The mean of :func:`load_part` over steps; see ``TrainingCheckpoints.average_params``."""
    if not steps:
        raise ConfigError(f"there are no steps to average; choose some of {list_steps(directory)}")
    total: dict[str, Any] = {}
    last: dict[str, np.ndarray] = {}
    for step in steps:
        last = load_part(directory, step, key)
        if total and {n: a.shape for n, a in total.items()} != {
            n: a.shape for n, a in last.items()
        }:
            raise ConfigError(f"the checkpoints of steps {steps[0]} and {step} differ in {key!r}")
        for name, array in last.items():
            if jnp.issubdtype(array.dtype, jnp.floating):
                array = array.astype(np.float64) + total.get(name, 0.0)
            total[name] = array
    return {
        name: (total[name] / len(steps)).astype(array.dtype)
        if jnp.issubdtype(array.dtype, jnp.floating)
        else array
        for name, array in last.items()
    }


def _read_arrays(
    directory: Any, step: int, leaves: Mapping[str, jax.ShapeDtypeStruct]
) -> dict[str, Any]:
    """Arrays by path, on devices where there is a sharding and else on the host."""
    import orbax.checkpoint as ocp

    def how(leaf: jax.ShapeDtypeStruct) -> ocp.RestoreArgs:
        if leaf.sharding is None:
            return ocp.RestoreArgs(restore_type=np.ndarray)
        return ocp.ArrayRestoreArgs(
            sharding=leaf.sharding, global_shape=leaf.shape, dtype=leaf.dtype
        )

    written = {name: leaf for name, leaf in leaves.items() if leaf.size}
    request = ocp.args.PyTreeRestore(
        item=written,
        restore_args={name: how(leaf) for name, leaf in written.items()},
        partial_restore=True,
    )
    problem = ""
    arrays: Mapping[str, Any] = {}
    with _quiet_leftovers():
        try:
            folder = directory / str(step) / STATE
            arrays = ocp.PyTreeCheckpointHandler().restore(folder, args=request)
        except (MemoryError, jax.errors.JaxRuntimeError):
            raise  # The machine's fault, not the checkpoint's.
        except Exception as error:
            problem = f"its arrays cannot be read: {brief(error)}"
            _logger.debug("step %d in %s", step, directory, exc_info=True)
        if problem:
            gc.collect()
            time.sleep(0.1)
    if problem:
        raise CheckpointError(problem)
    return {name: arrays[name] if leaf.size else _empty(leaf) for name, leaf in leaves.items()}


@contextlib.contextmanager
def _quiet_leftovers() -> Iterator[None]:
    """Drops what Orbax lets fall when one of many reads fails.

    It closes the event loop at once; each read that ends later prints a traceback about that, so
    does each coroutine that is not run to its end, those not begun warn, and errors that nobody
    asked for are logged.
    """
    previous = sys.unraisablehook
    leftovers = ("Event loop is closed", "Encountered error while reading array index")

    def hook(unraisable: Any) -> None:
        if not str(unraisable.exc_value).startswith(leftovers):
            previous(unraisable)

    asyncio_logger = logging.getLogger("asyncio")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        sys.unraisablehook = hook
        asyncio_logger.addFilter(_was_retrieved)
        try:
            yield
        finally:
            sys.unraisablehook = previous
            asyncio_logger.removeFilter(_was_retrieved)


def _was_retrieved(record: logging.LogRecord) -> bool:
    return "exception was never retrieved" not in record.getMessage()


def _empty(leaf: jax.ShapeDtypeStruct) -> Any:
    array = np.zeros(leaf.shape, leaf.dtype)
    return array if leaf.sharding is None else jax.device_put(array, leaf.sharding)


def _stored(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    """What is on the disk for a leaf, with the sharding it is to have."""
    sharding = leaf.sharding
    if sharding is None:
        sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    data = jax.eval_shape(jax.random.key_data, leaf) if is_key(leaf) else leaf
    return jax.ShapeDtypeStruct(data.shape, data.dtype, sharding=sharding)


def _changes(record: Mapping[str, Any], arrays: Mapping[str, Any]) -> str:
    changed = changed_leaves(record, arrays)
    if not changed:
        return ""
    more = f" and {len(changed) - 1:,} others" if len(changed) > 1 else ""
    return f"{changed[0]!r}{more} changed since it was saved: the checksum differs"


def _agree(problem: str) -> None:
    """Raises on all processes when there is a problem on one."""
    if jax.process_count() > 1:
        failed = np.ravel(multihost_utils.process_allgather(np.int32(bool(problem))))
        if not problem and failed.any():
            problem = f"process {int(failed.argmax())} cannot read its part"
    if problem:
        raise CheckpointError(problem)


def brief(error: Exception) -> str:
    """The first line of an error, without its middle when it is long."""
    text = f"{type(error).__name__}: {error}".splitlines()[0]
    return text if len(text) <= 300 else f"{text[:120]} ... {text[-180:]}"
