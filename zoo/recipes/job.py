"""Everything a run needs, made from its recipe."""

import dataclasses
import math
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from textzoo.checkpoints.bundle import Bundle
from textzoo.compilation import enable_compilation_cache
from textzoo.loading import load
from textzoo.model import TextModel
from textzoo.modules import Tokenizer
from textzoo.recipes.data import (
    Rows,
    labels_kind,
    largest_batch,
    make_data,
    make_held_out,
    open_rows,
    with_teacher,
)
from textzoo.recipes.models import make_model
from textzoo.recipes.objectives import make_objective
from textzoo.recipes.recipe import EvaluationConfig, Recipe
from textzoo.recipes.vocabulary import texts_of
from textzoo.text_encoder import TextEncoder
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.data.batched import BatchedData
from textzoo.trainers.evaluation import HeldOut
from textzoo.trainers.mesh import MeshConfig
from textzoo.trainers.objectives.base import Objective
from textzoo.trainers.plan import abstract_batch
from textzoo.trainers.state import TrainState
from textzoo.trainers.step import TrainStep, make_train_step
from textzoo.trainers.trainer import Trainer
from textzoo.trainers.training_config import TrainingConfig

# What each kind of measurement is called in metrics, the most telling one first.
_SCORES = {
    "StsResult": {"spearman": "spearman", "pearson": "pearson"},
    "RetrievalResult": {"ndcg": "ndcg_at_10", "mrr": "mrr_at_10"},
    "ClassificationResult": {"accuracy": "accuracy"},
    "PropositionResult": {"precision": "precision_at_1", "sibling_cosine": "sibling_cosine"},
    "ChoiceResult": {"accuracy": "accuracy"},
    "PairProbeResult": {"accuracy": "accuracy"},
    "MatchingResult": {"accuracy": "accuracy"},
    "ClusteringResult": {"nmi": "nmi"},
    "PhraseSuiteResult": {"mean": "mean"},
}
_MAIN_SCORE = {
    "sts": "spearman", "retrieval": "ndcg", "classification": "accuracy",
    "propositions": "precision", "choice": "accuracy", "pairs": "accuracy",
    "matching": "accuracy", "clustering": "nmi", "phrases": "mean",
}  # fmt: skip
_STAND_IN_CLASSES = ("no", "yes")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """A run that could begin.

    Attributes:
        recipe: what it is made from.
        bundle: the model before training, with its tokenizer.
        objective: around that model.
        rows: files that were opened.
        config: with every length in steps.
        trainer: with the mesh of the devices there are.
        batch: shapes of a batch of the longest texts.
    """

    recipe: Recipe
    bundle: Bundle
    objective: Objective
    rows: Rows
    config: TrainingConfig
    trainer: Trainer
    batch: TrainBatch

    @property
    def tokenizer(self) -> Tokenizer:
        """Of the model."""
        assert self.bundle.tokenizer is not None
        return self.bundle.tokenizer

    def encoder(self, model: TextModel) -> TextEncoder:
        """A model of this run with the tokenizer and the settings of the run."""
        bundle = dataclasses.replace(self.bundle, model=model, name=self.recipe.name)
        return TextEncoder.from_bundle(bundle)

    def data(self, folder: Path) -> tuple[BatchedData, dict[str, HeldOut]]:
        """The batches to train on and to measure on; a teacher is asked now."""
        rows = with_teacher(self.recipe, self.rows, folder)
        return (
            make_data(self.recipe, rows, self.tokenizer),
            make_held_out(self.recipe, rows, self.tokenizer),
        )


def prepare(recipe: Recipe, folder: Path | None = None) -> Job:
    """Opens the rows and makes the model; nothing is written, and no step is run.

    Args:
        recipe: what to do.
        folder: where a tokenizer that an earlier start has learned is kept.

    Raises:
        ConfigError: what does not fit together.
        DataError: files that are missing, or lack a column.
    """
    enable_compilation_cache()
    rows = open_rows(recipe)
    texts = texts_of(rows.train, recipe.data.columns)
    bundle = make_model(recipe.model, texts=texts, folder=folder, name=recipe.name)
    assert bundle.tokenizer is not None
    objective = make_objective(
        recipe.objective, bundle.model, bundle.tokenizer, classes=rows.classes,
        seed=recipe.model.seed, **_teacher_width(recipe),
    )  # fmt: skip
    config = recipe.training.resolve(rows.count / recipe.data.batch_size)
    config = _with_best_metric(recipe, config, has_held_out=bool(rows.held_out))
    trainer = Trainer(objective, config)
    batch = _abstract(recipe, objective, bundle.tokenizer, rows.classes, trainer.mesh)
    if trainer.mesh.size == 1:
        # As the trainer gives it to one device, so that the plan compiles the step of the run.
        batch = jax.tree.map(lambda rows: jax.ShapeDtypeStruct(rows.shape, rows.dtype), batch)
    return Job(
        recipe=recipe, bundle=bundle, objective=objective, rows=rows, config=config,
        trainer=trainer, batch=batch,
    )  # fmt: skip


