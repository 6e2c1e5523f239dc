"""Mined negatives as training data: JSONL rows of texts."""

import gzip
import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from jaxtyping import UInt64

from textzoo.errors import ConfigError, DataError, closest
from textzoo.trainers.mining import MinedNegatives

FORMS = ("tuples", "triplets")


def text_keys(texts: Iterable[str]) -> UInt64[np.ndarray, "N"]:
    """A hash of each text, the same in every process: equal for equal texts."""
    digests = (hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(b"".join(digests), np.dtype("<u8")).astype(np.uint64)


def write_mined(
    path: str | Path,
    mined: MinedNegatives,
    queries: Sequence[str],
    corpus: Sequence[str],
    *,
    form: str = "tuples",
    scores: bool = False,
) -> int:
    """Writes pairs and their negatives, one JSON object a line, and returns the number of lines.

    - ``"tuples"``: ``{"anchor": ..., "positive": ..., "negative_1": ..., "negative_2": ...}``, for
      pairs that have all of their negatives; the others are left out, because columns are the
      same in every row.
    - ``"triplets"``: ``{"anchor": ..., "positive": ..., "negative": ...}``, one for each negative.

    Args:
        path: ``.jsonl`` or ``.jsonl.gz``; replaced in one step.
        mined: rows of queries and corpus.
        queries: texts.
        corpus: texts.
        form: one of ``FORMS``.
        scores: also write ``"scores"``, a list for the positive and each negative, which
            distillation of scores can learn from.

    Raises:
        DataError: the file cannot be written, or the texts are fewer than the rows.
    """
    if form not in FORMS:
        raise ConfigError(f"form={form!r}; {closest(form, FORMS)}")
    path = Path(path)
    for name, texts, rows in (
        ("queries", queries, mined.queries),
        ("corpus", corpus, np.append(mined.positives, mined.negatives.ravel())),
    ):
        if rows.size and rows.max() >= len(texts):
            raise DataError(f"{name} has {len(texts)} texts, and row {rows.max()} was mined; give "
                            "the texts that were encoded, in their order")  # fmt: skip
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    count = 0
    try:
        with _open(partial, path.suffix == ".gz") as file:
            for record in _records(mined, queries, corpus, form, scores):
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
                count += 1
        os.replace(partial, path)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return count


def _records(
    mined: MinedNegatives, queries: Sequence[str], corpus: Sequence[str], form: str, scores: bool
) -> Iterator[dict[str, Any]]:
    count = mined.negatives.shape[1]
    for index in range(len(mined)):
        found = np.flatnonzero(mined.negatives[index] >= 0)
        pair = {
            "anchor": queries[mined.queries[index]], "positive": corpus[mined.positives[index]]
        }  # fmt: skip
        if form == "tuples" and len(found) < count:
            continue
        groups = [found] if form == "tuples" else [[place] for place in found]
        names = [f"negative_{n + 1}" for n in range(count)] if form == "tuples" else ["negative"]
        for places in groups:
            texts = [corpus[mined.negatives[index, place]] for place in places]
            record: dict[str, Any] = {**pair, **dict(zip(names, texts, strict=True))}
            if scores:
                values = [mined.positive_scores[index], *mined.negative_scores[index, places]]
                record["scores"] = [float(value) for value in values]
            yield record


def _open(path: Path, is_compressed: bool) -> IO[str]:
    if is_compressed:
        return gzip.open(path, "wt", encoding="utf-8", newline="\n")
    return path.open("w", encoding="utf-8", newline="\n")
