"""The right one of several: choosing a synonym, and finding the other name of a thing."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from textzoo.errors import DataError
from textzoo.evaluation.metrics import Interval, wilson_interval
from textzoo.evaluation.results import Result
from textzoo.evaluation.scoring import SupportsEncode, encode_texts, similarity_of, top_k


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChoiceData:
    """Questions with several answers to choose from.

    Attributes:
        questions: texts.
        answers: of each question, the right answer first; equally many for all.
    """

    questions: Sequence[str]
    answers: Sequence[Sequence[str]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChoiceResult(Result):
    """How often the right answer has the largest product with its question.

    Attributes:
        accuracy: share of the questions.
        accuracy_interval: 95%, Wilson.
        chance: of guessing.
        questions: how many.
    """

    accuracy: float
    accuracy_interval: Interval
    chance: float
    questions: int


def choice(
    encoder: SupportsEncode, data: ChoiceData, *, prompt: str | None = None,
    truncate_dim: int | None = None,
) -> ChoiceResult:  # fmt: skip
    """Chooses for every question the answer with the largest dot product (Turney 2012).

    Args:
        encoder: anything with ``encode(list[str]) -> [N, E]``.
        data: of several questions.
        prompt: given to ``encode`` when not ``None``.
        truncate_dim: the same.

    Notes:
        The dot product, not the cosine, as in the code of Phrase-BERT. Where another answer's is as
        large, the question counts as missed; there the first answer, which is right, wins.
    """
    count = len(data.answers[0])
    texts = [*data.questions, *(answer for answers in data.answers for answer in answers)]
    vectors = encode_texts(encoder, texts, prompt=prompt, truncate_dim=truncate_dim)
    asked = vectors[: len(data.questions)]
    offered = vectors[len(data.questions) :].reshape(len(asked), count, -1)
    scores = np.einsum("qe,qae->qa", asked, offered)
    right = int((scores[:, 0] > scores[:, 1:].max(axis=1)).sum())
    return ChoiceResult(
        accuracy=right / len(asked), accuracy_interval=wilson_interval(right, len(asked)),
        chance=1 / count, questions=len(asked),
    )  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class NameTable:
    """Names to look up, and the list they are looked up in.

    Attributes:
        queries: names.
        candidates: the list, without repetitions.
        answers: of each query the candidate it means.
    """

    queries: Sequence[str]
    candidates: Sequence[str]
    answers: Sequence[str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MatchingData:
    """Tables of names, by name."""

    tables: Mapping[str, NameTable]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MatchingResult(Result):
    """How often the nearest candidate is the right one.

    Attributes:
        accuracy: mean over the tables.
        queries, candidates: of all tables together.
        tables: accuracy of each, where there are several.
    """

    accuracy: float
    queries: int
    candidates: int
    tables: Mapping[str, float]


def matching(
    encoder: SupportsEncode, data: MatchingData, *, prompt: str | None = None,
    truncate_dim: int | None = None,
) -> MatchingResult:  # fmt: skip
    """Finds the nearest candidate of every query, among all candidates of its table.

    Args:
        encoder: anything with ``encode(list[str]) -> [N, E]``.
        data: one table or more.
        prompt: given to ``encode`` when not ``None``.
        truncate_dim: the same.
    """
    similarity = similarity_of(encoder, None)
    found: dict[str, float] = {}
    for name, table in data.tables.items():
        texts = [*table.queries, *table.candidates]
        vectors = encode_texts(encoder, texts, prompt=prompt, truncate_dim=truncate_dim)
        count = len(table.queries)
        rows, _ = top_k(vectors[:count], vectors[count:], 1, similarity)
        nearest = [table.candidates[row] for row in rows[:, 0]]
        found[name] = float(np.mean([a == b for a, b in zip(nearest, table.answers, strict=True)]))
    if not found:
        raise DataError("there is no table to look names up in")
    return MatchingResult(
        accuracy=float(np.mean(list(found.values()))),
        queries=sum(len(table.queries) for table in data.tables.values()),
        candidates=sum(len(table.candidates) for table in data.tables.values()),
        tables=found if len(found) > 1 else {},
    )
