"""Training rows for vectors of phrases.

Rows have ``phrase`` and ``other`` (another way to say it), ``negative`` and ``negative_other``
where there are hard negatives, ``type`` (of the phrase), ``source``, and ``origin`` (where in the
source the phrase came from).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from textzoo.phrases.augmentation import PhraseAugmentation
from textzoo.phrases.types import phrase_type
from textzoo.text_files import read_tsv

Pair = frozenset[str]


def read_synonyms(path: Path) -> dict[str, list[str]]:
    """Reads ``word1, word2``, which are synonyms of one another."""
    found: dict[str, list[str]] = {}
    for first, second in read_tsv(path, ("word1", "word2")):
        for word, other in ((first, second), (second, first)):
            known = found.setdefault(word.lower(), [])
            if other != word and other not in known:
                known.append(other)
    return found


def read_pairs(path: Path, columns: Sequence[str] = ("phrase1", "phrase2")) -> set[Pair]:
    """Pairs of texts in either order, in lower case: what must not be trained on."""
    return {pair_of(first, second) for first, second in read_tsv(path, tuple(columns))}


def pair_of(first: str, second: str) -> Pair:
    """Two phrases in either order, in lower case."""
    return frozenset((first.lower(), second.lower()))


def paraphrase_rows(
    path: Path, *, source: str = "ppdb", exclude: Collection[Pair] = (),
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Phrases and their paraphrases: PPDB pairs, ``phrase1, phrase2, label`` (``pos``, ``neg``).

    Every ``pos`` pair is a row; its negatives are those of the same phrase, in turn, and without
    any it is left out. ``phrase``, ``other``, ``negative`` are triples as Phrase-BERT has them.

    Args:
        path: of the file.
        source: name of the data.
        exclude: pairs that are measured on, from :func:`read_pairs`.
    """
    positives: list[tuple[int, str, str]] = []
    negatives: dict[str, list[str]] = {}
    for line, row in enumerate(read_tsv(path, ("phrase1", "phrase2", "label")), start=2):
        first, second, label = row
        if pair_of(first, second) in exclude:
            continue
        if label == "pos":
            positives.append((line, first, second))
        else:
            negatives.setdefault(first, []).append(second)
    used: dict[str, int] = {}
    for line, first, second in positives:
        choices = negatives.get(first, ())
        if not choices:
            continue
        turn = used.get(first, 0)
        used[first] = turn + 1
        yield {
            "phrase": first,
            "other": second,
            "negative": choices[turn % len(choices)],
            "type": phrase_type(first),
            "source": source,
            "origin": f"{path.name}:{line}",
        }


def paraphrases_of(rows: Iterator[dict[str, Any]]) -> dict[str, list[str]]:
    """Other phrases by phrase, both ways, from the rows of :func:`paraphrase_rows`."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for phrase, other in ((row["phrase"], row["other"]), (row["other"], row["phrase"])):
            known = found.setdefault(phrase, [])
            if other not in known:
                known.append(other)
    return found


def augmented_rows(
    phrases: Mapping[str, str], augmentation: PhraseAugmentation, *, copies: int = 1,
    negatives: Mapping[str, Sequence[str]] | None = None, source: str = "augmented",
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Phrases and what :class:`PhraseAugmentation` makes of them, for ``PearlObjective``.

    Args:
        phrases: and where each came from.
        augmentation: makes other forms.
        copies: how often each phrase is there, each time with another form.
        negatives: look-alikes of each phrase that mean something else; a phrase without any is
            left out. ``None``: rows without negatives.
        source: name of the data.
    """
    for copy in range(copies):
        for phrase, origin in phrases.items():
            row = {"phrase": phrase, "other": augmentation(phrase, copy=copy)}
            if negatives is not None:
                choices = negatives.get(phrase, ())
                if not choices:
                    continue
                negative = choices[copy % len(choices)]
                row["negative"] = negative
                row["negative_other"] = augmentation(negative, copy=copy)
            yield {**row, "type": phrase_type(phrase), "source": source, "origin": origin}
