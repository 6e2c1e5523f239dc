"""Training rows for vectors of propositions: two sentences that say some of the same.

A row has ``sentence1``, ``spans1`` (characters of each proposition), ``labels1``, the same with 2,
``source`` and ``origin`` (where in the source it came from). Equal labels say the same; they begin
with the source, so that files of several sources do not mix them up.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from textzoo.propositions.alignment import align
from textzoo.propositions.labels import merged_labels
from textzoo.propositions.prop_segment import overlap, read_entailments, read_sentences
from textzoo.propositions.splitting import split_propositions
from textzoo.text_files import read_tsv

Range = tuple[int, int]
Claim = tuple[Range, ...]

# Two premises' claims are the same one when they share this much.
_SAME = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClaimPair:
    """Two sentences, what they claim, and which claims are the same.

    Attributes:
        sentence1, sentence2: texts.
        claims1, claims2: of each claim its stretches of characters.
        same: numbers of a claim of the first and one of the second that say the same.
        source: name of the data.
        origin: where in it, such as a line.
    """

    sentence1: str
    claims1: Sequence[Claim]
    sentence2: str
    claims2: Sequence[Claim]
    same: Sequence[tuple[int, int]]
    source: str
    origin: str


def rows_of(pairs: Iterable[ClaimPair], *, max_spans: int = 16) -> Iterator[dict[str, Any]]:
    """Training rows; claims of all pairs that say the same, through any chain, share a label.

    The same stretches of the same sentence are the same claim, in whatever pair.

    Args:
        pairs: read whole, for the labels.
        max_spans: pairs with a sentence of more claims are left out.
    """
    kept = [
        pair for pair in pairs
        if pair.same and max(len(pair.claims1), len(pair.claims2)) <= max_spans
    ]  # fmt: skip
    number: dict[tuple[str, Claim], int] = {}
    links = []
    for pair in kept:
        first = [_number(number, pair.sentence1, claim) for claim in pair.claims1]
        second = [_number(number, pair.sentence2, claim) for claim in pair.claims2]
        links += [(first[i], second[j]) for i, j in pair.same]
    labels = merged_labels(len(number), links)

    def named(sentence: str, claims: Sequence[Claim], source: str) -> list[str]:
        return [f"{source}:{labels[number[sentence, tuple(claim)]]}" for claim in claims]

    for pair in kept:
        yield {
            "sentence1": pair.sentence1,
            "spans1": [[list(piece) for piece in claim] for claim in pair.claims1],
            "labels1": named(pair.sentence1, pair.claims1, pair.source),
            "sentence2": pair.sentence2,
            "spans2": [[list(piece) for piece in claim] for claim in pair.claims2],
            "labels2": named(pair.sentence2, pair.claims2, pair.source),
            "source": pair.source,
            "origin": pair.origin,
        }


def split_pairs(path: Path, *, source: str = "wiki_split") -> Iterator[ClaimPair]:
    """Pairs of a sentence and the two it was split into: WikiSplit's ``sentence, part1, part2``.

    The parts are one text with two claims; in the sentence, each is where its words are. Rows
    where a part is not found, or both are in the same place, are left out.
    """
    for line, row in enumerate(read_tsv(path, ("sentence", "part1", "part2")), start=2):
        sentence, part1, part2 = row
        claims = [tuple(align(sentence, part)) for part in (part1, part2)]
        joined = f"{part1} {part2}"
        own = [((0, len(part1)),), ((len(part1) + 1, len(joined)),)]
        if not all(claims) or not part1 or not part2 or _shared(claims[0], claims[1]) > _SAME:
            continue
        yield ClaimPair(
            sentence1=sentence, claims1=claims, sentence2=joined, claims2=own,
            same=[(0, 0), (1, 1)], source=source, origin=f"{path.name}:{line}",
        )  # fmt: skip


def entailment_pairs(
    path: Path, *, source: str = "nli", leave_out: Sequence[str] = ("qnli",)
) -> Iterator[ClaimPair]:
    """Pairs of a premise and what it entails: ``premise, hypothesis, label``, also ``source``.

    The hypothesis is one claim. In the premise it is where its words are; what else the premise
    claims, by :func:`textzoo.propositions.split_propositions`, is there as well. A premise of one
    claim is that claim. Rows where the hypothesis is not found are left out.

    Args:
        path: of the file.
        source: name of the data.
        leave_out: values of the column ``source`` whose rows are no such pairs (the premises of
            QNLI are questions).
    """
    from textzoo.text_files import tsv_columns

    columns = ["premise", "hypothesis", "label"]
    has_source = "source" in tsv_columns(path)
    for line, row in enumerate(read_tsv(path, [*columns, *["source"] * has_source]), start=2):
        premise, hypothesis, label = row[:3]
        if label != "entailment" or (has_source and row[3] in leave_out) or not hypothesis.strip():
            continue
        split = [tuple(claim) for claim in split_propositions(premise)]
        found = tuple(align(premise, hypothesis))
        if not found and len(split) == 1:
            found = split[0]
        if not found:
            continue
        others = [claim for claim in split if _shared(claim, found) <= _SAME]
        start = len(hypothesis) - len(hypothesis.lstrip())
        yield ClaimPair(
            sentence1=premise, claims1=[found, *others], sentence2=hypothesis,
            claims2=[((start, len(hypothesis.rstrip())),)], same=[(0, 0)],
            source=f"{source}_{row[3]}" if has_source else source, origin=f"{path.name}:{line}",
        )  # fmt: skip


def annotated_pairs(
    folder: Path, *, split: str = "dev", topics: Sequence[str] | None = None,
    source: str = "propsegment",
) -> Iterator[ClaimPair]:  # fmt: skip
    """Pairs of sentences of PropSegmEnt, one of which entails a proposition of the other.

    Args:
        folder: with ``segmentation.<split>.jsonl`` and ``entailment.<split>.jsonl``.
        split: what is measured on is not for training.
        topics: only sentences of these (``cluster_id``), to leave others for measuring.
        source: name of the data.
    """
    sentences = {
        (item.document, item.index): item
        for item in read_sentences(folder / f"segmentation.{split}.jsonl")
        if topics is None or item.topic in topics
    }
    same: dict[tuple[tuple[str, int], tuple[str, int]], list[tuple[int, int]]] = {}
    for entailment in read_entailments(folder / f"entailment.{split}.jsonl"):
        own = entailment.document, entailment.index
        for document, index, words in entailment.premises:
            other = document, index
            if own not in sentences or other not in sentences:
                continue
            first = _closest(sentences[own].propositions, entailment.words)
            second = _closest(sentences[other].propositions, words)
            if first is not None and second is not None:
                found = same.setdefault((own, other), [])
                if (first, second) not in found:
                    found.append((first, second))
    for (own, other), pairs in same.items():
        a, b = sentences[own], sentences[other]
        yield ClaimPair(
            sentence1=a.text, claims1=[a.pieces(words) for words in a.propositions],
            sentence2=b.text, claims2=[b.pieces(words) for words in b.propositions], same=pairs,
            source=source, origin=f"{a.document}:{a.index} {b.document}:{b.index}",
        )  # fmt: skip


def _number(numbers: dict[tuple[str, Claim], int], sentence: str, claim: Claim) -> int:
    return numbers.setdefault((sentence, tuple(claim)), len(numbers))


def _closest(propositions: Sequence[Sequence[int]], words: Sequence[int]) -> int | None:
    shares = [overlap(words, proposition) for proposition in propositions]
    best = max(range(len(shares)), key=shares.__getitem__)
    return best if shares[best] > _SAME else None


def _shared(first: Claim, second: Claim) -> float:
    """Characters that two claims share, of those of the shorter one."""
    common = sum(max(0, min(a[1], b[1]) - max(a[0], b[0])) for a in first for b in second)
    shorter = min(sum(end - start for start, end in claim) for claim in (first, second))
    return common / shorter if shorter else 0.0
