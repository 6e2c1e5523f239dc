"""PropSegmEnt (Chen et al. 2022): what sentences claim, and which documents claim it too."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from textzoo.errors import DataError
from textzoo.text_files import get, read_jsonl

Range = tuple[int, int]
_ENTAILS = "RELATIONSHIP_ENTAILS"


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnnotatedSentence:
    """A sentence with its propositions.

    Attributes:
        topic: the documents of a topic are about the same.
        document: its document.
        index: its number in the document.
        text: the sentence.
        offsets: first and past-the-end character of its words.
        propositions: words of each proposition, as one of the annotators has them.
    """

    topic: str
    document: str
    index: int
    text: str
    offsets: tuple[Range, ...]
    propositions: tuple[tuple[int, ...], ...]

    def pieces(self, words: Sequence[int]) -> tuple[Range, ...]:
        """The stretches of characters of some words; words with only white space between join."""
        found: list[Range] = []
        for word in sorted(set(words)):
            start, end = self.offsets[word]
            if found and not self.text[found[-1][1] : start].strip():
                found[-1] = (found[-1][0], end)
            else:
                found.append((start, end))
        return tuple(found)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entailment:
    """A proposition that another document claims too.

    Attributes:
        document, index, words: the proposition.
        premises: documents, sentences and words of those that entail it.
    """

    document: str
    index: int
    words: tuple[int, ...]
    premises: tuple[tuple[str, int, tuple[int, ...]], ...]


def read_sentences(path: Path) -> list[AnnotatedSentence]:
    """Reads ``segmentation.<split>.jsonl``; sentences without propositions are left out."""
    found = []
    for row in read_jsonl(path):
        tokens, starts = get(row, "tokens", str(path)), get(row, "token_offsets", str(path))
        text = str(get(row, "sentence", str(path)))
        offsets = tuple(
            (int(start), int(start) + len(token))
            for token, start in zip(tokens, starts, strict=True)
        )
        if [text[start:end] for start, end in offsets] != tokens:
            raise DataError(
                f"{path}: token_offsets do not fit the sentence {text!r:.60}; they must count its "
                "characters"
            )
        own = _propositions(row.get("reference_propositions"), len(tokens))
        if own:
            found.append(
                AnnotatedSentence(
                    topic=str(get(row, "cluster_id", str(path))),
                    document=str(get(row, "document_id", str(path))),
                    index=int(get(row, "sentence_index", str(path))), text=text, offsets=offsets,
                    propositions=own,
                )
            )  # fmt: skip
    return found


def read_entailments(path: Path, *, agreement: int = 2) -> list[Entailment]:
    """Reads ``entailment.<split>.jsonl``: the propositions that some document entails.

    Args:
        path: of the file.
        agreement: annotators, of three, who must say so.
    """
    found = []
    for row in read_jsonl(path):
        responses = get(row, "responses", str(path))
        premises = [
            (
                str(get(row, "premise_document_id", str(path))),
                int(response["premise"]["sentence_index"]),
                tuple(map(int, response["premise"]["proposition"]["token_indices"])),
            )
            for response in responses
            if response["relationship"] == _ENTAILS and response.get("premise")
        ]
        if len(premises) >= agreement:
            counted = Counter(premises)
            found.append(
                Entailment(
                    document=str(get(row, "hypothesis_document_id", str(path))),
                    index=int(get(row, "sentence_index", str(path))),
                    words=tuple(map(int, get(row, "token_indices", str(path)))),
                    premises=tuple(premise for premise, _ in counted.most_common()),
                )
            )
    return found


def overlap(first: Sequence[int], second: Sequence[int]) -> float:
    """Words that two propositions share, of all they have (Jaccard)."""
    a, b = set(first), set(second)
    return len(a & b) / len(a | b) if a | b else 0.0


def _propositions(value: Any, words: int) -> tuple[tuple[int, ...], ...]:
    found = []
    for proposition in value or ():
        chosen = tuple(sorted({int(word) for word in proposition if 0 <= int(word) < words}))
        if chosen and chosen not in found:
            found.append(chosen)
    return tuple(found)
