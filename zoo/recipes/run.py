"""Runs a recipe: plan, training, pictures, and the exported model."""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from rich.console import Console
from rich.markup import escape

from textzoo.errors import ConfigError, ResumeError, differences
from textzoo.recipes.export import MODEL_FOLDER, draw, export_model, scores_at
from textzoo.recipes.job import Job, TaskEvaluator, prepare
from textzoo.recipes.plan import show_plan
from textzoo.recipes.reading import flatten
from textzoo.recipes.recipe import Recipe
from textzoo.trainers.trainer import Trainer, TrainingResult

RECIPE_FILE = "recipe.json"
TOKENIZER_FOLDER = "tokenizer"
# What may differ when a run is continued: it changes what is shown and kept, not what is learned.
_FREE = (
    "name", "training.mesh", "training.log_every", "training.evaluate_every",
    "training.save_every", "training.keep_last", "training.keep_best", "training.best_metric",
    "training.best_mode", "evaluation", "data.cache", "data.tokenize_ahead",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunResult:
    """How a run ended.

    Attributes:
        directory: of the run.
        model: directory of the exported model; ``None``: the run was only planned, or told to
            stop before its end.
        step: updates done.
        scores: of the exported model, by name.
        was_finished: nothing was left to do.
    """

    directory: Path
    model: Path | None
    step: int
    scores: Mapping[str, float]
    was_finished: bool = False


def run_recipe(
    recipe: Recipe,
    directory: str | Path,
    *,
    plan_only: bool = False,
    show_progress: bool = True,
    tensorboard: bool = False,
    command: str | None = None,
    console: Console | None = None,
) -> RunResult:
    """Trains what a recipe says, and exports the best model to ``directory/model``.

    Called again with the same recipe and directory, it goes on where it was stopped; a run that
    has ended is left as it is. In a run of many processes, every one calls it, and the first
    writes.

    Args:
        recipe: see :meth:`Recipe.load`.
        directory: for ``recipe.json``, ``metrics.jsonl``, ``loss.png``, ``checkpoints/`` and
            ``model/``; may be new.
        plan_only: print the plan, and write nothing.
        show_progress: a progress bar on stderr.
        tensorboard: also write TensorBoard events.
        command: that runs the recipe, for the model's card.
        console: where the plan is printed; nowhere if absent.

    Raises:
        ConfigError: the recipe does not fit together.
        DataError: files that are missing, or lack a column.
        ResumeError: the directory was begun with another recipe.
    """
    directory = Path(directory)
    console = console if jax.process_index() == 0 else None
    _check_directory(recipe, directory)
    if not plan_only and _is_finished(directory):
        return _finished(recipe, directory, console)
    job = prepare(recipe, directory / TOKENIZER_FOLDER)
    if console is not None:
        show_plan(job, directory, console)
    if plan_only:
        return RunResult(directory=directory, model=None, step=0, scores={})
    if jax.process_index() == 0:
        _write_recipe(recipe, directory)
        if recipe.model.new_vocabulary is not None:
            (directory / TOKENIZER_FOLDER).mkdir(exist_ok=True)
            job.tokenizer.save(directory / TOKENIZER_FOLDER)
    trainer, result = _train(job, directory, show_progress, tensorboard)
    return _leave(job, trainer, result, directory, command, console)


def _train(
    job: Job, directory: Path, show_progress: bool, tensorboard: bool
) -> tuple[Trainer, TrainingResult]:
    evaluators = [TaskEvaluator(config, job) for config in job.recipe.evaluation]
    data, held_out = job.data(directory / "teacher")
    trainer = Trainer(
        job.objective, job.config, directory=directory, evaluators=evaluators, held_out=held_out
    )
    return trainer, trainer.fit(data, show_progress=show_progress, tensorboard=tensorboard)


def _leave(
    job: Job, trainer: Trainer, result: TrainingResult, directory: Path, command: str | None,
    console: Console | None,
) -> RunResult:  # fmt: skip
    """Draws, and exports when the run has come to its end."""
    is_first = jax.process_index() == 0
    if is_first:
        draw(job, directory)
    if not result.is_complete:
        _say(console, f"stopped at step {result.step:,} of {job.config.steps:,}; the same command "
                      "continues")  # fmt: skip
        return RunResult(directory=directory, model=None, step=result.step, scores={})
    # Every process reads its part of the checkpoint.
    model = trainer.best_model()
    scores: dict[str, float] = {}
    if is_first:
        export_model(job, model, directory, command=command, best_step=result.best_step)
        scores = scores_at(directory, result.best_step)
    target = directory / MODEL_FOLDER
    shown = "".join(f", {name} {value:.4g}" for name, value in scores.items())
    _say(console, f"step {result.step:,}{shown}")
    _say(console, f"model in {target}; textzoo.load({str(target)!r}) reads it")
    return RunResult(directory=directory, model=target, step=result.step, scores=scores)


def _finished(recipe: Recipe, directory: Path, console: Console | None) -> RunResult:
    target = directory / MODEL_FOLDER
    _say(console, f"{directory} is finished: the model is in {target}. To train again, give "
                  "another directory")  # fmt: skip
    return RunResult(
        directory=directory, model=target, step=recipe.training.config.steps, scores={},
        was_finished=True,
    )  # fmt: skip


def _is_finished(directory: Path) -> bool:
    return (directory / MODEL_FOLDER / "config.json").is_file()


def _check_directory(recipe: Recipe, directory: Path) -> None:
    """Raises when a directory holds another run, or no run at all."""
    path = directory / RECIPE_FILE
    if directory.is_file():
        raise ConfigError(f"{directory} is a file; give a directory for the run")
    if not path.is_file():
        if directory.is_dir() and any((directory / n).exists() for n in ("config.json", "model")):
            raise ConfigError(f"{directory} holds something else; give another directory")
        return
    try:
        old = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ResumeError(f"{path} is damaged ({error}); give another directory") from error
    before, now = _deciding(old), _deciding(json.loads(recipe.to_json()))
    different = differences(before, now)
    if different:
        raise ResumeError(
            f"{directory} was begun with another recipe; use that again, or another directory:\n"
            + "\n".join(different)
        )


def _deciding(data: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the result of a run."""
    flat = flatten(data)
    return {
        key: value
        for key, value in flat.items()
        if not any(key == free or key.startswith(f"{free}.") for free in _FREE)
    }


def _write_recipe(recipe: Recipe, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    partial = directory / f".{RECIPE_FILE}.{os.getpid()}"
    partial.write_text(recipe.to_json(), encoding="utf-8")
    os.replace(partial, directory / RECIPE_FILE)


def _say(console: Console | None, text: str) -> None:
    if console is not None:
        console.print(escape(text), soft_wrap=True)
