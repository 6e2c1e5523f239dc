"""What a run leaves behind besides its checkpoints: the best model, and a picture."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textzoo.checkpoints.bundle import Bundle
from textzoo.checkpoints.directory import write_directory
from textzoo.errors import DataError
from textzoo.model import TextModel
from textzoo.recipes.job import Job, device_kind
from textzoo.trainers.metrics import read_metrics
from textzoo.trainers.plots import draw_training

MODEL_FOLDER = "model"
METRICS_FILE = "metrics.jsonl"
PICTURE_FILE = "loss.png"


def export_model(
    job: Job, model: TextModel, directory: Path, *, command: str | None, best_step: int | None
) -> Path:
    """Writes a model directory with a card that says how it was made.

    Args:
        job: the run.
        model: what was trained.
        directory: of the run; the model goes into a folder of it.
        command: that made it, for the card.
        best_step: of the checkpoint the model is from.
    """
    bundle = Bundle(
        model=model, tokenizer=job.bundle.tokenizer, settings=_settings(job),
        name=job.recipe.name,
    )  # fmt: skip
    target = directory / MODEL_FOLDER
    training = _card(job, directory, command=command, best_step=best_step)
    write_directory(target, bundle, training=training)
    return target


def draw(job: Job, directory: Path) -> Path | None:
    """Draws the loss of a run, if there is one."""
    path = directory / PICTURE_FILE
    try:
        draw_training(path, directory / METRICS_FILE, title=job.recipe.name)
    except DataError:
        return None
    return path


def scores_at(directory: Path, step: int | None) -> dict[str, float]:
    """The scores of the evaluation at a step."""
    path = directory / METRICS_FILE
    found: dict[str, float] = {}
    if step is None or not path.exists():
        return found
    for line in read_metrics(path):
        if line.get("step") == step and "evaluation" in line:
            found = dict(line["evaluation"])
    return found


def _settings(job: Job) -> Any:
    """Those of the start; a classifier's outputs are logits, which no width may be cut from."""
    if job.rows.classes and job.recipe.kind == "classifier":
        return dataclasses.replace(job.bundle.settings, truncate_dim=None)
    return job.bundle.settings


def _card(
    job: Job, directory: Path, *, command: str | None, best_step: int | None
) -> Mapping[str, Any]:
    recipe, config = job.recipe, job.config
    card: dict[str, Any] = {} if command is None else {"command": command}
    card["recipe"] = f"{recipe.name} ({recipe.kind}), in full in recipe.json beside the checkpoints"
    card["started from"] = recipe.model.start or f"{recipe.model.architecture}, fresh weights"
    card["objective"] = {"type": recipe.objective.type, **recipe.objective.options}
    card["data"] = [
        f"{report.source} ({report.rows} rows, {len(report.broken)} broken ones left out, "
        f"fingerprint {source.fingerprint})"
        for source in job.rows.train
        for report in source.reports()
    ]
    held_out = sum(len(source) for source in job.rows.held_out)
    if held_out:
        card["rows held out"] = held_out
    if job.rows.classes and recipe.kind in ("classifier", "distill"):
        card["classes"] = (
            ", ".join(job.rows.classes)
            + "; textzoo.classifying.predict(encoder, texts) gives their names and probabilities"
        )
    card.update({
        "steps": config.steps, "batch size": recipe.data.batch_size, "seed": config.seed,
        "learning rate": config.optimizer.schedule.peak, "devices": device_kind(),
    })  # fmt: skip
    if best_step is not None:
        card["from the checkpoint of step"] = best_step
        scores = scores_at(directory, best_step)
        if scores:
            card["scores there"] = {name: round(value, 5) for name, value in scores.items()}
    return card
