"""One hint to the compiler at block boundaries: rows stay where they are."""

import math

import jax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Shaped

_ROW_AXES = ("data", "fsdp")


def keep_rows_apart(x: Shaped[Array, "B ..."]) -> Shaped[Array, "B ..."]:
    """Keeps activations split over the rows of the batch, in a mesh that splits them.

    Parameters may be split over the same axis as the rows (``fsdp``). Left alone, the compiler may
    gather the rows and split the features; with this hint it gathers the parameters. Without a
    mesh in context, or with rows that cannot be split evenly, nothing happens.
    """
    mesh = jax.sharding.get_abstract_mesh()
    axes = tuple(axis for axis in _ROW_AXES if axis in mesh.axis_names)
    parts = math.prod(mesh.shape[axis] for axis in axes)
    if parts <= 1 or x.shape[0] % parts:
        return x
    return jax.lax.with_sharding_constraint(x, PartitionSpec(axes, *[None] * (x.ndim - 1)))
