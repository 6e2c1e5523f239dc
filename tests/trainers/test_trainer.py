"""The loop: it learns, it resumes bit for bit, it stops when it must."""

import dataclasses
import json
import os
import signal

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny_training import objective, pair_data, tiny_model, training_config

from textzoo.errors import ConfigError, ResumeError
from textzoo.trainers.metrics import read_metrics
from textzoo.trainers.objectives.base import Objective, ObjectiveState
from textzoo.trainers.optimizers import OptimizerConfig
from textzoo.trainers.ratio import LossTerms, Ratio, Term
from textzoo.trainers.trainer import Trainer, TrainingDiverged


def make(config=None, directory=None, *, model=None, **options) -> Trainer:
    return Trainer(
        objective(model or tiny_model()), config or training_config(), directory=directory,
        devices=jax.devices()[:1], **options,
    )  # fmt: skip


def losses(directory) -> list[float]:
    lines = read_metrics(directory / "metrics.jsonl")
    return [line["loss"] for line in lines if "loss" in line]


def params(trainer: Trainer) -> dict[str, np.ndarray]:
    return jax.device_get(trainer.start().params)


def test_training_lowers_the_loss(tmp_path):
    trainer = make(training_config(60, peak=1e-2), tmp_path)
    trainer.fit(pair_data())
    found = losses(tmp_path)
    assert len(found) == 60
    assert np.mean(found[-5:]) < 0.5 * np.mean(found[:3])


def test_the_objective_has_the_trained_parameters_afterwards():
    model = tiny_model()
    before = np.array(model.embedding.table[...])
    trainer = make(model=model)
    result = trainer.fit(pair_data())
    assert result.is_complete and result.step == 6
    assert np.abs(np.asarray(model.embedding.table[...]) - before).max() > 1e-4
    np.testing.assert_array_equal(
        np.asarray(model.embedding.table[...]), params(trainer)["model.embedding.table"]
    )


def test_training_leaves_the_arrays_of_other_models_alone():
    model = tiny_model()
    _, state = nnx.split(model)
    kept = jax.tree.leaves(state)
    make(model=model).fit(pair_data())
    assert not any(array.is_deleted() for array in kept)


def test_a_resumed_run_ends_with_the_bits_of_an_uninterrupted_one(tmp_path):
    config = training_config(6, save_every=1, average_decay=0.9)
    whole = make(config, tmp_path / "whole", model=tiny_model(layers=1))
    whole.fit(pair_data())

    class Stopped(Exception):
        pass

    def stop_at(step):
        def evaluator(model):
            raise Stopped

        return dataclasses.replace(config, evaluate_every=step), [evaluator]

    for step in (2, 3, 5):
        stopping, evaluators = stop_at(step)
        with pytest.raises(Stopped):
            trainer = make(
                stopping, tmp_path / "parts", evaluators=evaluators, model=tiny_model(layers=1)
            )
            trainer.fit(pair_data())
    resumed = make(config, tmp_path / "parts", model=tiny_model(layers=1))
    result = resumed.fit(pair_data())

    assert result.is_complete
    chex.assert_trees_all_equal(resumed.state, whole.state)
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")


def test_sigterm_ends_a_run_after_a_checkpoint(tmp_path):
    def send(model):
        os.kill(os.getpid(), signal.SIGTERM)
        return {}

    config = training_config(6, evaluate_every=3)
    result = make(config, tmp_path, evaluators=[send]).fit(pair_data())
    assert not result.is_complete
    assert result.step in (3, 4)
    assert result.best_step == result.step
    again = make(dataclasses.replace(config, evaluate_every=None), tmp_path)
    assert again.fit(pair_data()).is_complete
    assert len(losses(tmp_path)) == 6


class Constant(Objective):
    """A loss that is what it is told to be."""

    def __init__(self, model, values):
        super().__init__(model)
        self.values = ObjectiveState(jnp.asarray(values, jnp.float32))

    def __call__(self, batch, *, step, rngs):
        table = self.model.embedding.table[...]
        loss = self.values[step] + 0 * table.sum()
        return LossTerms({"constant": Term(Ratio(loss, jnp.ones(())))})


def test_a_loss_that_is_nan_stops_the_run_and_names_step_batch_and_checkpoint(tmp_path):
    values = [1.0, 1.0, 1.0, float("nan"), 1.0, 1.0]
    config = dataclasses.replace(training_config(6, save_every=2), log_every=6)
    trainer = Trainer(
        Constant(tiny_model(), values), config, directory=tmp_path, devices=jax.devices()[:1]
    )
    with pytest.raises(
        TrainingDiverged, match=r"step 4 is nan, on batch 3: .*row.*checkpoint is that of step 2"
    ):
        trainer.fit(pair_data())
    saved = sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir())
    assert saved == [2]


