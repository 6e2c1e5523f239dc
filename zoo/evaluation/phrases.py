"""Tasks of phrases: relatedness, synonyms, paraphrases, names, groups; and all of them together."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from textzoo.errors import DataError
from textzoo.evaluation.classification import LabeledTexts
from textzoo.evaluation.clustering import ClusteringData, clustering
from textzoo.evaluation.matching import ChoiceData, MatchingData, NameTable, choice, matching
from textzoo.evaluation.pair_probe import LabeledPairs, pair_probe
from textzoo.evaluation.results import Result
from textzoo.evaluation.scoring import SupportsEncode
from textzoo.evaluation.sts import StsPairs, sts
from textzoo.text_files import existing, get, read_jsonl, read_tsv

PhraseData = StsPairs | ChoiceData | LabeledPairs | MatchingData | ClusteringData


@dataclasses.dataclass(frozen=True, kw_only=True)
class PhraseSuite:
    """The tasks of phrases whose data there is, by name."""

    tasks: Mapping[str, PhraseData]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PhraseSuiteResult(Result):
    """One figure for each task of phrases.

    Attributes:
        mean: over the tasks.
        tasks: Pearson for ``bird``, NMI for groups, accuracy for all others.
    """

    mean: float
    tasks: Mapping[str, float]


def phrase_suite(
    encoder: SupportsEncode, data: PhraseSuite, *, prompt: str | None = None,
    truncate_dim: int | None = None,
) -> PhraseSuiteResult:  # fmt: skip
    """Measures an encoder on every task; the mean weighs them equally, as PEARL's does.

    Args:
        encoder: anything with ``encode(list[str]) -> [N, E]``.
        data: see :func:`read_suite`.
        prompt: given to ``encode`` when not ``None``.
        truncate_dim: the same.
    """
    options = {"prompt": prompt, "truncate_dim": truncate_dim}
    scores = {name: _score(encoder, task, options) for name, task in data.tasks.items()}
    return PhraseSuiteResult(mean=float(np.mean(list(scores.values()))), tasks=scores)


def _score(encoder: SupportsEncode, data: PhraseData, options: Any) -> float:
    if isinstance(data, StsPairs):
        return sts(encoder, data, **options).pearson
    if isinstance(data, ChoiceData):
        return choice(encoder, data, **options).accuracy
    if isinstance(data, LabeledPairs):
        return pair_probe(encoder, data, **options).accuracy
    if isinstance(data, MatchingData):
        return matching(encoder, data, **options).accuracy
    return clustering(encoder, data, **options).nmi


def read_bird(path: Path, split: str) -> StsPairs:
    """Reads BiRD: ``term1, term2, relatedness_score``."""
    file = _file(path, split)
    rows = _rows(file, ("term1", "term2", "relatedness_score"))
    scores = [_number(row[2], file) for row in rows]
    return StsPairs(
        first=[row[0] for row in rows], second=[row[1] for row in rows], scores=np.array(scores)
    )


def read_turney(path: Path, split: str) -> ChoiceData:
    """Reads Turney's questions: ``bigram, solution``, its two words, and four other answers."""
    rows = _rows(_file(path, split), ("bigram", "solution", "other3", "other4", "other5", "other6"))
    return ChoiceData(questions=[row[0] for row in rows], answers=[row[1:] for row in rows])


def read_pairs(path: Path, split: str) -> LabeledPairs:
    """Reads PPDB pairs: ``phrase1, phrase2, label`` (``pos`` or ``neg``)."""
    file = _file(path, split)
    rows = _rows(file, ("phrase1", "phrase2", "label"))
    for row in rows:
        if row[2] not in ("pos", "neg"):
            raise DataError(f"{file}: label {row[2]!r} is neither pos nor neg")
    return LabeledPairs(
        first=[row[0] for row in rows], second=[row[1] for row in rows],
        labels=np.array([row[2] == "pos" for row in rows]),
    )  # fmt: skip


