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
from textzoo.evaluation.phrases import (
    PhraseData,
    PhraseSuite,
    groups_reader,
    read_aliases,
    read_bird,
    read_entities,
    read_fuzzy_joins,
    read_pairs,
    read_suite,
    read_turney,
)
from textzoo.evaluation.propositions import PropositionData, read_propositions
from textzoo.evaluation.retrieval import RetrievalData
from textzoo.evaluation.sts import StsPairs
from textzoo.text_files import existing, get, read_jsonl, read_tsv

Kind = Literal[
    "sts", "retrieval", "classification", "propositions", "choice", "pairs", "matching",
    "clustering", "phrases",
]  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassificationData:
    """Texts to train a probe on and texts to test it on; ``None`` for cross-validation."""

    train: LabeledTexts
    test: LabeledTexts | None


TaskData = (
    StsPairs | RetrievalData | ClassificationData | PropositionData | PhraseData | PhraseSuite
)


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
    path = path if path.is_file() else existing(path, f"{split}.tsv")
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
    corpus_path, queries_path = existing(path, "corpus.jsonl"), existing(path, "queries.jsonl")
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
    judgments_path = existing(path, f"qrels/{split}.tsv", f"qrels.{split}.tsv", "qrels.jsonl")
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
        train = existing(path, "train.tsv", "data.tsv")
        if train.name.startswith("data."):
            return ClassificationData(train=labeled(train), test=None)
        return ClassificationData(
            train=labeled(train), test=labeled(existing(path, f"{split}.tsv"))
        )

    return read


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
        _task("phrases", "phrases", "all tasks of phrases that the folder has", read_suite),
        _task("bird", "sts", "BiRD: how related two-word terms are", read_bird),
        _task("turney", "choice", "two words, and five words that may mean the same", read_turney),
        _task("ppdb_filtered", "pairs", "phrases: paraphrases or not, by a probe", read_pairs),
        _task("yago_alias", "matching", "names of entities to their titles", read_aliases),
        _task("autofj", "matching", "names in one table to those in another", read_fuzzy_joins),
        _task("bc5cdr", "clustering", "chemicals and diseases in two clusters", read_entities),
        _task("searchsnippets", "clustering", "search results in 8 clusters",
              groups_reader("searchsnippets")),
        _task("stackoverflow", "clustering", "titles of questions in 20 clusters",
              groups_reader("stackoverflow")),
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
