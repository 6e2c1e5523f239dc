"""A state whose small arrays travel as one is the state it would be otherwise."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_training import objective, pair_data, tiny_model, training_config

from textzoo.trainers.holder import StateHolder
from textzoo.trainers.state import TrainState
from textzoo.trainers.trainer import Trainer

STEPS = 3


def make_trainer(worthwhile: int) -> Trainer:
    config = training_config(STEPS, average_decay=0.9)
    trainer = Trainer(objective(tiny_model()), config, devices=jax.devices()[:1])
    trainer.holder = StateHolder(trainer.step, trainer.abstract, worthwhile=worthwhile)
    return trainer


@functools.cache
def trained(worthwhile: int) -> tuple[TrainState, list[float], int]:
    """The last state, the losses, and how many arrays a step is called with."""
    trainer, stream = make_trainer(worthwhile), pair_data(batch_size=4).stream()
    losses = []
    for step in range(STEPS):
        losses.append(float(trainer.update(next(stream).batch)["loss"]))
        if step == 1:
            assert int(trainer.state.step) == 2  # looking at the state in between does no harm
    stream.close()
    return jax.device_get(trainer.state), losses, trainer.holder.num_arrays


def test_a_few_arrays_stand_for_the_state_and_change_nothing():
    plain, losses, arrays = trained(10**9)
    assert arrays == len(jax.tree.leaves(plain))
    packed, packed_losses, packed_arrays = trained(1)
    # One vector of float32, one of int32; the table of this model is small, too.
    assert packed_arrays == 2
    assert packed_losses == pytest.approx(losses, rel=1e-6)
    chex.assert_trees_all_equal_shapes_and_dtypes(packed, plain)
    chex.assert_trees_all_close(packed, plain, rtol=1e-5, atol=1e-7)


def state_of(*arrays: jax.Array) -> TrainState:
    params = {str(index): array for index, array in enumerate(arrays)}
    return TrainState(
        step=jnp.zeros((), jnp.int32), params=params, frozen={}, memory={}, optimizer=(),
        average=None,
    )  # fmt: skip


def test_every_dtype_and_shape_keeps_its_bits_and_large_arrays_travel_alone():
    rng = np.random.default_rng(0)
    state = state_of(
        *(jnp.asarray(rng.normal(size=shape), dtype) for shape in ((), (3,), (2, 0), (2, 5))
          for dtype in ("float32", "bfloat16", "int32")),
        jnp.asarray(rng.normal(size=(200, 200)), jnp.float32),
    )  # fmt: skip
    abstract = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding), state
    )

    def count(state: TrainState, batch: jax.Array) -> tuple[TrainState, dict[str, jax.Array]]:
        return state._replace(step=state.step + 1), {"loss": batch}

    holder = StateHolder(count, abstract, worthwhile=1)
    with pytest.raises(ValueError, match="no state to update"):
        holder.update(jnp.ones(()))
    before = jax.device_get(state)
    holder.state = state
    assert float(holder.update(jnp.ones(()))["loss"]) == 1
    assert holder.num_arrays == 4
    assert not holder.is_empty
    after = jax.device_get(holder.state)
    chex.assert_trees_all_equal(after, before._replace(step=np.int32(1)))
    holder.state = None
    assert holder.is_empty and holder.state is None