def read_aliases(path: Path, split: str) -> MatchingData:
    """Reads ``mention, entity``; all entities of the file are candidates."""
    file = _file(path, split)
    rows = _rows(file, ("mention", "entity"))
    table = NameTable(
        queries=[row[0] for row in rows], answers=[row[1] for row in rows],
        candidates=list(dict.fromkeys(row[1] for row in rows)),
    )  # fmt: skip
    return MatchingData(tables={file.stem: table})


def read_fuzzy_joins(path: Path, split: str) -> MatchingData:
    """Reads AutoFJ: ``<table>.left.tsv``, ``.right.tsv`` and ``.gt.tsv``; there are no splits."""
    tables = {}
    for gold in sorted(path.glob("*.gt.tsv*")) if path.is_dir() else ():
        name = gold.name.split(".gt.tsv")[0]
        pairs = {row[1]: row[0] for row in _rows(gold, ("title_l", "title_r"))}
        left = [row[0] for row in _rows(existing(path, f"{name}.left.tsv"), ("title",))]
        right = [row[0] for row in _rows(existing(path, f"{name}.right.tsv"), ("title",))]
        asked = [title for title in right if title in pairs]
        tables[name] = NameTable(
            queries=asked, candidates=list(dict.fromkeys(left)),
            answers=[pairs[title] for title in asked],
        )  # fmt: skip
    if not tables:
        raise DataError(f"{path} has no <table>.gt.tsv; give the folder with AutoFJ's tables")
    return MatchingData(tables=tables)


def read_entities(path: Path, split: str) -> ClusteringData:
    """Reads ``tokens`` and ``ner`` (first and last token, type) of ``<split>.jsonl``."""
    file = path if path.is_file() else existing(path, f"{split}.jsonl")
    texts, labels = [], []
    for row in read_jsonl(file):
        tokens = get(row, "tokens", str(file))
        for first, last, kind in get(row, "ner", str(file)):
            texts.append(" ".join(tokens[first : last + 1]))
            labels.append(str(kind))
    return ClusteringData(texts=LabeledTexts(texts=texts, labels=labels))


def groups_reader(name: str) -> Callable[[Path, str], ClusteringData]:
    """A reader of ``label, text`` in ``<name>.tsv``, which has no splits."""

    def read(path: Path, split: str) -> ClusteringData:
        if path.is_dir() and not any(path.glob(f"{name}.tsv*")):
            path = path / "short_text_clustering"
        file = path if path.is_file() else existing(path, f"{name}.tsv")
        rows = _rows(file, ("label", "text"))
        return ClusteringData(
            texts=LabeledTexts(texts=[row[1] for row in rows], labels=[row[0] for row in rows])
        )

    return read


SUITE: Mapping[str, Callable[[Path, str], PhraseData]] = {
    "bird": read_bird,
    "turney": read_turney,
    "ppdb_filtered": read_pairs,
    "yago_alias": read_aliases,
    "autofj": read_fuzzy_joins,
    "bc5cdr": read_entities,
}
"""What ``textzoo evaluate MODEL phrases`` measures."""


def read_suite(path: Path, split: str) -> PhraseSuite:
    """Reads every task of :data:`SUITE` from the folder of its name, those that there are."""
    there = {name: read for name, read in SUITE.items() if (path / name).is_dir()}
    if not there:
        raise DataError(f"{path} has none of the folders {', '.join(SUITE)}")
    return PhraseSuite(tasks={name: read(path / name, split) for name, read in there.items()})


def _file(path: Path, split: str) -> Path:
    return path if path.is_file() else existing(path, f"{split}.tsv")


def _rows(path: Path, columns: tuple[str, ...]) -> list[tuple[str, ...]]:
    rows = list(read_tsv(path, columns))
    if not rows:
        raise DataError(f"{path} holds no rows below its header")
    return rows


def _number(text: str, path: Path) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{path}: score {text!r} is not a number")
    return value