def test_other_settings_cannot_continue_a_run(tmp_path):
    make(training_config(4, save_every=2), tmp_path).fit(pair_data())
    with pytest.raises(ResumeError, match="seed: 0 then, 1 now"):
        make(training_config(4, save_every=2, seed=1), tmp_path).fit(pair_data())
    with pytest.raises(ResumeError):
        make(training_config(4, save_every=2), tmp_path).fit(pair_data(seed=7))


def test_frozen_parameters_keep_their_bits_and_have_no_optimizer_state():
    optimizer = OptimizerConfig(frozen=(r"^model\.embedding",))
    trainer = make(dataclasses.replace(training_config(3), optimizer=optimizer))
    before = jax.device_get(trainer.start().frozen)
    trainer.fit(pair_data())
    assert list(before) == ["model.embedding.table"]
    chex.assert_trees_all_equal(jax.device_get(trainer.state.frozen), before)
    paths = jax.tree_util.tree_flatten_with_path(trainer.state.optimizer)[0]
    assert not any("embedding" in jax.tree_util.keystr(path) for path, _ in paths)


def test_the_best_checkpoint_is_the_one_with_the_best_score(tmp_path):
    scores = iter([1.0, 3.0, 2.0])
    seen = []

    def evaluator(model):
        seen.append(np.asarray(model.embedding.table[...]))
        return {"quality": next(scores)}

    config = training_config(
        6, evaluate_every=2, save_every=2, best_metric="quality", keep_last=1, keep_best=1
    )
    trainer = make(config, tmp_path, evaluators=[evaluator])
    result = trainer.fit(pair_data())
    assert result.best_step == 4
    best = trainer.best_model()
    np.testing.assert_array_equal(np.asarray(best.embedding.table[...]), seen[1])
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert [line["evaluation"]["quality"] for line in lines if "evaluation" in line] == [1, 3, 2]


def test_best_model_without_a_directory_is_refused():
    with pytest.raises(ConfigError, match="no checkpoint in directory=None"):
        make().best_model()


def test_metrics_are_json_lines_with_rates(tmp_path):
    make(training_config(3), tmp_path).fit(pair_data())
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    for line in lines:
        assert line["examples"] == 8
        assert line["examples_per_second"] > 0
        assert line["learning_rate"] == pytest.approx([0, 5e-4, 1e-3][line["step"] - 1])
        assert {"loss", "gradient_norm", "learning_rate", "accuracy", "seconds"} <= set(line)


@pytest.mark.parametrize("parts", [2, 4])
def test_accumulated_parts_give_the_gradient_of_the_whole_batch(parts):
    class Count(Objective):
        """The mean of a feature over real tokens: rows have different numbers of them."""

        def __call__(self, batch, *, step, rngs):
            texts = batch.texts[0]
            states = self.model(texts, rngs=rngs).hidden.states[..., 0] ** 2
            total = jnp.where(texts.mask, states, 0).sum()
            return LossTerms(
                {"mean": Term(Ratio(total, texts.mask.sum().astype(jnp.float32)), 3.0)}
            )

    def run(parts):
        trainer = Trainer(
            Count(tiny_model()), training_config(2, accumulation=parts),
            devices=jax.devices()[:1],
        )  # fmt: skip
        stream = pair_data().stream()
        found = [trainer.update(next(stream).batch) for _ in range(2)]
        stream.close()
        return jax.device_get(found)

    chex.assert_trees_all_close(run(parts), run(1), rtol=1e-5)


def test_a_batch_that_accumulation_does_not_divide_is_refused():
    trainer = make(training_config(2, accumulation=3))
    with pytest.raises(ValueError, match="accumulation=3 does not divide the batch of 8 rows"):
        trainer.fit(pair_data())


def test_the_average_follows_the_parameters(tmp_path):
    trainer = make(training_config(4, average_decay=0.5))
    stream = pair_data().stream()
    first = np.array(params(trainer)["model.embedding.table"])
    average = first
    for step in range(4):
        trainer.update(next(stream).batch)
        decay = min(0.5, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * params(trainer)["model.embedding.table"]
    stream.close()
    found = np.asarray(trainer.state.average["model.embedding.table"])
    np.testing.assert_allclose(found, average, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(np.asarray(trainer.model().embedding.table[...]), found)


def test_the_same_step_can_be_done_again_exactly():
    def run():
        trainer = make(model=tiny_model(layers=1))
        stream = pair_data().stream()
        batches = [next(stream).batch for _ in range(2)]
        stream.close()
        for batch in batches:
            trainer.update(batch)
        return trainer.state

    chex.assert_trees_all_equal(run(), run())
