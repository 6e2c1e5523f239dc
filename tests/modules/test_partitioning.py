"""Hints to the compiler: there in a mesh, and only where they can be followed."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AbstractMesh, AxisType

from textzoo.modules.partitioning import keep_rows_apart, whole_rows


def hints(function, shape, **sizes) -> str:
    axes = {"data": 1, "fsdp": 1, "model": 1, **sizes}
    mesh = AbstractMesh(tuple(axes.values()), tuple(axes), axis_types=(AxisType.Auto,) * 3)
    with jax.sharding.use_abstract_mesh(mesh):
        return str(jax.make_jaxpr(function)(jnp.zeros(shape)))


def test_rows_are_kept_apart_over_both_axes_that_split_them():
    found = hints(keep_rows_apart, (8, 3, 2), data=2, fsdp=2)
    assert "sharding_constraint" in found
    assert "('data', 'fsdp'), None, None" in found


@pytest.mark.parametrize(("rows", "sizes"), [(6, {"data": 4}), (8, {"model": 4}), (8, {})])
def test_rows_that_cannot_or_need_not_be_split_are_left_alone(rows, sizes):
    assert "sharding_constraint" not in hints(keep_rows_apart, (rows, 2), **sizes)


def test_a_table_is_gathered_over_the_axis_of_its_features_only():
    assert "'model', None" in hints(whole_rows, (8, 4), fsdp=2, model=2)
    assert "None, None" in hints(whole_rows, (7, 4), fsdp=2, model=2)
    assert "sharding_constraint" not in hints(whole_rows, (8, 4), data=4, model=2)


def test_without_a_mesh_nothing_happens():
    x = jnp.ones((4, 2))
    assert keep_rows_apart(x) is x
    assert whole_rows(x) is x
