import json
from pathlib import Path

import jax
import numpy as np
import pytest

from textzoo.recipes import Recipe, abstract_step, prepare
from textzoo.recipes.command import run_script, take_overrides
from textzoo.trainers.mesh import make_mesh
from textzoo.trainers.sharding import place_batch

READY = sorted((Path(__file__).parents[3] / "scripts" / "recipes").glob("*.toml"))


@pytest.fixture
def recipe_file(tmp_path, tiny):
    path = tmp_path / "mine.toml"
    path.write_text(
        f'kind = "classifier"\n[model]\nstart = "{tiny}"\n'
        '[data]\nlabels = "label"\nbatch_size = 8\nlengths = [8]\n[training]\nsteps = 2\n'
    )
    return path


def test_overrides_may_stand_anywhere():
    arguments = [
        "a.toml",
        "data.sources=x.tsv",
        "--output",
        "a=b",
        "training.steps=3",
        "--plan-only",
    ]
    assert take_overrides(arguments) == (
        ["data.sources=x.tsv", "training.steps=3"],
        ["a.toml", "--output", "a=b", "--plan-only"],
    )


def test_a_script_trains_and_says_where_the_model_is(recipe_file, rows, tmp_path, capsys, pictures):
    arguments = [recipe_file, f"data.sources={rows}", "--no-progress", "--output", tmp_path / "run"]
    assert run_script("classifier", "help", list(map(str, arguments))) == 0
    out = capsys.readouterr().out
    assert "matrices and tables" in out
    assert f"model in {tmp_path / 'run' / 'model'}" in out
    assert (tmp_path / "run" / "loss.png").stat().st_size > 1000
    assert "data.sources=" in (tmp_path / "run" / "model" / "README.md").read_text()


def test_a_recipe_of_another_kind_names_its_script(recipe_file, capsys):
    assert run_script("mlm", "help", [str(recipe_file)]) == 2
    assert "use scripts/train_classifier" in capsys.readouterr().err


def test_errors_are_one_sentence(recipe_file, capsys):
    assert run_script("classifier", "help", [str(recipe_file), "data.sources=no.tsv"]) == 2
    assert capsys.readouterr().err.startswith("error: no.tsv does not exist")


def test_a_recipe_is_planned_by_the_command_line(recipe_file, rows, capsys):
    from textzoo.cli import main

    text = recipe_file.read_text().replace("[data]\n", f'[data]\nsources = "{rows}"\n')
    recipe_file.write_text(text)
    assert main(["plan", str(recipe_file), "--json"]) == 0
    [plan] = json.loads(capsys.readouterr().out)["plans"]
    # A table of 11 rows of 8, and a classifier of two classes.
    assert plan["parameters"] == 11 * 8 + 8 * 2 + 2


@pytest.mark.parametrize("kind", ["classifier", "contrastive", "distill"])
def test_batches_of_plans_are_those_of_training(make_recipe, kind, tmp_path):
    tables = {
        "classifier": {},
        "contrastive": {"data": {"columns": ["text", "other"]}},
        "distill": {"data": {"targets": ["vector"]}},
    }[kind]
    job = prepare(make_recipe(kind, **tables))
    data, _ = job.data(tmp_path)
    stream = data.stream()
    batch = next(stream).batch
    stream.close()
    # The step that a plan compiles is the step of the run, so the run finds it compiled.
    with jax.set_mesh(job.trainer.mesh):
        of_the_run = job.trainer.step.lower(
            job.trainer.start(), place_batch(batch, job.trainer.mesh)
        )
    assert of_the_run.as_text() == job.trainer.lower(job.batch).as_text()
    assert jax.tree.structure(batch) == jax.tree.structure(job.batch)
    for real, planned in zip(jax.tree.leaves(batch), jax.tree.leaves(job.batch), strict=True):
        assert (real.shape, np.dtype(real.dtype)) == (planned.shape, planned.dtype)


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_ready_recipes_are_planned_as_they_are(path):
    recipe = Recipe.load(path)
    _, state, batch = abstract_step(path, make_mesh())
    longest = max(recipe.data.lengths)
    assert batch.texts[0].ids.shape == (recipe.data.batch_size, longest)
    assert sum(array.size for array in state.params.values()) > 1e6


def test_a_step_is_planned_without_any_data(recipe_file):
    mesh = make_mesh()
    _, state, batch = abstract_step(recipe_file, mesh)
    assert state.params["classifier.linear.kernel"].shape == (8, 2)
    assert batch.texts[0].ids.shape == (8, 8)
