"""A training run as data."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from textzoo.errors import ConfigError, closest
from textzoo.recipes.noise import NoiseSection
from textzoo.recipes.reading import (
    apply_overrides,
    check_keys,
    convert,
    read_section,
    read_toml,
    to_plain,
)
from textzoo.trainers.training_config import TrainingConfig

KINDS = ("mlm", "contrastive", "classifier", "distill")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ModelSection:
    """What is trained: a model to continue from (``start``), or fresh weights (``architecture``).

    Attributes:
        start: registered name, directory or hub id; its tokenizer and settings are kept.
        architecture: a registered name, built with fresh weights.
        overrides: of the architecture, by slot: ``encoder = {num_layers = 4}``.
        tokenizer: of an architecture: name, directory or hub id of a model, or a directory with a
            ``tokenizer.json``. Architectures over bytes, characters or words have their own.
        new_vocabulary: instead of a tokenizer: learn one from the rows, with so many pieces.
        embedding_from: name, directory or hub id of a model whose token vectors an architecture
            begins with; its tokenizer is then the default. A narrower table is filled with the
            principal directions of the wider one.
        max_length: longer texts are cut; that of the tokenizer if absent.
        dtype: what the model computes in, such as ``"bfloat16"``.
        pooling: a part, ``{type = "MeanPooling"}``, in place of the model's own, if it has one.
        heads: parts in place of the model's own, ``[{type = "Normalize"}]``.
        seed: of fresh weights.
    """

    start: str | None = None
    architecture: str | None = None
    overrides: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    tokenizer: str | None = None
    new_vocabulary: int | None = None
    embedding_from: str | None = None
    max_length: int | None = None
    dtype: str | None = None
    pooling: Mapping[str, Any] | None = None
    heads: tuple[Mapping[str, Any], ...] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.start is None) == (self.architecture is None):
            raise ConfigError(
                f"start={self.start!r}, architecture={self.architecture!r}; give exactly one: "
                "start to continue from a model, architecture for fresh weights"
            )
        given = (self.tokenizer is not None) + (self.new_vocabulary is not None)
        if self.embedding_from is not None and self.new_vocabulary is not None:
            raise ConfigError(
                f"embedding_from={self.embedding_from!r} has a vocabulary, so that none is learned;"
                " remove new_vocabulary"
            )
        if self.new_vocabulary is not None and self.new_vocabulary < 1:
            raise ConfigError(
                f"new_vocabulary={self.new_vocabulary}; use a number of pieces, such as 8192"
            )
        if given > 1:
            raise ConfigError(
                f"tokenizer={self.tokenizer!r} and new_vocabulary={self.new_vocabulary}; give one "
                "of them: a tokenizer that there is, or pieces to learn from the rows"
            )
        if self.start is not None and (self.overrides or given or self.embedding_from):
            raise ConfigError(
                "overrides, tokenizer, new_vocabulary and embedding_from go with architecture, not "
                "with start"
            )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SourceConfig:
    """A file of rows.

    Attributes:
        path: ``.jsonl``, ``.tsv`` or ``.txt`` (also ``.gz``), ``.parquet``, or a TFDS directory.
        columns: the recipe's name of a column and the file's, where they differ; several columns of
            the file are joined by a space. In place of the data's ``columns_in_files``.
        where: only rows whose column has this value: ``{label = "entailment"}``.
        weight: share in the rows; all sources need one, or none.
    """

    path: str
    columns: Mapping[str, str | tuple[str, ...]] = dataclasses.field(default_factory=dict)
    where: Mapping[str, str] = dataclasses.field(default_factory=dict)
    weight: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DataSection:
    """The rows.

    Attributes:
        sources: files; a path alone is enough.
        columns: text columns, in the order the objective wants them.
        columns_in_files: names of columns in the files, for sources that do not say their own.
        prefixes: put before the texts of a column, such as ``{anchor = "query: "}``.
        spans: for each text column the column of its spans, such as ``{sentence = "spans"}``, for
            objectives on spans; see :mod:`textzoo.trainers.data.spans`.
        span_labels: for each text column the column of the labels of its spans.
        max_spans: spans of a text at most.
        labels: column of classes or scores.
        classes: names of the classes in their order; found in the rows if absent.
        targets: columns of what a teacher says: vectors, scores or logits.
        teacher: a model whose vectors of the first column are the targets.
        held_out: rows that are not trained on: how many, a share below 1, or files.
        batch_size: rows of a batch, over all devices.
        lengths: padded lengths in tokens; the model's longest if absent.
        seed: of the order, and of the rows held out.
        strict: refuse broken rows instead of leaving them out.
        cache: folder for indices, tokens and a teacher's vectors.
        tokenize_ahead: tokenize all texts before the first batch.
        group_by_length: see :class:`textzoo.trainers.data.TextData`.
        single_source_batches: all rows of a batch are from the same source.
        packing: of masked language modeling: ``"pack"`` or ``"concatenate"`` fill rows of the
            longest of ``lengths`` with several texts; see
            :class:`textzoo.trainers.data.PackedData`. Then ``batch_size`` counts such rows.
        noise: mistakes in the texts; see :class:`textzoo.recipes.noise.NoiseSection`.
    """

    sources: tuple[SourceConfig, ...] = ()
    columns: tuple[str, ...] = ("text",)
    columns_in_files: Mapping[str, str | tuple[str, ...]] = dataclasses.field(default_factory=dict)
    prefixes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    spans: Mapping[str, str] = dataclasses.field(default_factory=dict)
    span_labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    max_spans: int = 16
    labels: str | None = None
    classes: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    teacher: str | None = None
    held_out: int | float | tuple[SourceConfig, ...] = 0
    batch_size: int = 32
    lengths: tuple[int, ...] = ()
    seed: int = 0
    strict: bool = False
    cache: str | None = None
    tokenize_ahead: bool = False
    group_by_length: int = 0
    single_source_batches: bool = False
    packing: str | None = None
    noise: NoiseSection | None = None

    def __post_init__(self) -> None:
        weighed = [source.weight is not None for source in self.sources]
        if any(weighed) and not all(weighed):
            raise ConfigError("only some sources have a weight; give all of them one, or none")
        if self.batch_size < 1:
            raise ConfigError(f"batch_size={self.batch_size}; use 1 or more")
        if isinstance(self.held_out, int | float):
            share = isinstance(self.held_out, float)
            if self.held_out < 0 or (share and self.held_out >= 1):
                raise ConfigError(
                    f"held_out={self.held_out}; use a number of rows, a share below 1, or files"
                )
        if self.teacher is not None and self.targets:
            raise ConfigError("give a teacher or targets, not both: the teacher makes the targets")
        if self.packing is not None and (len(self.columns) != 1 or self.prefixes):
            raise ConfigError(
                f"packing={self.packing!r} with columns={list(self.columns)}; rows are packed with "
                "texts of one column, without prefixes"
            )
        if self.noise is not None:
            self.noise.check_columns(self.columns)
        for table in ("prefixes", "spans", "span_labels"):
            for name in getattr(self, table):
                if name not in self.columns:
                    raise ConfigError(f"{table} has {name!r}; {closest(name, self.columns)}")
        if set(self.spans) != set(self.span_labels):
            raise ConfigError(
                f"spans has the columns {sorted(self.spans)}, span_labels has "
                f"{sorted(self.span_labels)}; give both for the same columns"
            )
        if self.spans and (self.noise is not None or self.tokenize_ahead):
            raise ConfigError(
                "spans count characters of the texts as they are in the files; leave out noise, "
                "which moves them, and tokenize_ahead, which keeps no offsets"
            )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveSection:
    """What the model learns.

    Attributes:
        type: see :data:`textzoo.recipes.objectives.TYPES`; the usual one of the kind if absent.
        options: of that type.
    """

    type: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSection:
    """How long, and how: ``TrainingConfig``, with lengths in epochs if one likes.

    Attributes:
        epochs: passes over the rows; either this or ``config.steps`` counts.
        evaluate_every: steps, or ``"epoch"``.
        save_every: steps, or ``"epoch"``; with every evaluation if absent.
        config: everything else; its lengths are filled in by :meth:`resolve`.
    """

    epochs: float | None = None
    evaluate_every: int | str | None = None
    save_every: int | str | None = None
    config: TrainingConfig

    @classmethod
    def read(cls, data: Any) -> "TrainingSection":
        """Reads the table ``training``."""
        own = {f.name for f in dataclasses.fields(cls)} - {"config"}
        names = {f.name for f in dataclasses.fields(TrainingConfig)}
        table = dict(convert(data, Mapping[str, Any], "training"))
        check_keys(table, own | names, "training")
        epochs = convert(table.pop("epochs", None), float | None, "training.epochs")
        if (epochs is None) == ("steps" not in table):
            raise ConfigError("training: give steps or epochs, and not both")
        if epochs is not None and epochs <= 0:
            raise ConfigError(f"training.epochs is {epochs}; use a number above 0")
        every = {}
        for name in ("evaluate_every", "save_every"):
            every[name] = convert(table.pop(name, None), int | str | None, f"training.{name}")
            if isinstance(every[name], str) and every[name] != "epoch":
                raise ConfigError(
                    f'training.{name} is {every[name]!r}; write a number of steps, or "epoch"'
                )
        config = read_section(TrainingConfig, {"steps": 1, **table}, "training")
        return cls(epochs=epochs, config=config, **every)

    def resolve(self, batches_per_epoch: float) -> TrainingConfig:
        """The config with every length in steps."""

        def in_steps(value: int | str | None) -> int | None:
            return math.ceil(batches_per_epoch) if isinstance(value, str) else value

        steps = self.config.steps
        if self.epochs is not None:
            steps = max(1, math.ceil(self.epochs * batches_per_epoch))
        evaluate = in_steps(self.evaluate_every)
        save = in_steps(self.save_every) if self.save_every is not None else evaluate
        return dataclasses.replace(
            self.config, steps=steps, evaluate_every=evaluate, save_every=save
        )

    def to_dict(self) -> dict[str, Any]:
        """As it is written in a recipe."""
        data = to_plain(self.config)
        data.update(epochs=self.epochs, evaluate_every=self.evaluate_every,
                    save_every=self.save_every)  # fmt: skip
        if self.epochs is not None:
            del data["steps"]
        return data


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationConfig:
    """A task of :mod:`textzoo.evaluation` that is measured during training.

    Attributes:
        task: see :data:`textzoo.evaluation.TASKS`.
        path: its data.
        split: which part of it.
        name: of its metrics, ``"stsb"`` for ``"stsb/spearman"``; that of the task if absent.
    """

    task: str
    path: str
    split: str = "dev"
    name: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A training run as data; see ``scripts/recipes`` for examples.

    Attributes:
        kind: one of :data:`KINDS`.
        model, data, objective, training: see their classes.
        evaluation: tasks.
        name: of the run and the model; that of the file if absent.
    """

    kind: str
    model: ModelSection
    data: DataSection
    objective: ObjectiveSection
    training: TrainingSection
    evaluation: tuple[EvaluationConfig, ...] = ()
    name: str = "recipe"

    @classmethod
    def load(cls, path: str | Path, overrides: Sequence[str] = ()) -> "Recipe":
        """Reads a TOML file.

        Args:
            path: of the file.
            overrides: ``key.path=value``; see :func:`textzoo.recipes.reading.apply_overrides`.

        Raises:
            ConfigError: the file is no recipe; the message names the key.
        """
        data = apply_overrides(read_toml(Path(path)), overrides)
        try:
            return cls.from_dict({"name": Path(path).stem, **data})
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Recipe":
        """Reads what :meth:`to_dict` wrote, or nested tables as in a file."""
        from textzoo.recipes.objectives import read_objective

        check_keys(data, [field.name for field in dataclasses.fields(cls)], "a recipe")
        missing = [key for key in ("kind", "model", "data", "training") if key not in data]
        if missing:
            raise ConfigError(f"a recipe needs {', '.join(missing)}")
        kind = data["kind"]
        if kind not in KINDS:
            raise ConfigError(f"kind is {kind!r}; {closest(str(kind), KINDS)}")
        recipe = cls(
            kind=kind,
            model=read_section(ModelSection, data["model"], "model"),
            data=read_section(DataSection, _with_source_tables(data["data"]), "data"),
            objective=read_objective(kind, data.get("objective", {})),
            training=TrainingSection.read(data["training"]),
            evaluation=convert(
                data.get("evaluation", ()), tuple[EvaluationConfig, ...], "evaluation"
            ),
            name=convert(data.get("name", "recipe"), str, "name"),
        )
        recipe.check()
        return recipe

    def check(self) -> None:
        """Raises :class:`ConfigError` when sections do not go together."""
        if self.data.packing is None:
            return
        if self.kind != "mlm":
            raise ConfigError(
                f"data.packing={self.data.packing!r} is for recipes of kind 'mlm'; leave it out"
            )
        lengths = (self.training.evaluate_every, self.training.save_every)
        if self.training.epochs is not None or "epoch" in lengths:
            raise ConfigError(
                "data.packing: how many packed rows an epoch has is known late; give training "
                "lengths in steps"
            )

    def to_dict(self) -> dict[str, Any]:
        """The recipe as JSON types, with every default written out."""
        return {
            "name": self.name,
            "kind": self.kind,
            "model": to_plain(self.model),
            "data": to_plain(self.data),
            "objective": {"type": self.objective.type, **to_plain(self.objective.options)},
            "training": self.training.to_dict(),
            "evaluation": to_plain(self.evaluation),
        }

    def to_json(self) -> str:
        """The recipe as it is kept beside a run."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"


def _with_source_tables(data: Any) -> Any:
    """Paths that stand for whole sources become tables, and one source a list of one."""
    if not isinstance(data, Mapping):
        return data
    result = dict(data)
    for key in ("sources", "held_out"):
        value = result.get(key)
        if isinstance(value, str | Mapping):
            value = [value]
        if isinstance(value, Sequence):
            result[key] = [{"path": v} if isinstance(v, str) else v for v in value]
    return result
