"""The table of evaluation tasks: how the folder of each is read.

A path may be the folder of the task itself or the folder that holds it under the task's name.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from textzoo.errors import DataError, TextzooError, closest
from textzoo.evaluation.classification import LabeledTexts
from textzoo.evaluation.propositions import PropositionData, read_propositions
from textzoo.evaluation.retrieval import RetrievalData
from textzoo.evaluation.sts import StsPairs
from textzoo.text_files import get, read_jsonl, read_tsv

Kind = Literal["sts", "retrieval", "classification", "propositions"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassificationData:
    """Texts to train a probe on and texts to test it on; ``None`` for cross-validation."""

    train: LabeledTexts
    test: LabeledTexts | None


TaskData = StsPairs | RetrievalData | ClassificationData | PropositionData


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """A task by name.

    Attributes:
        name: what ``textzoo evaluate`` calls it.
        kind: which measurement it is.
        summary: one line.
        read: reads a path and a split.
    """

    name: str
    kind: Kind
    summary: str
    read: Callable[[Path, str], TaskData]


class UnknownTaskError(TextzooError, KeyError):
    """A task name that is not in the table."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


def get_task(name: str) -> Task:
    """The task of that name; unknown names suggest the closest ones."""
    if name not in TASKS:
        raise UnknownTaskError(f"no task is named {name!r}; {closest(name, TASKS)}")
    return TASKS[name]


def read_task(name: str, path: str | Path, split: str = "test") -> TaskData:
    """Reads the data of a task.

    Args:
        name: a key of :data:`TASKS`.
        path: the task's folder, or a folder that holds it under its name; for ``sts`` and
            ``classification`` also a single TSV file.
        split: which part to score; a probe always trains on ``train``.

    Raises:
        UnknownTaskError: no such task.
        DataError: a file or column is missing, or holds no rows.
    """
    task = get_task(name)
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path} does not exist; give the folder with the data of {name}")
    return task.read(path / name if (path / name).is_dir() else path, split)


def read_sts(path: Path, split: str) -> StsPairs:
    """Reads ``sentence1, sentence2, score`` from a TSV file, or from ``<split>.tsv``."""
    path = path if path.is_file() else _find(path, f"{split}.tsv")
    rows = list(read_tsv(path, ("sentence1", "sentence2", "score")))
    if len(rows) < 2:
        raise DataError(f"{path} holds {len(rows)} pairs; a correlation needs at least 2")
    scores = [_number(score, path, line) for line, (_, _, score) in enumerate(rows, start=2)]
    return StsPairs(
        first=[row[0] for row in rows], second=[row[1] for row in rows], scores=np.array(scores)
    )


def read_beir(path: Path, split: str) -> RetrievalData:
    """Reads a BEIR folder: ``corpus.jsonl``, ``queries.jsonl`` and the judgments of a split.

    The judgments are ``qrels/<split>.tsv``, ``qrels.<split>.tsv`` or ``qrels.jsonl``, with
    ``query-id``, ``corpus-id`` and ``score``. A document's text is its title, a space, its text.
    """
    if not path.is_dir():
        raise DataError(f"{path} is not a folder; BEIR data is a folder with corpus.jsonl in it")
    corpus_path, queries_path = _find(path, "corpus.jsonl"), _find(path, "queries.jsonl")
    corpus = {
        str(get(row, "_id", str(corpus_path))): (
            f"{row.get('title') or ''} {get(row, 'text', str(corpus_path))}".strip()
        )
        for row in read_jsonl(corpus_path)
    }
    queries = {
        str(get(row, "_id", str(queries_path))): str(get(row, "text", str(queries_path)))
        for row in read_jsonl(queries_path)
    }
    judgments_path = _find(path, f"qrels/{split}.tsv", f"qrels.{split}.tsv", "qrels.jsonl")
    columns = ("query-id", "corpus-id", "score")
    if "jsonl" in judgments_path.name:
        rows = [
            tuple(str(get(row, column, str(judgments_path))) for column in columns)
            for row in read_jsonl(judgments_path)
        ]
    else:
        rows = list(read_tsv(judgments_path, columns))
    qrels: dict[str, dict[str, float]] = {}
    for line, (query, document, score) in enumerate(rows, start=2):
        qrels.setdefault(query, {})[document] = _number(score, judgments_path, line)
    for what, found in ((corpus_path, corpus), (queries_path, queries), (judgments_path, qrels)):
        if not found:
            raise DataError(f"{what} holds no rows")
    return RetrievalData(queries=queries, corpus=corpus, qrels=qrels)


