"""Hints to the compiler about what a mesh splits; without a mesh in context they do nothing."""

import math

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int, Shaped

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


def whole_rows(table: Shaped[Array, "V D"]) -> Shaped[Array, "V D"]:
    """A table whose rows are whole on every device, to look rows up in.

    Looking rows up in a table whose features are split over ``fsdp`` would give states whose
    features are split, while their rows should be; rows may stay split over ``model``.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.shape.get("fsdp", 1) == 1:
        return table
    model = mesh.shape.get("model", 1)
    axis = "model" if model > 1 and table.shape[0] % model == 0 else None
    return jax.lax.with_sharding_constraint(table, PartitionSpec(axis, None))


def take_rows(table: Float[Array, "V D"], rows: Int[Array, "*B"]) -> Float[Array, "*B D"]:
    """Rows of a table that may be split over devices; they must be in it."""
    return jnp.take(whole_rows(table), rows, axis=0, mode="clip")


def whole_parameter(value: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
    """A parameter that is whole on every device while it is used, however it is stored.

    For kernels that are used again and again, in a loop or in the layers of a recursion, or by a
    convolution. Left to itself, the compiler may split some uses by features, and has then been
    seen to return wrong slopes in meshes of three axes.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if math.prod(mesh.shape.values()) <= 1:
        return value
    return jax.lax.with_sharding_constraint(value, PartitionSpec())
