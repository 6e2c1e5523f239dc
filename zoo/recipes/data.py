"""The rows of a recipe as training data, and rows held out."""

import dataclasses
import functools
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from textzoo.errors import ConfigError, DataError
from textzoo.loading import load
from textzoo.modules import Tokenizer
from textzoo.recipes.noise import with_noise
from textzoo.recipes.objectives import TYPES, masking_of
from textzoo.recipes.recipe import DataSection, Recipe
from textzoo.recipes.rows import open_sources, split_rows
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.data import (
    Column,
    Field,
    Mixture,
    PackedData,
    Source,
    TextData,
    WithVectors,
)
from textzoo.trainers.data.batched import BatchedData
from textzoo.trainers.data.collate import Collator
from textzoo.trainers.data.fields import Kind
from textzoo.trainers.evaluation import HeldOut
from textzoo.trainers.vector_cache import cached_vectors

TEACHER = "teacher"
"""Column of a teacher's vectors."""
_TEXTS_AT_ONCE = 4096
_SAMPLED_ROWS = 512


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows that were opened.

    Attributes:
        train: sources to train on.
        held_out: sources to measure on.
        classes: names of the classes, where labels are classes.
    """

    train: tuple[Source, ...]
    held_out: tuple[Source, ...]
    classes: tuple[str, ...]

    @property
    def count(self) -> int:
        """Rows to train on."""
        return sum(len(source) for source in self.train)


def open_rows(recipe: Recipe) -> Rows:
    """Opens the files of a recipe.

    Raises:
        DataError: there are none, one is missing, or one lacks a column.
    """
    section, kind = recipe.data, labels_kind(recipe)
    if not section.sources:
        raise DataError(
            "data.sources is empty; name the files to train on, such as "
            "data.sources=train.tsv on the command line"
        )
    wanted: dict[str, Any] = {"labels": kind, "targets": _target_kind(recipe)}
    train, classes = open_sources(section.sources, section, classes=section.classes, **wanted)
    held_out: list[Source] = []
    if isinstance(section.held_out, tuple):
        held_out, _ = open_sources(section.held_out, section, classes=classes, **wanted)
    elif section.held_out:
        train, held_out = split_rows(train, section.held_out, section.seed)
    return Rows(train=tuple(train), held_out=tuple(held_out), classes=classes)


def labels_kind(recipe: Recipe) -> str | None:
    """What the labels of a recipe are, if its objective reads them.

    Raises:
        ConfigError: it needs labels and the recipe names no column.
    """
    entry = TYPES[recipe.objective.type]
    if recipe.data.labels is None and entry.labels is not None and entry.needs_labels:
        raise ConfigError(
            f"objective {recipe.objective.type!r} needs labels; name their column: "
            'data.labels="label"'
        )
    if entry.needs_targets and not recipe.data.targets and recipe.data.teacher is None:
        raise ConfigError(
            f"objective {recipe.objective.type!r} needs what a teacher says: give data.targets, "
            "columns of the files" + (
                ", or data.teacher, a model" if recipe.objective.type == "vectors" else ""
            )
        )  # fmt: skip
    if entry.needs_spans != bool(recipe.data.spans):
        raise ConfigError(
            f"objective {recipe.objective.type!r} compares spans; name their columns: "
            'data.spans = {sentence = "spans"}, data.span_labels = {sentence = "labels"}'
            if entry.needs_spans
            else f"data.spans: objective {recipe.objective.type!r} compares whole texts; leave "
            "spans and span_labels out, or use objective.type=sub_sentence"
        )
    if recipe.data.teacher is not None and recipe.objective.type != "vectors":
        raise ConfigError(
            f"data.teacher gives vectors, which objective {recipe.objective.type!r} has no use "
            "for; use objective.type=vectors, or give data.targets"
        )
    return entry.labels if recipe.data.labels is not None else None


def with_teacher(recipe: Recipe, rows: Rows, folder: Path) -> Rows:
    """Adds the teacher's vectors to every row; computed once, and kept in ``folder``."""
    if recipe.data.teacher is None:
        return rows
    folder = Path(recipe.data.cache) if recipe.data.cache is not None else folder
    teacher = load(recipe.data.teacher)
    column = recipe.data.columns[0]

    def add(source: Source) -> Source:
        def blocks() -> Iterable[np.ndarray]:
            for begin in range(0, len(source), _TEXTS_AT_ONCE):
                found = source.read(range(begin, min(begin + _TEXTS_AT_ONCE, len(source))))
                yield teacher.encode([row[column] for row in found], prompt="")

        identity = {"rows": source.fingerprint, "column": column, "teacher": teacher.name}
        name = hashlib.sha256(repr(identity).encode()).hexdigest()[:16]
        path = folder / f"teacher-{name}.npy"
        if jax.process_index() == 0:
            cached_vectors(path, identity, blocks, count=len(source), renew=True)
        if jax.process_count() > 1:
            from jax.experimental import multihost_utils

            multihost_utils.sync_global_devices(str(path.name))
        return WithVectors(source, TEACHER, path)

    return dataclasses.replace(
        rows, train=tuple(map(add, rows.train)), held_out=tuple(map(add, rows.held_out))
    )


def make_data(recipe: Recipe, rows: Rows, tokenizer: Tokenizer) -> BatchedData:
    """The rows to train on, as batches."""
    section = recipe.data
    weights = [source.weight for source in section.sources if source.weight is not None]
    mixture = Mixture(
        parts=with_noise(rows.train, section.noise, section.columns),
        weights=tuple(weights) or None,
        single_source_batches=section.single_source_batches,
    )  # fmt: skip
    if section.packing is not None:
        return _packed(recipe, mixture, tokenizer, seed=section.seed)
    return TextData(
        mixture, tokenizer, **_reading(recipe, rows.classes), seed=section.seed,
        tokenize_ahead=section.tokenize_ahead, group_by_length=section.group_by_length,
    )  # fmt: skip


