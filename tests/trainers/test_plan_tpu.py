"""Compiles for TPUs that are not there; needs libtpu: the extra ``plan`` (see CONTRIBUTING.md)."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec
from tiny_training import training_config

from textzoo import ModelConfig, Part, build
from textzoo.errors import ConfigError
from textzoo.modules.types import TextBatch
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.mesh import MeshConfig, make_mesh
from textzoo.trainers.objectives.contrastive import ContrastiveObjective
from textzoo.trainers.plan import OutOfMemory, abstract_batch, plan_step, plan_training
from textzoo.trainers.topology import tpu_topology
from textzoo.trainers.trainer import Trainer

pytestmark = pytest.mark.tpu_compile

ROWS, LENGTH, WIDTH, HIDDEN, LAYERS, CHIPS = 64, 32, 128, 256, 2, 4


@pytest.fixture(scope="module")
def topology():
    return tpu_topology("v5e:2x2")


def make_objective():
    encoder = Part(
        "TransformerEncoder", width=WIDTH, num_layers=LAYERS, num_heads=4, hidden_dim=HIDDEN,
        max_length=LENGTH, dtype="bfloat16",
    )  # fmt: skip
    config = ModelConfig(
        embedding=Part("SubwordEmbedding", vocab_size=512, width=WIDTH, dtype="bfloat16"),
        encoder=encoder,
        pooling=Part("ClsPooling"),
    )
    return ContrastiveObjective(build(config, rngs=nnx.Rngs(0)), chunk_size=32)


def make_plan(topology, **mesh):
    trainer = Trainer(
        nnx.eval_shape(make_objective),
        training_config(mesh=MeshConfig(**mesh)),
        devices=topology.devices,
    )

    def batch():
        ids = jnp.zeros((ROWS, LENGTH), jnp.int32)
        texts = TextBatch(ids=ids, mask=ids == 0)
        return TrainBatch(texts=(texts, texts), keys=jnp.zeros((ROWS, 2), jnp.uint32))

    rows = abstract_batch(jax.eval_shape(batch), trainer.mesh)
    return plan_training(trainer, rows, topology=topology, name="tiny")


@pytest.fixture(scope="module")
def copies(topology):
    return make_plan(topology, data=CHIPS)


@pytest.fixture(scope="module")
def spread(topology):
    return make_plan(topology, data=1, fsdp=CHIPS)


def test_a_topology_describes_chips_without_having_any(topology):
    assert len(topology.devices) == CHIPS
    assert topology.sizes == (2, 2)
    assert {device.platform for device in topology.devices} == {"tpu"}
    assert jax.default_backend() == "cpu"


def test_an_arrangement_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="topology 'v5e:3x3' does not exist"):
        tpu_topology("v5e:3x3")


def test_products_on_a_chip_are_those_of_its_rows_encoded_twice(copies):
    tokens = 2 * ROWS * LENGTH / CHIPS
    layer = 2 * (4 * WIDTH**2 + 2 * WIDTH * HIDDEN) + 4 * LENGTH * WIDTH
    encoder = LAYERS * layer * tokens
    similarities = 2 * ROWS * ROWS * WIDTH / CHIPS
    assert copies.model_flops == pytest.approx(3 * (encoder + similarities), rel=1e-6)
    assert copies.flops == pytest.approx(4 * encoder + 3 * similarities, rel=0.01)
    assert copies.unknown_loops == ()


def test_copies_of_the_model_add_their_gradients_up(copies):
    assert {axes for _, axes in copies.sent_by("kind", "axes")} == {"data"}
    # 2 S (n - 1) / n of a gradient in bfloat16 at least, of all parameters.
    sent = copies.sent_by("kind")[("all-reduce",)]
    assert sent >= 2 * 2 * copies.parameters * (CHIPS - 1) / CHIPS


def test_a_copy_spread_over_the_chips_takes_less_memory_and_gathers_weights(copies, spread):
    state, rows = 3 * 4 * copies.parameters, 2 * ROWS * LENGTH * 5 / CHIPS
    assert copies.memory.arguments == pytest.approx(state + rows, rel=0.05)
    # A fifth, the table, stays whole; of the rest a chip has a quarter, in tiles of 8 x 128.
    assert spread.memory.arguments < 0.6 * copies.memory.arguments
    assert spread.sent_by("kind", "axes")[("all-gather", "fsdp")] > 0


def test_it_fits_and_takes_time(copies):
    assert copies.capacity == 16 * 2**30
    assert copies.fits
    assert copies.times.compute == copies.flops / 197e12
    assert copies.times.communication > 0


def test_a_step_too_large_for_a_chip_says_by_how_much(topology):
    mesh = make_mesh(MeshConfig(), topology.devices)
    whole = NamedSharding(mesh, PartitionSpec())
    matrix = jax.ShapeDtypeStruct((65_536, 65_536), jnp.float32, sharding=whole)  # 16 GiB
    lowered = jax.jit(lambda x: x @ x).lower(matrix)
    with pytest.raises(OutOfMemory, match=r"needs 32.0 GiB or more of a chip that has 15.75"):
        plan_step(lowered, mesh=mesh, topology=topology, name="a matrix", parameters=0)
