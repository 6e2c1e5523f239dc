"""Plain texts out of TSV, JSONL and text files, for recipes that train on text alone."""

import dataclasses
import gzip
import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import numpy as np

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)]?\s+(?=[\"'“‘(]?[A-Z0-9])")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextSource:
    """A file and the columns of it that hold text.

    Attributes:
        path: ``.tsv`` (header line, no quoting), ``.jsonl`` or ``.txt`` (one text per line), each
            also with ``.gz``.
        columns: TSV columns or JSON keys; nothing for ``.txt``.
        limit: at most this many different texts are drawn from the file.
    """

    path: Path
    columns: tuple[str, ...] = ()
    limit: int | None = None

    @classmethod
    def parse(cls, text: str) -> "TextSource":
        """Reads ``PATH``, ``PATH:column,column`` or ``PATH:column,column:limit``."""
        path, _, rest = text.partition(":")
        columns, _, limit = rest.partition(":")
        if limit and not limit.isdecimal():
            raise ValueError(f"{text!r}: the limit is {limit!r}, expected a number; write "
                             "PATH:column,column:limit")  # fmt: skip
        return cls(
            path=Path(path),
            columns=tuple(column for column in columns.split(",") if column),
            limit=int(limit) if limit else None,
        )

    def read(self) -> Iterator[str]:
        """Yields every text as the file has it."""
        name = self.path.name.removesuffix(".gz")
        opener = gzip.open if self.path.suffix == ".gz" else open
        with opener(self.path, "rt", encoding="utf-8", newline="\n") as lines:
            if name.endswith(".jsonl"):
                for line in lines:
                    row = json.loads(line)
                    yield from (row[column] for column in self._check(row))
            elif name.endswith(".tsv"):
                header = next(lines).rstrip("\n").split("\t")
                wanted = [header.index(column) for column in self._check(header)]
                for line in lines:
                    fields = line.rstrip("\n").split("\t")
                    yield from (fields[index] for index in wanted)
            elif name.endswith(".txt"):
                yield from (line.rstrip("\n") for line in lines)
            else:
                raise ValueError(f"{self.path} is neither .tsv, .jsonl nor .txt (or these + .gz)")

    def _check(self, known: Collection[str]) -> tuple[str, ...]:
        missing = [column for column in self.columns if column not in known]
        if missing or not self.columns:
            raise ValueError(
                f"{self.path}: columns {list(missing or self.columns)} asked for, the file has "
                f"{list(known)}; write {self.path}:{next(iter(known))}"
            )
        return self.columns


def split_sentences(text: str) -> list[str]:
    """Cuts running text at ``. ! ?`` before a capital or digit; headings and lists fall away.

    A rule of thumb that is right often enough for training text: abbreviations are cut too.
    """
    paragraphs = re.split(r"\n\s*\n", text)
    return [
        " ".join(sentence.split())
        for paragraph in paragraphs
        for sentence in _SENTENCE_END.split(paragraph)
    ]


def comparison_key(text: str) -> str:
    """Lower-case letters and digits with single spaces: equal for texts that differ in little."""
    folded = unicodedata.normalize("NFKC", text).lower()
    return " ".join("".join(c if c.isalnum() else " " for c in folded).split())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Collected:
    """Texts for training, and what was left out on the way.

    Attributes:
        texts: in random order.
        by_source: texts kept from each file.
        excluded: texts that equal a text to be excluded.
    """

    texts: list[str]
    by_source: dict[str, int]
    excluded: int


def collect_texts(
    sources: Iterable[TextSource], *, exclude: Iterable[TextSource] = (), min_words: int = 1,
    max_words: int = 60, seed: int = 0,
) -> Collected:  # fmt: skip
    """Draws different texts from files, in random order.

    Texts of more than ``max_words`` words are cut into sentences first. Two texts count as the
    same when they have the same :func:`comparison_key`.

    Args:
        sources: where texts come from.
        exclude: texts of evaluations; what equals one of them is left out and counted.
        min_words: shorter sentences are left out.
        max_words: longer sentences are left out.
        seed: of the draw and the order.
    """
    rng = np.random.default_rng(seed)
    forbidden = {comparison_key(text) for source in exclude for text in source.read()}
    seen: set[str] = set()
    texts: list[str] = []
    by_source: dict[str, int] = {}
    excluded = 0
    for source in sources:
        found: list[str] = []
        for text in source.read():
            pieces = split_sentences(text) if len(text.split()) > max_words else [text.strip()]
            for piece in pieces:
                key = comparison_key(piece)
                if not key or key in seen or not min_words <= len(piece.split()) <= max_words:
                    continue
                seen.add(key)
                if key in forbidden:
                    excluded += 1
                else:
                    found.append(piece)
        if source.limit is not None and len(found) > source.limit:
            found = [found[i] for i in rng.permutation(len(found))[: source.limit]]
        by_source[str(source.path)] = len(found)
        texts += found
    order = rng.permutation(len(texts))
    return Collected(texts=[texts[i] for i in order], by_source=by_source, excluded=excluded)
