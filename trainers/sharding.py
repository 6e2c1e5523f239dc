"""Where parameters and batches live on a mesh: the one table from logical to mesh axes."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from textzoo.errors import ConfigError
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.mesh import BATCH_AXES, batch_shards

RULES: Mapping[str, str] = {
    "vocab": "model",
    "embed": "fsdp",
    "heads": "model",
    "mlp": "model",
}
"""Mesh axis of every logical axis of a parameter (see ``textzoo.modules.parameters``)."""


def parameter_sharding(
    mesh: Mesh, names: Sequence[str | None] | None, shape: Sequence[int]
) -> NamedSharding:
    """Where a parameter lives.

    An axis that its mesh axis does not divide stays whole, and so does the second of two axes that
    want the same mesh axis.

    Args:
        mesh: from :func:`textzoo.trainers.mesh.make_mesh`.
        names: logical name of each axis; ``None`` for a parameter without names (a part that knows
            nothing of sharding): it is kept whole on every device.
        shape: of the parameter.
    """
    axes: list[str | None] = []
    for name, size in zip(names or (None,) * len(shape), shape, strict=True):
        axis = RULES.get(name) if name is not None else None
        if axis is None or axis in axes or mesh.shape[axis] == 1 or size % mesh.shape[axis]:
            axis = None
        axes.append(axis)
    while axes and axes[-1] is None:
        axes.pop()
    return NamedSharding(mesh, PartitionSpec(*axes))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same value on every device."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Rows split over the data and fsdp axes."""
    return NamedSharding(mesh, PartitionSpec(BATCH_AXES))


def check_batch_size(rows: int, mesh: Mesh) -> None:
    """Raises :class:`ConfigError` unless the rows of a global batch split evenly."""
    parts = batch_shards(mesh)
    if rows % parts:
        raise ConfigError(
            f"batches of {rows} rows cannot be split over {parts} devices (mesh "
            f"{dict(mesh.shape)}); use a multiple of {parts}, e.g. "
            f"{-(-rows // parts) * parts}"
        )


def place_batch(batch: TrainBatch, mesh: Mesh) -> TrainBatch:
    """Turns this process's rows into global arrays on the mesh.

    For one device they stay as they are: the compiled step moves them there, in less time.
    """
    rows = len(jax.tree.leaves(batch)[0])
    check_batch_size(rows * jax.process_count(), mesh)
    if mesh.size == 1:
        return batch
    sharding = batch_sharding(mesh)
    if jax.process_count() == 1:
        return jax.device_put(batch, sharding)
    return jax.tree.map(
        lambda rows: jax.make_array_from_process_local_data(sharding, np.asarray(rows)), batch
    )


def place(arrays: Any, shardings: Any) -> Any:
    """Copies a tree of arrays to where they belong; the originals stay valid.

    What is returned may be donated: it never shares memory with what was given.
    """
    if jax.process_count() == 1:
        # Placing an array where it is already returns the array itself, hence the copy.
        return jax.jit(lambda tree: jax.tree.map(jnp.copy, tree), out_shardings=shardings)(
            jax.device_put(arrays, shardings)
        )

    def spread(array: Any, sharding: NamedSharding) -> jax.Array:
        whole = np.asarray(array)
        return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])

    return jax.tree.map(spread, arrays, shardings)
