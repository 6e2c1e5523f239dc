"""Retrieval of propositions: is what says the same the nearest among all that texts say?"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from textzoo.errors import ConfigError, DataError
from textzoo.evaluation.metrics import Interval, wilson_interval
from textzoo.evaluation.results import Result
from textzoo.late_interaction import score_tokens, span_tokens
from textzoo.propositions.prop_segment import overlap, read_entailments, read_sentences
from textzoo.similarity import normalized
from textzoo.text_files import existing, get, read_jsonl

Pieces = tuple[tuple[int, int], ...]

# A proposition that an entailment names is one of its sentence's when they share so many words.
_SAME = 0.5
_BLOCK_SCORES = 1 << 24


@dataclasses.dataclass(frozen=True, kw_only=True)
class PropositionData:
    """Texts, what they say, and what of it is the same.

    Attributes:
        texts: sentences, or longer ones.
        documents: of each text the document it is from.
        claims: number of a text, and the stretches of its characters.
        relevant: of each claim that is asked for, the claims that say the same.
    """

    texts: Sequence[str]
    documents: Sequence[str]
    claims: Sequence[tuple[int, Pieces]]
    relevant: Mapping[int, frozenset[int]]

    @property
    def spans(self) -> list[list[Pieces]]:
        """The claims of each text, in the order of their numbers."""
        found: list[list[Pieces]] = [[] for _ in self.texts]
        for text, pieces in self.claims:
            found[text].append(pieces)
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class PropositionResult(Result):
    """How well propositions find what says the same; shares and cosines.

    *Across*: among the claims of all texts, without the one that is asked for (those of its own
    sentence stay). *Within*: among the claims of one document that has the answer, for every such
    document. MaxSim compares the same claims token by token, by the encoder's states, without any
    training for propositions; ``None`` where an encoder has no vectors of tokens.

    Attributes:
        precision_at_1: share of the claims whose nearest one says the same, across.
        precision_interval: 95%, Wilson.
        recall_at: share of what says the same among the nearest k, by k, across.
        within_precision_at_1: the same as ``precision_at_1``, within.
        within_recall_at_5: the same for recall, within.
        sibling_cosine: mean cosine of different claims of a text.
        same_cosine: mean cosine of claims that say the same.
        maxsim_precision_at_1, maxsim_recall_at_5, maxsim_within_precision_at_1,
        maxsim_within_recall_at_5: the same with MaxSim.
        queries, claims, texts: how many.
        lost: claims without a token, by truncation; they are neither asked for nor found.
    """

    precision_at_1: float
    precision_interval: Interval
    recall_at: Mapping[int, float]
    within_precision_at_1: float
    within_recall_at_5: float
    sibling_cosine: float
    same_cosine: float
    maxsim_precision_at_1: float | None
    maxsim_recall_at_5: float | None
    maxsim_within_precision_at_1: float | None
    maxsim_within_recall_at_5: float | None
    queries: int
    claims: int
    texts: int
    lost: int


def proposition_retrieval(
    encoder: Any, data: PropositionData, *, recall_at: Sequence[int] = (5, 10, 20),
    prompt: str | None = None, truncate_dim: int | None = None,
) -> PropositionResult:  # fmt: skip
    """Asks for every claim that has others like it.

    The protocol of the Sub-Sentence Encoder on PropSegmEnt (Chen et al. 2023): cosines, the claim
    itself left out.

    Args:
        encoder: a ``TextEncoder``, or anything with its ``encode_propositions``; MaxSim needs
            ``encode_tokens``.
        data: see :class:`PropositionData`.
        recall_at: the k for which to report recall; 5 is always among them.
        prompt: given to the encoder when not ``None``.
        truncate_dim: given to ``encode_propositions`` when not ``None``.
    """
    if not hasattr(encoder, "encode_propositions"):
        raise ConfigError(
            f"{type(encoder).__name__} has no encode_propositions; retrieval of propositions needs "
            "a TextEncoder"
        )
    if not data.relevant:
        raise DataError("no claim says the same as another; there is nothing to ask for")
    options = {"prompt": prompt, "truncate_dim": truncate_dim}
    given = {name: value for name, value in options.items() if value is not None}
    found = encoder.encode_propositions(list(data.texts), data.spans, **given)
    place = _places(data)
    vectors = normalized(np.concatenate([item.vectors for item in found])[place])
    kept = np.concatenate([item.kept for item in found])[place]
    queries = [query for query in data.relevant if kept[query]]
    ks = tuple(sorted({5, *recall_at}))

    def cosines(block: Sequence[int]) -> Float[np.ndarray, "Q N"]:
        return vectors[list(block)] @ vectors.T

    ours = _rank(data, queries, kept, cosines, ks)
    rival = None
    if hasattr(encoder, "encode_tokens"):
        states = encoder.encode_tokens(
            list(data.texts), **({} if prompt is None else {"prompt": prompt})
        )
        tokens = [
            item
            for of_text, spans in zip(states, data.spans, strict=True)
            for item in span_tokens(of_text, spans)
        ]
        tokens = [tokens[index] for index in place]

        def maxsim(block: Sequence[int]) -> Float[np.ndarray, "Q N"]:
            return score_tokens([tokens[query] for query in block], tokens)

        rival = _rank(data, queries, kept, maxsim, (5,))
    hits = sum(ours.first)
    return PropositionResult(
        precision_at_1=hits / len(queries),
        precision_interval=wilson_interval(hits, len(queries)),
        recall_at={k: float(np.mean(ours.recall[k])) for k in ks},
        within_precision_at_1=float(np.mean(ours.within_first)),
        within_recall_at_5=float(np.mean(ours.within_recall)),
        sibling_cosine=_mean_cosine(vectors, _siblings(data, kept)),
        same_cosine=_mean_cosine(
            vectors, [(a, b) for a in queries for b in data.relevant[a] if kept[b]]
        ),
        maxsim_precision_at_1=None if rival is None else float(np.mean(rival.first)),
        maxsim_recall_at_5=None if rival is None else float(np.mean(rival.recall[5])),
        maxsim_within_precision_at_1=None if rival is None else float(np.mean(rival.within_first)),
        maxsim_within_recall_at_5=None if rival is None else float(np.mean(rival.within_recall)),
        queries=len(queries),
        claims=len(data.claims),
        texts=len(data.texts),
        lost=int((~kept).sum()),
    )


def read_propositions(path: Path, split: str) -> PropositionData:
    """Reads PropSegmEnt, or rows of your own.

    A folder with ``segmentation.<split>.jsonl`` and ``entailment.<split>.jsonl`` is PropSegmEnt:
    what two annotators find entailed by another document is asked for. Otherwise a file, or
    ``<split>.jsonl`` in the folder, has rows with ``text``, ``document``, ``spans`` and
    ``labels``, as training has them: equal labels of different texts say the same.
    """
    if path.is_dir() and any(path.glob("segmentation.*.jsonl*")):
        return _read_annotations(path, split)
    file = path if path.is_file() else existing(path, f"{split}.jsonl")
    texts: list[str] = []
    documents: list[str] = []
    claims: list[tuple[int, Pieces]] = []
    by_label: dict[Any, list[int]] = {}
    for row in read_jsonl(file):
        values = [get(row, name, str(file)) for name in ("text", "document", "spans", "labels")]
        text, document, spans, labels = values
        if len(spans) != len(labels):
            raise DataError(
                f"{file}: {len(spans)} spans and {len(labels)} labels; give a label for each: "
                f"{text!r:.60}"
            )
        for span, label in zip(spans, labels, strict=True):
            pieces = [span] if span and isinstance(span[0], int) else span
            by_label.setdefault(label, []).append(len(claims))
            claims.append((len(texts), tuple((int(a), int(b)) for a, b in pieces)))
        texts.append(str(text))
        documents.append(str(document))
    relevant = {}
    for same in by_label.values():
        for query in same:
            others = frozenset(c for c in same if claims[c][0] != claims[query][0])
            if others:
                relevant[query] = others
    if not relevant:
        raise DataError(f"{file}: no label stands in two rows, so nothing says the same")
    return PropositionData(texts=texts, documents=documents, claims=claims, relevant=relevant)


def _read_annotations(folder: Path, split: str) -> PropositionData:
    sentences = read_sentences(existing(folder, f"segmentation.{split}.jsonl"))
    row = {(item.document, item.index): text for text, item in enumerate(sentences)}
    number: dict[tuple[int, tuple[int, ...]], int] = {}
    for text, item in enumerate(sentences):
        for words in item.propositions:
            number[text, words] = len(number)

    def claim(document: str, index: int, words: tuple[int, ...]) -> int | None:
        """The claim of a sentence that is meant; one more where none is near."""
        text = row.get((document, index))
        if text is None:
            return None
        known = sentences[text].propositions
        shares = [overlap(words, proposition) for proposition in known]
        best = int(np.argmax(shares))
        words = known[best] if shares[best] > _SAME else words
        return number.setdefault((text, words), len(number))

    relevant: dict[int, set[int]] = {}
    for entailment in read_entailments(existing(folder, f"entailment.{split}.jsonl")):
        query = claim(entailment.document, entailment.index, entailment.words)
        answers = {claim(*premise) for premise in entailment.premises} - {None, query}
        if query is not None and answers:
            relevant.setdefault(query, set()).update(a for a in answers if a is not None)
    return PropositionData(
        texts=[item.text for item in sentences],
        documents=[item.document for item in sentences],
        claims=[(text, sentences[text].pieces(words)) for text, words in number],
        relevant={query: frozenset(answers) for query, answers in relevant.items()},
    )


@dataclasses.dataclass
class _Ranks:
    """What was found for each query, and for each query and document with an answer."""

    first: list[bool] = dataclasses.field(default_factory=list)
    recall: dict[int, list[float]] = dataclasses.field(default_factory=dict)
    within_first: list[bool] = dataclasses.field(default_factory=list)
    within_recall: list[float] = dataclasses.field(default_factory=list)


def _rank(
    data: PropositionData, queries: Sequence[int], kept: Bool[np.ndarray, "N"], score: Any,
    ks: Sequence[int],
) -> _Ranks:  # fmt: skip
    document_of = np.array([data.documents[text] for text, _ in data.claims])
    ranks = _Ranks(recall={k: [] for k in ks})
    for block in _blocks(queries, len(data.claims)):
        for query, scores in zip(block, score(block), strict=True):
            scores = np.where(kept, scores, -np.inf)
            scores[query] = -np.inf
            answers = data.relevant[query]
            order = np.argsort(-scores, kind="stable")[: max(ks)]
            ranks.first.append(int(order[0]) in answers)
            for k in ks:
                ranks.recall[k].append(len(answers.intersection(order[:k].tolist())) / len(answers))
            for document in sorted({document_of[answer] for answer in answers}):
                inside = np.flatnonzero(document_of == document)
                best = inside[np.argsort(-scores[inside], kind="stable")[:5]].tolist()
                wanted = answers.intersection(inside.tolist())
                ranks.within_first.append(best[0] in wanted)
                ranks.within_recall.append(len(wanted.intersection(best)) / len(wanted))
    return ranks


def _blocks(queries: Sequence[int], claims: int) -> Iterator[Sequence[int]]:
    step = max(1, _BLOCK_SCORES // claims)
    for start in range(0, len(queries), step):
        yield queries[start : start + step]


def _places(data: PropositionData) -> np.ndarray:
    """Where each claim stands among those of all texts, text by text."""
    texts = np.array([text for text, _ in data.claims])
    places = np.empty(len(texts), np.int64)
    places[np.argsort(texts, kind="stable")] = np.arange(len(texts))
    return places


def _siblings(data: PropositionData, kept: np.ndarray) -> list[tuple[int, int]]:
    by_text: dict[int, list[int]] = {}
    for claim, (text, _) in enumerate(data.claims):
        if kept[claim]:
            by_text.setdefault(text, []).append(claim)
    return [
        (a, b)
        for claims in by_text.values()
        for place, a in enumerate(claims)
        for b in claims[place + 1 :]
        if b not in data.relevant.get(a, ())
    ]


def _mean_cosine(vectors: np.ndarray, pairs: Sequence[tuple[int, int]]) -> float:
    if not pairs:
        return float("nan")
    first, second = np.array(pairs).T
    return float(np.einsum("ne,ne->n", vectors[first], vectors[second]).mean())