def labeled_reader(label: str = "label", *texts: str) -> Callable[[Path, str], ClassificationData]:
    """A reader of classification TSV files; several text columns are joined by a space.

    A folder holds ``train.tsv`` and ``<split>.tsv``, or one ``data.tsv`` for cross-validation; a
    single file is cross-validated too.
    """
    columns = (label, *(texts or ("text",)))

    def labeled(path: Path) -> LabeledTexts:
        rows = list(read_tsv(path, columns))
        if not rows:
            raise DataError(f"{path} holds no rows below its header")
        return LabeledTexts(
            labels=[row[0] for row in rows], texts=[" ".join(row[1:]).strip() for row in rows]
        )

    def read(path: Path, split: str) -> ClassificationData:
        if path.is_file():
            return ClassificationData(train=labeled(path), test=None)
        train = _find(path, "train.tsv", "data.tsv")
        if train.name.startswith("data."):
            return ClassificationData(train=labeled(train), test=None)
        return ClassificationData(train=labeled(train), test=labeled(_find(path, f"{split}.tsv")))

    return read


def _find(folder: Path, *names: str) -> Path:
    """The first of several files that exists, plain or gzip."""
    for name in names:
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    there = sorted(path.name for path in folder.iterdir())[:12]
    raise DataError(
        f"{folder} has no {' or '.join(names)} (plain or .gz); it holds: {', '.join(there) or '-'}"
    )


def _number(text: str, path: Path, line: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{path}, line {line}: score {text!r} is not a number")
    return value


def _task(name: str, kind: Kind, summary: str, read: Callable[[Path, str], TaskData]) -> Task:
    return Task(name=name, kind=kind, summary=summary, read=read)


TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        _task("stsb", "sts", "STS Benchmark: sentence pairs, scored 0 to 5", read_sts),
        _task("scifact", "retrieval", "scientific claims to abstracts", read_beir),
        _task("limit_small", "retrieval", "LIMIT: which people like a thing", read_beir),
        _task("ag_news", "classification", "news by topic, 4 classes",
              labeled_reader("label", "title", "description")),
        _task("sst2", "classification", "movie-review sentences, 2 classes",
              labeled_reader("label", "sentence")),
        _task("trec", "classification", "questions by type of answer, 6 classes",
              labeled_reader("coarse_label", "question")),
        _task("cr", "classification", "customer reviews, 2 classes, cross-validated",
              labeled_reader("label", "sentence")),
        _task("mpqa", "classification", "opinion phrases, 2 classes, cross-validated",
              labeled_reader("label", "sentence")),
        _task("imdb_small", "classification", "whole movie reviews, 2 classes",
              labeled_reader("label", "text")),
        _task("propsegment", "propositions", "claims that another document makes too",
              read_propositions),
        _task("sts", "sts", "your own TSV: sentence1, sentence2, score", read_sts),
        _task("beir", "retrieval", "your own folder in BEIR layout", read_beir),
        _task("classification", "classification", "your own TSV: label, text", labeled_reader()),
        _task("propositions", "propositions", "your own JSONL: text, document, spans, labels",
              read_propositions),
    )
}  # fmt: skip
"""What ``textzoo evaluate`` can measure, by name."""
