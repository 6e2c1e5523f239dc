"""Everything that training changes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Int

from textzoo.trainers.blueprint import Arrays, Blueprint
from textzoo.trainers.optimizers import optimizer_state_shardings
from textzoo.trainers.sharding import place, replicated


class TrainState(NamedTuple):
    """The state of a run: dictionaries of arrays by dotted path, which JAX flattens fast.

    Attributes:
        step: optimizer updates so far.
        params: what the optimizer changes.
        frozen: parameters that stay as they are.
        memory: what the objective remembers (``ObjectiveState``).
        optimizer: of optax.
        average: exponential moving average of ``params`` in float32, whose small steps
            half precision would lose; ``None`` without one.
    """

    step: Int[Array, ""]
    params: Arrays
    frozen: Arrays
    memory: Arrays
    optimizer: Any
    average: Arrays | None


def abstract_state(
    blueprint: Blueprint,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    *,
    frozen: Sequence[str] = (),
    has_average: bool = False,
) -> TrainState:
    """Shapes, dtypes and shardings of a run's state; nothing is allocated.

    Args:
        blueprint: of the objective.
        optimizer: of the parameters that are not frozen.
        mesh: where the state lives.
        frozen: names of parameters that are not trained.
        has_average: whether an average of the parameters is kept.
    """
    trained = tuple(name for name in blueprint.parameters if name not in set(frozen))
    params, held = blueprint.shapes(trained), blueprint.shapes(tuple(frozen))
    where = blueprint.shardings(mesh, trained)
    whole = replicated(mesh)
    optimizer_state = jax.eval_shape(optimizer.init, params)
    shardings = TrainState(
        step=whole,  # type: ignore[arg-type]
        params=where,
        frozen=blueprint.shardings(mesh, tuple(frozen)),
        memory=blueprint.shardings(mesh, blueprint.memory),
        optimizer=optimizer_state_shardings(optimizer_state, where, whole),
        average=where if has_average else None,
    )
    shapes = TrainState(
        step=jax.ShapeDtypeStruct((), jnp.int32),  # type: ignore[arg-type]
        params=params,
        frozen=held,
        memory=blueprint.shapes(blueprint.memory),
        optimizer=optimizer_state,
        average=_single_precision(params) if has_average else None,
    )
    return jax.tree.map(
        lambda shape, sharding: jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=sharding),
        shapes, shardings,
    )  # fmt: skip


def shardings_of(abstract: TrainState) -> TrainState:
    """The shardings of an abstract state, in its structure."""
    return jax.tree.map(lambda leaf: leaf.sharding, abstract)


def initial_state(
    blueprint: Blueprint, optimizer: optax.GradientTransformation, abstract: TrainState
) -> TrainState:
    """The state before the first step, from the objective's present arrays, which stay valid."""
    shardings = shardings_of(abstract)
    params = place(blueprint.arrays(tuple(abstract.params)), shardings.params)
    average = None
    if abstract.average is not None:
        arrays = blueprint.arrays(tuple(abstract.params))
        average = place(
            {name: array.astype(abstract.average[name].dtype) for name, array in arrays.items()},
            shardings.average,
        )
    return TrainState(
        step=jax.jit(lambda: jnp.zeros((), jnp.int32), out_shardings=shardings.step)(),
        params=params,
        frozen=place(blueprint.arrays(tuple(abstract.frozen)), shardings.frozen),
        memory=place(blueprint.arrays(tuple(abstract.memory)), shardings.memory),
        optimizer=jax.jit(optimizer.init, out_shardings=shardings.optimizer)(params),
        average=average,
    )


def _single_precision(shapes: Arrays) -> Arrays:
    return {name: jax.ShapeDtypeStruct(shape.shape, jnp.float32) for name, shape in shapes.items()}
