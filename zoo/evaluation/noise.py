"""Noise curves: how much of a score is left when texts have mistakes in them."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from textzoo.errors import ConfigError, DataError
from textzoo.evaluation.classification import LabeledTexts, score_probe
from textzoo.evaluation.metrics import Interval
from textzoo.evaluation.results import Result
from textzoo.evaluation.retrieval import RetrievalData, judged_queries, rank, score_ranking
from textzoo.evaluation.scoring import SupportsEncode, encode_texts, similarity_of
from textzoo.evaluation.sts import StsPairs, score_sts
from textzoo.evaluation.tasks import ClassificationData, TaskData
from textzoo.noise import Noise, share_changed

RATES = (0.05, 0.1, 0.2)
"""Rates of the cards' noise, besides none."""
SIDES = ("one", "two")
_RECALL_AT = 10

Side = Literal["none", "one", "two"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoisePoint(Result):
    """A score under one noise.

    Attributes:
        noise: its name; ``"none"`` for clean texts.
        sides: which texts have mistakes, see :func:`noise_curve`.
        rate: share of the characters, or words, that should be changed.
        changed: share of them that was changed, in the texts that have mistakes.
        score: see :attr:`NoiseCurve.measure`.
        interval: of the score, 95%.
        kept: the score as a share of that of clean texts.
    """

    noise: str
    sides: Side
    rate: float
    changed: float
    score: float
    interval: Interval
    kept: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoiseCurve(Result):
    """Scores of an encoder on one task, with more and more mistakes.

    Attributes:
        measure: ``"spearman"``, ``"ndcg_at_10"`` or ``"accuracy"``.
        points: clean texts first.
        asked: how many texts there are on the side that always has mistakes.
        stored: on the other side.
    """

    measure: str
    points: tuple[NoisePoint, ...]
    asked: int
    stored: int

    @property
    def clean(self) -> float:
        """The score of clean texts."""
        return self.points[0].score

    def at(self, noise: str, sides: str, rate: float) -> NoisePoint:
        """The point of a noise, sides and rate; for rate 0 that of clean texts."""
        for point in self.points:
            if rate == 0 or (point.noise, point.sides, point.rate) == (noise, sides, rate):
                return point
        known = ", ".join(f"({p.noise!r}, {p.sides!r}, {p.rate:g})" for p in self.points)
        raise KeyError(f"no point ({noise!r}, {sides!r}, {rate:g}); there are: {known}")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; an undefined value (NaN) becomes ``None``."""
        return {**super().to_dict(), "points": [point.to_dict() for point in self.points]}


def noise_curve(
    encoder: SupportsEncode,
    data: TaskData,
    noises: Mapping[str, Noise],
    *,
    rates: Sequence[float] = RATES,
    sides: Sequence[str] = SIDES,
    prompt: str | None = None,
    truncate_dim: int | None = None,
    on_point: Callable[[NoisePoint], None] = lambda point: None,
) -> NoiseCurve:
    """Measures an encoder on clean texts, then on the same texts with mistakes.

    A task has two sides: what is stored, and what is asked. With mistakes on one side, only what
    is asked has some: the second sentence of a pair, the query, the text to be classified. With
    mistakes on two sides, what is stored has some as well: the first sentence, the documents, the
    texts that the probe is trained on. The sides have different mistakes, so that a text asked is
    not equal to the same text stored.

    The score of clean texts is that of :func:`textzoo.evaluation.evaluate`.

    Args:
        encoder: anything with ``encode(list[str]) -> [N, E]``.
        data: from :func:`textzoo.evaluation.read_task`. A classification needs texts to test.
        noises: by name; their rates are replaced by ``rates``.
        rates: 0 may be among them, or not: clean texts are measured in any case.
        sides: of ``"one"`` and ``"two"``; ``"one"`` alone never encodes what is stored again.
        prompt: given to ``encode``; retrieval uses ``encode_query`` and ``encode_document``.
        truncate_dim: given to ``encode`` when not ``None``.
        on_point: told every point when it is known.

    Raises:
        ConfigError: a side or a rate that there is not.
        DataError: a classification that is cross-validated, which has no two sides.

    Example:
        >>> from textzoo.evaluation import StsPairs
        >>> from textzoo.noise import CharacterNoise
        >>> class Letters:
        ...     def encode(self, texts):
        ...         return np.array([[t.count(c) for c in "abcd"] for t in texts], np.float32)
        ...
        >>> pairs = StsPairs(
        ...     first=["aa", "bb", "ab"], second=["ab", "cd", "bb"], scores=np.arange(3.0)
        ... )
        >>> noises = {"drop": CharacterNoise(edits=("drop",))}
        >>> curve = noise_curve(Letters(), pairs, noises, rates=(0.5,))
        >>> [(point.noise, point.sides, point.changed) for point in curve.points]
        [('none', 'none', 0.0), ('drop', 'one', 0.5), ('drop', 'two', 0.5)]
    """
    for side in sides:
        if side not in SIDES:
            raise ConfigError(f"sides has {side!r}; use some of {', '.join(SIDES)}")
    if not noises or not sides:
        raise ConfigError("give at least one noise and one side, such as sides=('two',)")
    halves = _halves(encoder, data)
    stored, asked = halves.stored.texts, halves.asked.texts
    options = {"prompt": prompt, "truncate_dim": truncate_dim}
    clean_stored = halves.stored.encode(encoder, stored, options)
    clean = halves.score(clean_stored, halves.asked.encode(encoder, asked, options))
    points = [_point("none", "none", 0.0, 0.0, clean, clean)]
    on_point(points[0])
    for name, noise in noises.items():
        for rate in sorted(rate for rate in set(rates) if rate != 0):
            # Never the same mistakes on both sides.
            here = noise.with_options(rate=rate, seed=2 * noise.seed)
            there = noise.with_options(rate=rate, seed=2 * noise.seed + 1)
            noisy = halves.asked.encode(encoder, here(asked), options)
            share = share_changed(here, asked)
            if "one" in sides:
                score = halves.score(clean_stored, noisy)
                points.append(_point(name, "one", rate, share, score, clean))
                on_point(points[-1])
            if "two" in sides:
                score = halves.score(halves.stored.encode(encoder, there(stored), options), noisy)
                share = (share + share_changed(there, stored)) / 2
                points.append(_point(name, "two", rate, share, score, clean))
                on_point(points[-1])
    return NoiseCurve(
        measure=halves.measure, points=tuple(points), asked=len(asked), stored=len(stored)
    )


def _point(
    noise: str, sides: Side, rate: float, changed: float, score: "Score", clean: "Score"
) -> NoisePoint:
    kept = score[0] / clean[0] if clean[0] else math.nan
    return NoisePoint(
        noise=noise, sides=sides, rate=rate, changed=changed, score=score[0], interval=score[1],
        kept=kept,
    )  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Half:
    """The texts of one side, and the method that encodes them."""

    texts: Sequence[str]
    method: str = "encode"

    def encode(
        self, encoder: SupportsEncode, texts: Sequence[str], options: Mapping[str, Any]
    ) -> Float[np.ndarray, "N E"]:
        """Vectors of texts of this side; queries and documents have prompts of their own."""
        given = dict(options)
        if self.method != "encode":
            del given["prompt"]
        return encode_texts(encoder, texts, method=self.method, **given)


Stored = Float[np.ndarray, "N E"]
Asked = Float[np.ndarray, "M E"]
Score = tuple[float, Interval]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Halves:
    """A task cut in two, and the score of the vectors of its halves."""

    measure: str
    stored: _Half
    asked: _Half
    score: Callable[[Stored, Asked], Score]


def _halves(encoder: SupportsEncode, data: TaskData) -> _Halves:
    if isinstance(data, StsPairs):
        return _sts(encoder, data)
    if isinstance(data, RetrievalData):
        return _retrieval(encoder, data)
    return _classification(_labeled(data))


def _labeled(data: TaskData) -> ClassificationData:
    if not isinstance(data, ClassificationData):
        raise ConfigError(
            f"mistakes are not made in {type(data).__name__}; use a task of similarity, retrieval "
            "or classification"
        )
    return data


def _sts(encoder: SupportsEncode, data: StsPairs) -> _Halves:
    similarity = similarity_of(encoder, None)

    def score(first: Stored, second: Asked) -> Score:
        result = score_sts(first, second, data.scores, similarity=similarity)
        return result.spearman, result.spearman_interval

    return _Halves(
        measure="spearman", stored=_Half(texts=data.first), asked=_Half(texts=data.second),
        score=score,
    )  # fmt: skip


def _retrieval(encoder: SupportsEncode, data: RetrievalData) -> _Halves:
    similarity = similarity_of(encoder, None)
    judged = judged_queries(data.queries, data.corpus, data.qrels)
    # As in `retrieval`: equal scores are ranked by descending id.
    documents = sorted(data.corpus, reverse=True)

    def score(stored: Stored, asked: Asked) -> Score:
        ranked = rank(asked, stored, list(judged), documents, k=_RECALL_AT, similarity=similarity)
        result = score_ranking(ranked, judged, documents=documents, recall_at=(_RECALL_AT,))
        return result.ndcg_at_10, result.ndcg_interval

    return _Halves(
        measure="ndcg_at_10",
        stored=_Half(texts=[data.corpus[d] for d in documents], method="encode_document"),
        asked=_Half(texts=[data.queries[q] for q in judged], method="encode_query"),
        score=score,
    )


def _classification(data: ClassificationData) -> _Halves:
    test = data.test
    if test is None:
        raise DataError(
            "a noise curve needs texts to test apart from those to train on, and this "
            "classification is cross-validated; give a folder with train.tsv and test.tsv"
        )

    def score(stored: Stored, asked: Asked) -> Score:
        result = score_probe(stored, data.train.labels, asked, test.labels)
        return result.accuracy, result.accuracy_interval

    return _Halves(
        measure="accuracy", stored=_Half(texts=data.train.texts), asked=_Half(texts=test.texts),
        score=score,
    )  # fmt: skip


def take_some(data: TaskData, limit: int, *, seed: int = 0) -> TaskData:
    """At most so many pairs, texts of each side, or queries and documents, drawn by chance.

    A corpus keeps the documents that are relevant to the queries that are kept, even when these
    are more than ``limit``. Fewer documents are easier to search: compare scores of one limit only.

    Args:
        data: of a task.
        limit: 1 or more.
        seed: of the draw.
    """
    if limit < 1:
        raise ConfigError(f"limit={limit}; use 1 or more")
    rng = np.random.default_rng(seed)

    def some(count: int) -> np.ndarray:
        return np.sort(rng.permutation(count)[:limit])

    if isinstance(data, StsPairs):
        rows = some(len(data))
        return StsPairs(
            first=[data.first[row] for row in rows], second=[data.second[row] for row in rows],
            scores=np.asarray(data.scores)[rows],
        )  # fmt: skip
    if isinstance(data, RetrievalData):
        judged = judged_queries(data.queries, data.corpus, data.qrels)
        queries = [list(judged)[row] for row in some(len(judged))]
        wanted = {d for query in queries for d, gain in judged[query].items() if gain > 0}
        others = [document for document in data.corpus if document not in wanted]
        room = max(0, limit - len(wanted))
        wanted.update(others[row] for row in rng.permutation(len(others))[:room])
        return RetrievalData(
            queries={query: data.queries[query] for query in queries},
            corpus={d: text for d, text in data.corpus.items() if d in wanted},
            qrels={query: judged[query] for query in queries},
        )
    labeled = _labeled(data)
    parts = [part and _rows(part, some(len(part))) for part in (labeled.train, labeled.test)]
    train, test = parts
    assert train is not None
    return ClassificationData(train=train, test=test)


def _rows(texts: LabeledTexts, rows: np.ndarray) -> LabeledTexts:
    return LabeledTexts(
        texts=[texts.texts[row] for row in rows], labels=[texts.labels[row] for row in rows]
    )
