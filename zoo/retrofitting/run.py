"""The one call."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from textzoo.checkpoints.bundle import Bundle
from textzoo.checkpoints.directory import write_directory
from textzoo.config import Part
from textzoo.errors import ConfigError, ResumeError, differences
from textzoo.fingerprint import model_fingerprint
from textzoo.inputs import as_list
from textzoo.noise import Noise
from textzoo.retrofitting.config import RetrofitConfig, Stage
from textzoo.retrofitting.mimicking import keep_rows, retrieved
from textzoo.retrofitting.stages import (
    digest_of,
    masked_stage,
    table_stage,
    text_stage,
    texts_with_vectors,
    training_config,
)
from textzoo.retrofitting.student import Student, make_student
from textzoo.text_encoder import TextEncoder
from textzoo.trainers.data import NoisyTexts, Source
from textzoo.trainers.evaluation import Evaluator
from textzoo.trainers.trainer import Trainer

MODEL_FOLDER = "model"
SETTINGS_FILE = "retrofit.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class RetrofitResult:
    """How retrofitting ended.

    Attributes:
        encoder: the teacher's encoder over the new embedding; ``None``: the run was told to stop,
            and the same call goes on.
        model: its directory.
        scores: of every stage that was run, by its name, ``"before"`` of fresh weights, and
            ``"solve"`` where the embedding was solved for the old table: what evaluators say, and
            of the embedding ``"table/unexplained"``, the share of the variance of the old rows
            that it leaves unexplained, where it is fitted to them; with ``mimic`` also
            ``"table/retrieved"``, the share of the pieces whose row matches them best.
    """

    encoder: TextEncoder | None
    model: Path | None
    scores: Mapping[str, Mapping[str, float]]


def retrofit(
    teacher: TextEncoder,
    embedding: Part,
    directory: str | Path,
    *,
    texts: Sequence[str] = (),
    tokenizer: Part | None = None,
    noise: Noise | None = None,
    config: RetrofitConfig = RetrofitConfig(),  # noqa: B008 - frozen
    evaluators: Sequence[Evaluator] = (),
    name: str = "",
    command: str | None = None,
    show_progress: bool = False,
    on_stage: Callable[[str, Mapping[str, float]], None] = lambda stage, scores: None,
) -> RetrofitResult:
    """Puts another embedding under a pretrained encoder, and saves the model.

    Called again with the same arguments, it goes on where it was stopped.

    Args:
        teacher: the pretrained encoder, which stays as it is.
        embedding: any embedding part. Its ``width`` and ``vocab_size`` are filled in where they
            are left out.
        directory: for checkpoints, metrics, the teacher's vectors, and ``model/``.
        texts: what the teacher is asked about; the stage ``table`` alone needs none.
        tokenizer: another one, for an embedding that needs units, such as
            ``teacher.model.config.tokenizer.replace(units="bytes")``, or that of another
            vocabulary, and then without the stage ``table``.
        noise: mistakes in the texts that the new model reads, but not the teacher.
        config: see :class:`RetrofitConfig`.
        evaluators: called with the model before training and after every stage; give scores.
        name: of the model.
        command: that does this, for the model's card.
        show_progress: a bar on stderr for every stage.
        on_stage: told the scores before training, and after every stage.

    Raises:
        TextInputError: an item of ``texts`` is not text.
        ConfigError: the embedding has another width than the encoder takes, or fewer rows than
            the tokenizer has ids; the tokenizer's ids are not the teacher's, and there is a stage
            ``table`` or ``masked``; there are stages for texts, and no texts; no stage is left.
        ResumeError: the directory was begun with other arguments.
    """
    directory = Path(directory)
    texts = as_list(texts)
    stages = config.stages()
    _check_call(teacher, stages, texts)
    student = make_student(
        teacher, embedding, tokenizer, texts, with_table=bool({"table", "masked"} & set(stages)),
        solve=config.solve, seed=config.seed,
    )  # fmt: skip
    if not stages and not student.solve:
        raise ConfigError(
            "every stage is None, and nothing is solved either; keep at least one of table, "
            "masked, frozen and joint, or use an embedding with fit_rows and solve=True"
        )
    _check_directory(directory, _identity(teacher, student, texts, noise, config))
    scores: dict[str, Mapping[str, float]] = {}

    def report(stage: str) -> None:
        found = {}
        if student.table is not None:
            found["table/unexplained"] = student.table.unexplained(student.model.embedding)
            if config.mimic is not None:
                found["table/retrieved"] = retrieved(student.model.embedding, student.table)
        for evaluator in evaluators:
            found.update(evaluator(student.model))
        scores[stage] = found
        on_stage(stage, found)

    keep_rows(student)
    report("before")
    if student.solve:
        assert student.table is not None
        student.table.solve(student.model.embedding, seed=config.seed)
        report("solve")
    source: Source | None = None
    if {"frozen", "joint"} & set(stages):
        source = texts_with_vectors(teacher, texts, directory, show_progress)
    if source is not None and noise is not None:
        source = NoisyTexts(
            source, noise, columns=("text",), copies=config.copies, keep_clean=config.copies > 1
        )
    for stage, numbers in stages.items():
        if stage == "table":
            assert student.table is not None
            objective, data = table_stage(student, student.table, numbers, directory, config)
        elif stage == "masked":
            objective, data = masked_stage(student, numbers, texts, config)
        else:
            assert source is not None
            objective, data = text_stage(student, numbers, source, config)
        plan = training_config(stage, numbers, objective, config)
        trainer = Trainer(
            objective, plan, directory=directory / stage,
            evaluators=evaluators if plan.evaluate_every else (),
        )  # fmt: skip
        if not trainer.fit(data, show_progress=show_progress).is_complete:
            return RetrofitResult(encoder=None, model=None, scores=scores)
        report(stage)
    bundle = Bundle(
        model=student.model, tokenizer=student.tokenizer, settings=teacher.settings, name=name
    )
    card = _card(teacher, embedding, texts, noise, config, scores, command)
    write_directory(directory / MODEL_FOLDER, bundle, training=card)
    return RetrofitResult(
        encoder=TextEncoder.from_bundle(bundle), model=directory / MODEL_FOLDER, scores=scores
    )


def _check_call(teacher: TextEncoder, stages: Mapping[str, Stage], texts: Sequence[str]) -> None:
    if teacher.model.config is None:
        raise ConfigError("the teacher has no config, so its model could not be saved again")
    if not texts and set(stages) - {"table"}:
        wanted = " and ".join(repr(stage) for stage in stages if stage != "table")
        raise ConfigError(
            f"stage {wanted} is learned from texts, and there are none; give texts, or "
            "RetrofitConfig(frozen=None, joint=None)"
        )


def _identity(
    teacher: TextEncoder, student: Student, texts: Sequence[str], noise: Noise | None,
    config: RetrofitConfig,
) -> dict[str, Any]:  # fmt: skip
    """What decides the result."""
    assert student.model.config is not None
    settings = dataclasses.asdict(config)
    del settings["save_every"], settings["evaluate_every"]
    if not student.solve:
        del settings["solve"]
    # Directories that were begun before these existed may go on.
    fresh = {"mimic": None, "masked": None, "edit_rate": 0.0}
    settings = {k: v for k, v in settings.items() if k not in fresh or v != fresh[k]}
    found = {
        "teacher": model_fingerprint(teacher.model, teacher.tokenizer),
        "model": student.model.config.to_dict(), "texts": digest_of(texts),
        "noise": None if noise is None else noise.describe(), **settings,
    }  # fmt: skip
    return json.loads(json.dumps(found))


def _check_directory(directory: Path, identity: Mapping[str, Any]) -> None:
    path = directory / SETTINGS_FILE
    if path.is_file():
        different = differences(json.loads(path.read_text(encoding="utf-8")), identity)
        if different:
            raise ResumeError(
                f"{directory} was begun with other arguments; use them again, or another "
                "directory:\n" + "\n".join(different)
            )
        return
    directory.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(identity, indent=2) + "\n", encoding="utf-8")


def _card(
    teacher: TextEncoder, embedding: Part, texts: Sequence[str], noise: Noise | None,
    config: RetrofitConfig, scores: Mapping[str, Mapping[str, float]], command: str | None,
) -> dict[str, Any]:  # fmt: skip
    card: dict[str, Any] = {} if command is None else {"command": command}
    card["encoder of"] = teacher.name or "an unnamed model"
    card["new embedding"] = repr(embedding)
    for name, numbers in config.stages().items():
        card[f"stage {name}"] = dataclasses.asdict(numbers)
    card["texts"] = len(texts)
    card["mistakes in texts"] = "none" if noise is None else noise.describe()
    card["seed"] = config.seed
    for stage, found in scores.items():
        if found:
            card[f"scores, {stage}"] = {name: round(value, 5) for name, value in found.items()}
    return card
