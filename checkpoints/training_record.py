"""What a checkpoint of a run says about itself: data position, metrics, every array's checksum."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jax

from textzoo.checkpoints.checksums import checksums
from textzoo.errors import CheckpointError, ConfigError, ResumeError
from textzoo.modules.types import AnyArray

FORMAT = 1
_SHOWN = 8


def flatten(tree: Any) -> dict[str, Any]:
    """The leaves of a tree by their path, ``"optimizer/0/mu/encoder.norm.scale"``."""
    found: dict[str, Any] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if name in found:
            raise ConfigError(f"two leaves of the state are called {name!r}; rename a key")
        found[name] = leaf
    return found


def is_key(leaf: Any) -> bool:
    """Whether a leaf holds random keys (``jax.random.key``), whose data is stored."""
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def make_record(
    step: int,
    leaves: Mapping[str, jax.Array],
    stored: Mapping[str, AnyArray],
    *,
    data: Mapping[str, Any],
    metrics: Mapping[str, float] | None,
) -> dict[str, Any]:
    """Returns what to write, plain JSON; blocks until the leaves are computed.

    Args:
        step: the number of the checkpoint.
        leaves: of the state, by path.
        stored: the same with the data of random keys in place of the keys.
        data: whatever else the run needs to go on, JSON types.
        metrics: measured at this step.
    """
    sums = checksums(stored)
    described = {
        name: {**describe(leaf), "checksum": list(sums[name]), "key": _key_kind(leaf)}
        for name, leaf in leaves.items()
    }
    numbers = None if metrics is None else {name: float(v) for name, v in metrics.items()}
    record = {
        "format": FORMAT,
        "step": step,
        "data": data,
        "metrics": numbers,
        "leaves": described,
    }
    try:
        record = json.loads(json.dumps(record))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the data of a checkpoint must be of JSON types: {error}") from error
    return {**record, "sha256": _digest(record)}


def describe(leaf: Any) -> dict[str, Any]:
    """Shape and dtype of an array, or of what stands for one."""
    return {"shape": list(leaf.shape), "dtype": str(leaf.dtype)}


def check_record(record: Any, step: int) -> Mapping[str, Any]:
    """Returns the record when it is what :func:`make_record` made.

    Raises:
        CheckpointError: it is damaged, or of another step.
        ResumeError: it was written by another version of textzoo.
    """
    if not isinstance(record, dict) or "sha256" not in record:
        raise CheckpointError("its record is no JSON object with a checksum")
    rest = {key: value for key, value in record.items() if key != "sha256"}
    if _digest(rest) != record["sha256"]:
        raise CheckpointError("its record was changed: the checksum differs")
    if record["step"] != step:
        raise CheckpointError(f"its record is that of step {record['step']}")
    if record["format"] != FORMAT:
        raise ResumeError(
            f"the checkpoint of step {step} has format {record['format']}, this version of "
            f"textzoo reads {FORMAT}; go on with the version that began the run"
        )
    return record


def differences(record: Mapping[str, Any], leaves: Mapping[str, Any]) -> list[str]:
    """How the state that is asked for differs from the recorded one, one line per leaf."""
    there = {name: _text(entry) for name, entry in record["leaves"].items()}
    here = {name: _text(describe(leaf)) for name, leaf in leaves.items()}
    found = []
    # Whatever differs in a parameter differs in the optimizer's copies, too.
    parts = {"params": 0, "optimizer": 2}
    for name in sorted(there | here, key=lambda name: (parts.get(name.split("/")[0], 1), name)):
        if name not in here:
            found.append(f"{name}: {there[name]} in the checkpoint, not in this run")
        elif name not in there:
            found.append(f"{name}: {here[name]} in this run, not in the checkpoint")
        elif there[name] != here[name]:
            found.append(f"{name}: {there[name]} in the checkpoint, {here[name]} in this run")
    return found


def check_state(record: Mapping[str, Any], leaves: Mapping[str, Any], *, where: str) -> None:
    """Raises :class:`ResumeError` with the differences unless a checkpoint fits the state."""
    found = differences(record, leaves)
    if found:
        more = [f"and {len(found) - _SHOWN:,} more"] if len(found) > _SHOWN else []
        raise ResumeError(
            f"{where} is of another model or optimizer:\n  "
            + "\n  ".join(found[:_SHOWN] + more)
            + "\nGo on with the configuration the run was begun with, or begin in another directory"
        )


def changed_leaves(record: Mapping[str, Any], stored: Mapping[str, AnyArray]) -> list[str]:
    """Names of the arrays that are not bit for bit what was saved."""
    entries = record["leaves"]
    return [
        name for name, pair in checksums(stored).items() if list(pair) != entries[name]["checksum"]
    ]


def stored_form(leaves: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """The leaves as they are written: data in place of random keys."""
    return {name: _key_data(leaf) if is_key(leaf) else leaf for name, leaf in leaves.items()}


_key_data = jax.jit(jax.random.key_data)


def _key_kind(leaf: jax.Array) -> str | None:
    """Name of the random number generator that a key is for."""
    return str(jax.random.key_impl(leaf)) if is_key(leaf) else None


def _text(entry: Mapping[str, Any]) -> str:
    return f"{entry['dtype']}{entry['shape']}"


def _digest(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
