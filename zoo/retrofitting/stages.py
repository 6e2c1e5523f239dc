"""The objective, the data and the training config of each stage."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from textzoo.fingerprint import model_fingerprint
from textzoo.retrofitting.config import RetrofitConfig, Stage
from textzoo.retrofitting.mimicking import MimicObjective, masked_objective, spelling_of
from textzoo.retrofitting.student import Student
from textzoo.retrofitting.table import OldTable, PieceTokenizer, TableRegressionObjective
from textzoo.text_encoder import TextEncoder
from textzoo.trainers.data import RowsSource, Source, TextData, WithVectors
from textzoo.trainers.objectives.base import Objective
from textzoo.trainers.objectives.distillation import VectorDistillationObjective
from textzoo.trainers.optimizers import OptimizerConfig
from textzoo.trainers.parameter_groups import GroupRule
from textzoo.trainers.schedules import ScheduleConfig
from textzoo.trainers.training_config import TrainingConfig
from textzoo.trainers.vector_cache import cached_vectors

_TEXTS_AT_ONCE = 4096
_NOT_THE_EMBEDDING = r"^model\.(?!embedding\.)"
_OLD_TABLE = r"^head\.output\."
_KEPT_ROWS = r"^model\.embedding\.kept$"


def table_stage(
    student: Student, table: OldTable, stage: Stage, directory: Path, config: RetrofitConfig
) -> tuple[Objective, TextData]:
    """The embedding alone, with the pieces and their rows as data."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "table.npy"
    partial = path.with_name(f".{path.name}.{os.getpid()}.npy")
    np.save(partial, table.rows)
    os.replace(partial, path)
    numbers = ({"text": str(number)} for number in range(len(table.rows)))
    source = WithVectors(RowsSource(numbers, ("text",), name="pieces"), "row", path)
    data = TextData(
        source, PieceTokenizer(table.pieces), columns=("text",), targets="row", lengths=(1,),
        batch_size=min(stage.batch_size, len(source)), seed=config.seed,
    )  # fmt: skip
    embedding, mimic = student.model.embedding, config.mimic
    if mimic is None:
        return TableRegressionObjective(embedding, variance=table.variance), data
    spelling = spelling_of(student.tokenizer, mimic.edit_rate) if mimic.edit_rate else None
    return MimicObjective(embedding, table, mimic, spelling=spelling), data


def masked_stage(
    student: Student, stage: Stage, texts: Sequence[str], config: RetrofitConfig
) -> tuple[Objective, TextData]:
    """Masked tokens of texts, in the whole model."""
    rows = RowsSource(({"text": text} for text in texts), ("text",), name="texts", strict=True)
    data = TextData(
        rows, student.tokenizer, columns=("text",), lengths=_lengths(student, config),
        batch_size=min(stage.batch_size, len(rows)), seed=config.seed,
    )  # fmt: skip
    return masked_objective(student, edit_rate=config.edit_rate, seed=config.seed), data


def text_stage(
    student: Student, stage: Stage, source: Source, config: RetrofitConfig
) -> tuple[Objective, TextData]:
    """The whole model, with texts and the teacher's vectors of them as data."""
    data = TextData(
        source, student.tokenizer, columns=("text",), targets="vector",
        lengths=_lengths(student, config), batch_size=min(stage.batch_size, len(source)),
        seed=config.seed,
    )  # fmt: skip
    return VectorDistillationObjective(student.model, metric=config.metric), data


def _lengths(student: Student, config: RetrofitConfig) -> tuple[int, ...]:
    """The padded lengths, no longer than texts can be."""
    longest = student.tokenizer.max_length
    lengths = tuple(length for length in config.lengths if length < longest)
    return lengths if len(lengths) == len(config.lengths) else (*lengths, longest)


def training_config(
    stage: str, numbers: Stage, objective: Objective, config: RetrofitConfig
) -> TrainingConfig:
    """How long and how fast; what is frozen.

    Args:
        stage: its name.
        numbers: of the stage.
        objective: whose parameters are trained.
        config: of the whole.
    """
    # A model of an embedding alone has nothing else that could be frozen.
    model = objective.model
    has_more = any(jax.tree.leaves(nnx.state(part, nnx.Param)) for part in (model.encoder, *(
        part for part in (model.pooling, *model.heads) if part is not None
    )))  # fmt: skip
    rules: tuple[GroupRule, ...] = ()
    if stage == "joint" and has_more:
        scale = config.encoder_rate_scale
        rules = (GroupRule(pattern=_NOT_THE_EMBEDDING, learning_rate_scale=scale),)
    frozen = (_NOT_THE_EMBEDDING,) if stage in ("masked", "frozen") and has_more else ()
    if stage == "masked":
        frozen = (*frozen, _OLD_TABLE)
    if stage != "joint" and getattr(model.embedding, "kept", None) is not None:
        frozen = (*frozen, _KEPT_ROWS)
    optimizer = OptimizerConfig(
        schedule=ScheduleConfig(kind="linear", peak=numbers.learning_rate, warmup_share=0.05),
        weight_decay=0.0, rules=rules,
        frozen=frozen,
    )  # fmt: skip
    return TrainingConfig(
        steps=numbers.steps, optimizer=optimizer, seed=config.seed, keep_last=1, keep_best=0,
        save_every=config.save_every,
        evaluate_every=None if stage == "table" else config.evaluate_every,
    )  # fmt: skip


def texts_with_vectors(
    teacher: TextEncoder, texts: Sequence[str], directory: Path, show_progress: bool
) -> Source:
    """The texts as rows, with the teacher's vectors, which are computed once."""

    def blocks() -> Iterator[np.ndarray]:
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            block = list(texts[start : start + _TEXTS_AT_ONCE])
            yield teacher.encode(block, prompt="", show_progress=show_progress)

    fingerprint = {**model_fingerprint(teacher.model, teacher.tokenizer), "texts": digest_of(texts)}
    path = directory / "teacher.npy"
    cached_vectors(path, fingerprint, blocks, count=len(texts), renew=True)
    rows = RowsSource(({"text": text} for text in texts), ("text",), name="texts", strict=True)
    return WithVectors(rows, "vector", path)


def digest_of(texts: Sequence[str]) -> str:
    """A hash of texts in their order."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode() + b"\n")
    return digest.hexdigest()[:16]