def make_held_out(recipe: Recipe, rows: Rows, tokenizer: Tokenizer) -> dict[str, HeldOut]:
    """The rows to measure on, by the name of their metrics."""
    if not rows.held_out:
        return {}
    mixture = Mixture(parts=rows.held_out)
    data: BatchedData
    if recipe.data.packing is not None:
        data = _packed(recipe, mixture, tokenizer, shuffle=False)
    else:
        data = TextData(mixture, tokenizer, **_reading(recipe, rows.classes), shuffle=False)
    batches = functools.partial(
        data.evaluation_batches, process_index=jax.process_index(),
        process_count=jax.process_count(),
    )  # fmt: skip
    return {"held_out": HeldOut(batches=batches)}


def largest_batch(
    recipe: Recipe, tokenizer: Tokenizer, classes: Sequence[str], target_width: int
) -> TrainBatch:
    """A batch of the longest texts, empty: for plans.

    Args:
        recipe: says what a batch has.
        tokenizer: makes no difference but for special tokens.
        classes: names of the classes.
        target_width: of a vector of a teacher.
    """
    reading = _reading(recipe, classes)
    collate = Collator(
        tokenizer, reading["columns"], reading["lengths"] or (tokenizer.max_length,),
        labels=reading["labels"], targets=reading["targets"], keys=reading["keys"],
        word_ids=reading["word_ids"],
    )  # fmt: skip
    row: dict[str, Any] = {column: "" for column in recipe.data.columns}
    row |= {name: () for name in recipe.data.spans.values()}
    row |= {name: () for name in recipe.data.span_labels.values()}
    if reading["labels"] is not None:
        row[reading["labels"].name] = 0
    for field in reading["targets"]:
        row[field.name] = 0.0 if field.kind == "score" else np.zeros(target_width, np.float32)
    rows = [row]
    longest = [lengths[-1] for lengths in collate.lengths]
    tokenized = [tokens.widest() for tokens in collate.tokenize(rows)]
    batch, _ = collate(rows, tokenized, collate.hash(rows), recipe.data.batch_size, longest)
    if recipe.data.packing == "pack":
        zeros = np.zeros_like(batch.texts[0].ids)
        packed = batch.texts[0].replace(positions=zeros, segment_ids=zeros)
        batch = batch.replace(texts=(packed,))
    return batch.replace(row_mask=None)


def tokens_per_row(recipe: Recipe, rows: Rows, tokenizer: Tokenizer) -> float:
    """Tokens of a row, all columns together, as a sample of the rows has them."""
    total, seen = 0, 0
    for source in rows.train:
        places = np.linspace(0, len(source) - 1, min(_SAMPLED_ROWS, len(source))).astype(int)
        found = source.read(places)
        texts = [
            recipe.data.prefixes.get(column, "") + row[column]
            for row in found
            for column in recipe.data.columns
        ]
        longest = max(recipe.data.lengths or (tokenizer.max_length,))
        lengths = np.minimum(tokenizer(texts).lengths, longest)
        total += int(lengths.sum()) * len(source) // len(found)
        seen += len(source)
    return total / seen


def _packed(recipe: Recipe, mixture: Mixture, tokenizer: Tokenizer, **options: Any) -> PackedData:
    """Rows that are filled with several texts."""
    section, reading = recipe.data, _reading(recipe, ())
    shared = {name: reading[name] for name in ("batch_size", "word_ids", "strict", "cache")}
    packing: Any = section.packing
    return PackedData(
        mixture, tokenizer, column=section.columns[0], packing=packing,
        length=max(section.lengths or (tokenizer.max_length,)), **shared, **options,
    )  # fmt: skip


def _reading(recipe: Recipe, classes: Sequence[str]) -> dict[str, Any]:
    """The arguments that all data of a recipe share."""
    section = recipe.data
    kind = labels_kind(recipe)
    masking = masking_of(recipe.objective)
    return {
        "columns": tuple(
            Column(
                name=name,
                prefix=section.prefixes.get(name, ""),
                spans=section.spans.get(name),
                span_labels=section.span_labels.get(name),
                max_spans=section.max_spans,
            )
            for name in section.columns
        ),
        "batch_size": section.batch_size,
        "lengths": section.lengths or None,
        "labels": None if kind is None else _label_field(section, kind, classes),
        "targets": _targets(recipe),
        "keys": _has_keys(recipe),
        "word_ids": masking is not None and masking.needs_words,
        "strict": section.strict,
        "cache": None if section.cache is None else Path(section.cache),
    }


def _label_field(section: DataSection, kind: str, classes: Sequence[str]) -> Field:
    name = str(section.labels)
    if kind == "class":
        return Field(name=name, kind="class", classes=tuple(classes))
    return Field(name=name, kind="score")


def _target_kind(recipe: Recipe) -> Kind:
    # A teacher's scores and logits may stand in one column as a list, or in one column each.
    several = len(recipe.data.targets) > 1 and recipe.objective.type != "vectors"
    return "score" if several else "vector"


def _targets(recipe: Recipe) -> tuple[Field, ...]:
    names = recipe.data.targets if recipe.data.teacher is None else (TEACHER,)
    if not TYPES[recipe.objective.type].needs_targets:
        return ()
    return tuple(Field(name=name, kind=_target_kind(recipe)) for name in names)


def _has_keys(recipe: Recipe) -> bool:
    options = recipe.objective.options
    return TYPES[recipe.objective.type].has_keys and options.get("mask_duplicates", True)
