import json

import jax
import numpy as np
import pytest
from flax import nnx
from tiny_training import objective, tiny_model, training_config

from textzoo.modules.types import TextBatch
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.plan import OutOfMemory, abstract_batch, plan_step
from textzoo.trainers.step import make_train_step
from textzoo.trainers.trainer import Trainer


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A recipe file whose step is that of a tiny model."""

    def abstract_step(path, mesh):
        assert path.name == "tiny.toml"
        trainer = Trainer(objective(tiny_model()), training_config(), devices=mesh.devices.flat)
        ids = np.zeros((8, 24), np.int32)
        texts = TextBatch(ids=ids, mask=ids == 0)
        batch = TrainBatch(texts=(texts, texts), keys=np.zeros((8, 2), np.uint32))
        step = make_train_step(trainer.blueprint, trainer.optimizer, seed=0)
        return step, trainer.abstract, abstract_batch(batch, mesh)

    monkeypatch.setattr("textzoo.recipes.abstract_step", abstract_step, raising=False)
    path = tmp_path / "tiny.toml"
    path.write_text("")
    return path


def test_a_recipe_is_planned_for_this_machine(textzoo, recipe):
    result = textzoo("plan", recipe)
    assert result.code == 0, result.err
    assert "local: 1, mesh one device" in result.out
    assert "memory of a chip" in result.out
    assert "use " not in result.out.splitlines()[-1]


def test_the_plan_as_json_is_that_of_the_step(textzoo, recipe):
    data = json.loads(textzoo("plan", recipe, "--json").out)
    [plan] = data["plans"]
    arrays = jax.tree.leaves(nnx.state(objective(tiny_model()), nnx.Param))
    assert plan["parameters"] == sum(array.size for array in arrays)
    # Parameters, two moments, and two columns of 8 texts of 24 ids and masks with their keys.
    assert plan["memory"]["arguments"] == pytest.approx(
        12 * plan["parameters"] + 2 * 8 * 24 * 5 + 8 * 2 * 4, rel=0.02
    )
    assert plan["name"] == "tiny"
    assert data["do_not_fit"] == []


def test_several_meshes_are_compared(textzoo, recipe):
    result = textzoo("plan", recipe, "--mesh", "data=1", "fsdp=1")
    assert result.code == 0, result.err
    assert result.out.count("one device") >= 3  # two rows, the card, the advice
    assert result.out.splitlines()[-1].startswith("use one device: ")


def test_a_mesh_of_more_devices_than_there_are_is_refused(textzoo, recipe):
    result = textzoo("plan", recipe, "--mesh", "data=3")
    assert result.code == 2
    assert "does not fit 1 devices" in result.err


def test_an_unknown_topology_is_refused(textzoo, recipe):
    result = textzoo("plan", recipe, "--topology", "v5:4x4")
    assert result.code == 2
    assert "unknown generation 'v5'" in result.err


def test_a_step_that_does_not_fit_is_an_error(textzoo, recipe, monkeypatch):
    def refuse(*arguments, **options):
        raise OutOfMemory("the step needs 20.0 GiB")

    monkeypatch.setattr("textzoo.trainers.plan.plan_step", refuse)
    result = textzoo("plan", recipe)
    assert result.code == 2
    assert "one device: the step needs 20.0 GiB" in result.err


def test_a_step_larger_than_the_chip_is_shown_with_its_verdict(textzoo, recipe, monkeypatch):
    monkeypatch.setattr("textzoo.trainers.plan._capacity", lambda topology: 100)
    result = textzoo("plan", recipe, "--mesh", "data=1", "fsdp=1")
    assert result.code == 0, result.err
    assert "does not fit: 0.00 GiB a chip of 0 GiB" in result.out
    assert result.out.splitlines()[-1] == "use none of these meshes: the step does not fit."


def test_a_mesh_that_does_not_fit_is_named_and_the_others_are_planned(textzoo, recipe, monkeypatch):
    real = plan_step

    def refuse_the_first(*arguments, **options):
        monkeypatch.setattr("textzoo.trainers.plan.plan_step", real)
        raise OutOfMemory("the step needs 20.0 GiB")

    monkeypatch.setattr("textzoo.trainers.plan.plan_step", refuse_the_first)
    result = textzoo("plan", recipe, "--mesh", "data=1", "fsdp=1")
    assert result.code == 0
    assert "one device: the step needs 20.0 GiB" in result.err
    assert "memory of a chip" in result.out