def abstract_step(path: str | Path, mesh: Mesh) -> tuple[TrainStep, TrainState, TrainBatch]:
    """The step of a recipe on a mesh whose devices need not be there: for ``textzoo plan``.

    No data is read where the recipe names its classes, or has none; without files it is planned
    for two.

    Args:
        path: of the recipe.
        mesh: see :func:`textzoo.trainers.mesh.make_mesh`.

    Returns:
        The step, and shapes with shardings of its state and its batch.
    """
    recipe = Recipe.load(path)
    # Letters are enough for a tokenizer that is to be learned: sizes are those of the recipe.
    bundle = make_model(recipe.model, texts=string.ascii_lowercase, name=recipe.name)
    assert bundle.tokenizer is not None
    classes = recipe.data.classes
    if labels_kind(recipe) == "class" and not classes:
        classes = open_rows(recipe).classes if recipe.data.sources else _STAND_IN_CLASSES
    objective = make_objective(
        recipe.objective, bundle.model, bundle.tokenizer, classes=classes,
        seed=recipe.model.seed, **_teacher_width(recipe, only_if_needed=True),
    )  # fmt: skip
    config = dataclasses.replace(recipe.training.resolve(1.0), mesh=MeshConfig(**dict(mesh.shape)))
    trainer = Trainer(objective, config, devices=list(mesh.devices.flat))
    step = make_train_step(
        trainer.blueprint, trainer.optimizer, seed=config.seed, accumulation=config.accumulation,
        average_decay=config.average_decay,
    )  # fmt: skip
    return step, trainer.abstract, _abstract(recipe, objective, bundle.tokenizer, classes, mesh)


class TaskEvaluator:
    """Measures a model on a task of :mod:`textzoo.evaluation`.

    Args:
        config: which task.
        job: knows the tokenizer and the settings.
    """

    def __init__(self, config: EvaluationConfig, job: Job) -> None:
        from textzoo.evaluation import read_task

        self._name = config.name or config.task
        self._data = read_task(config.task, config.path, config.split)
        self._job = job
        self._encoder: TextEncoder | None = None

    def __call__(self, model: TextModel) -> Mapping[str, float]:
        """Scores by name, such as ``stsb/spearman``."""
        from textzoo.evaluation.run import evaluate_data

        if self._encoder is None or self._encoder.model is not model:
            self._encoder = self._job.encoder(model)
        prompt = None if self._encoder.settings.default_prompt is not None else ""
        result = evaluate_data(self._encoder, self._data, prompt=prompt)
        names = _SCORES[type(result).__name__]
        return {f"{self._name}/{name}": getattr(result, field) for name, field in names.items()}


def _with_best_metric(
    recipe: Recipe, config: TrainingConfig, *, has_held_out: bool
) -> TrainingConfig:
    """What tells the best model, where the recipe does not say."""
    if config.best_metric is not None:
        return config
    if recipe.evaluation:
        from textzoo.evaluation.tasks import get_task

        first = recipe.evaluation[0]
        score = _MAIN_SCORE[get_task(first.task).kind]
        name = f"{first.name or first.task}/{score}"
        return dataclasses.replace(config, best_metric=name, best_mode="max")
    if has_held_out:
        return dataclasses.replace(config, best_metric="held_out/loss", best_mode="min")
    return config


def _teacher_width(recipe: Recipe, *, only_if_needed: bool = False) -> dict[str, Any]:
    """Width of a teacher's vectors, where it is not in the recipe."""
    options = recipe.objective.options
    if recipe.data.teacher is None or "teacher_width" in options:
        return {}
    if only_if_needed and options.get("metric") == "relations":
        return {}
    return {"teacher_width": load(recipe.data.teacher).dimension}


def _abstract(
    recipe: Recipe, objective: Objective, tokenizer: Tokenizer, classes: Sequence[str], mesh: Mesh
) -> TrainBatch:
    inner = getattr(objective, "objective", objective)
    width = getattr(inner, "teacher_width", 0)
    if recipe.objective.type == "logits":
        width = len(classes)
    if recipe.objective.type == "scores":
        width = len(recipe.data.columns) - 1
    return abstract_batch(largest_batch(recipe, tokenizer, classes, max(1, width)), mesh)


def batches_per_epoch(job: Job) -> int:
    """Steps until as many rows were used as there are, rounded up."""
    return math.ceil(job.rows.count / job.recipe.data.batch_size)


def device_kind() -> str:
    """What the run is on, such as ``2 x TPU v5 lite``."""
    devices = jax.devices()
    return f"{len(devices)} x {devices[0].device_kind}"
