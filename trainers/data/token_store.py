"""Tokens of many texts on disk, tokenized once."""

import collections
import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Int, Shaped

from textzoo.modules.tokenizers import Tokenized, Tokenizer
from textzoo.modules.tokenizers.fingerprint import tokenizer_fingerprint
from textzoo.trainers.data.caching import made_once, name_of
from textzoo.trainers.data.hashing import text_key
from textzoo.trainers.data.sources import Source
from textzoo.trainers.data.words import tokenize_with_words

_FORMAT = 2
_TEXTS_AT_ONCE = 1024
_CHARACTERS_AT_ONCE = 1 << 20
_GOES_ON, _BEGINS, _SPECIAL = 0, 1, 2  # What a token is to the words of its text.

Advance = Callable[[int, int], None]
"""Told how many texts and tokens are done since the last time."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenStore:
    """Tokens of the texts of a column, mapped from disk.

    Attributes:
        ids: of all texts, one after the other.
        starts: first token of each text, and the total at the end.
        truncated: whether a text was cut.
        keys: a hash of each text, see :func:`text_key`.
        words: whether a token begins a word, if words were asked for.
        units: of all tokens, one after the other, where the tokenizer gives some.
        unit_starts: first unit of each token, and the total at the end.
        unit_sizes: see :class:`Tokenized`.
    """

    ids: Shaped[np.ndarray, "T"]
    starts: Int[np.ndarray, "N1"]
    truncated: Shaped[np.ndarray, "N"]
    keys: Shaped[np.ndarray, "N"]
    words: Shaped[np.ndarray, "T"] | None = None
    units: Shaped[np.ndarray, "U"] | None = None
    unit_starts: Int[np.ndarray, "T1"] | None = None
    unit_sizes: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.truncated)

    @property
    def lengths(self) -> Int[np.ndarray, "N"]:
        """Tokens of each text."""
        return np.diff(self.starts)

    def lengths_of(self, rows: Int[np.ndarray, "R"]) -> Int[np.ndarray, "R"]:
        """Tokens of some texts."""
        return self.starts[rows + 1] - self.starts[rows]

    def select(self, rows: Int[np.ndarray, "R"]) -> Tokenized:
        """Some texts, in the order asked for."""
        lengths = self.lengths_of(rows)
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        inside = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths)
        tokens = np.repeat(self.starts[rows], lengths) + inside
        words = None
        if self.words is not None:
            text = np.repeat(np.arange(len(rows)), lengths)
            words = number_words(self.words[tokens], inside == 0, text)
        selected = Tokenized(
            ids=self.ids[tokens].astype(np.int32),
            starts=starts,
            truncated=self.truncated[rows],
            words=words,
        )
        if self.units is None or self.unit_starts is None:
            return selected
        return selected.with_units(self.units, self.unit_starts, self.unit_sizes, of=tokens)


def number_words(
    marks: Shaped[np.ndarray, "T"], begins: Shaped[np.ndarray, "T"], rows: Int[np.ndarray, "T"]
) -> Int[np.ndarray, "T"]:
    """Numbers of words from what the tokens are to them, -1 for special tokens.

    Args:
        marks: see :class:`TokenStore`.
        begins: where a piece of text begins, and with it a word, be it the rest of one.
        rows: the row of each token, in one piece each; words are counted from zero in each.
    """
    is_first = (marks == _BEGINS) | (begins & (marks != _SPECIAL))
    # A piece may begin with special tokens; the first of the others then begins a word by itself.
    numbers = np.cumsum(is_first) - 1
    new_row = np.flatnonzero(np.diff(rows, prepend=-1))
    sizes = np.diff(np.append(new_row, len(rows)))
    before = (numbers - is_first)[new_row] + 1
    return np.where(marks == _SPECIAL, -1, numbers - np.repeat(before, sizes)).astype(np.int32)


def tokens_on_disk(
    source: Source, column: str, tokenizer: Tokenizer, *, prefix: str = "", words: bool = False,
    cache: Path | None = None, threads: int = 2,
    on_progress: Advance = lambda texts, tokens: None,
) -> TokenStore:  # fmt: skip
    """Tokenizes a column, unless that was done before.

    Args:
        source: the rows.
        column: of texts.
        tokenizer: as it shall cut texts.
        prefix: put before every text.
        words: also note where words begin.
        cache: folder where the tokens are kept for the next run. Without one they lie in a
            temporary file that is gone when the process ends.
        threads: that tokenize; the tokenizer may use more of its own.
        on_progress: told of texts and tokens done.
    """

    def make(folder: Path) -> None:
        _write(folder, source, column, tokenizer, prefix, words, threads, on_progress)

    if cache is None:
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder))
            return _open(Path(folder))  # What is mapped stays when its name is gone.
    details = (_FORMAT, source.fingerprint, column, prefix, words)
    key = name_of("tokens", *details, tokenizer_fingerprint(tokenizer))
    return _open(made_once(cache, key, make))


def _write(
    folder: Path, source: Source, column: str, tokenizer: Tokenizer, prefix: str, words: bool,
    threads: int, on_progress: Advance,
) -> None:  # fmt: skip
    id_type = np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.int32

    def tokenize(texts: list[str]) -> tuple[Tokenized, list[int]]:
        keys = [text_key(text) for text in texts]
        texts = [prefix + text for text in texts] if prefix else texts
        tokenized = tokenize_with_words(tokenizer, texts) if words else tokenizer(texts)
        return tokenized, keys

    lengths, truncated, keys = [], [], []
    units = _UnitFile(folder)
    with (folder / "ids.bin").open("wb") as ids, (folder / "words.bin").open("wb") as marks:
        for tokenized, hashed in _in_order(_chunks(source, column), tokenize, max(1, threads)):
            tokenized.ids.astype(id_type).tofile(ids)
            if words:
                _write_marks(tokenized, marks)
            units.append(tokenized)
            lengths.append(tokenized.lengths)
            truncated.append(tokenized.truncated)
            keys.append(np.array(hashed, np.uint32))
            on_progress(len(tokenized), len(tokenized.ids))
    units.close()
    starts = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
    np.save(folder / "starts.npy", starts)
    np.save(folder / "truncated.npy", np.concatenate(truncated))
    np.save(folder / "keys.npy", np.concatenate(keys))
    (folder / "type.txt").write_text(np.dtype(id_type).name, encoding="utf-8")


def _write_marks(tokenized: Tokenized, file: BinaryIO) -> None:
    """The first token of a text begins a word anyway, so texts need not be told apart."""
    words = tokenized.words
    assert words is not None
    begins = np.diff(words, prepend=-1) != 0
    np.where(words < 0, _SPECIAL, np.where(begins, _BEGINS, _GOES_ON)).astype(np.uint8).tofile(file)


class _UnitFile:
    """Units of tokens on their way to disk, for tokenizers that give some."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._counts = [np.zeros(1, np.int64)]
        self._sizes: tuple[int, ...] = ()
        (folder / "units.bin").touch()

    def append(self, tokenized: Tokenized) -> None:
        """Writes the units of some texts behind those of the texts before."""
        if tokenized.units is None or tokenized.unit_starts is None:
            return
        self._sizes = tokenized.unit_sizes
        self._counts.append(np.diff(tokenized.unit_starts))
        with (self._folder / "units.bin").open("ab") as file:
            tokenized.units.astype(np.int32).tofile(file)

    def close(self) -> None:
        """Writes where units begin, if there are any."""
        if self._sizes:
            np.save(self._folder / "unit_starts.npy", np.cumsum(np.concatenate(self._counts)))
            np.save(self._folder / "unit_sizes.npy", np.array(self._sizes))


def _open(folder: Path) -> TokenStore:
    def mapped(name: str, kind: str) -> np.ndarray:
        if not (folder / name).stat().st_size:
            return np.zeros(0, kind)
        return np.asarray(np.memmap(folder / name, kind, mode="r"))

    def loaded(name: str) -> np.ndarray:
        return np.asarray(np.load(folder / name, mmap_mode="r"))

    ids = mapped("ids.bin", (folder / "type.txt").read_text(encoding="utf-8"))
    words = mapped("words.bin", "uint8")
    has_units = (folder / "unit_sizes.npy").exists()
    return TokenStore(
        ids=ids,
        starts=loaded("starts.npy"),
        truncated=loaded("truncated.npy"),
        keys=loaded("keys.npy"),
        words=words if len(words) == len(ids) else None,
        units=mapped("units.bin", "int32") if has_units else None,
        unit_starts=loaded("unit_starts.npy") if has_units else None,
        unit_sizes=tuple(loaded("unit_sizes.npy").tolist()) if has_units else (),
    )


def _chunks(source: Source, column: str) -> Iterator[list[str]]:
    """The texts in order, not too many at once, and not too long ones together."""
    texts: list[str] = []
    characters = 0
    for start in range(0, len(source), _TEXTS_AT_ONCE):
        for index in range(start, min(start + _TEXTS_AT_ONCE, len(source))):
            text = source[index][column]
            texts.append(text)
            characters += len(text)
            if len(texts) == _TEXTS_AT_ONCE or characters >= _CHARACTERS_AT_ONCE:
                yield texts
                texts, characters = [], 0
    if texts:
        yield texts


def _in_order(
    chunks: Iterator[list[str]],
    work: Callable[[list[str]], tuple[Tokenized, list[int]]],
    threads: int,
) -> Iterator[tuple[Tokenized, list[int]]]:
    """Results in the order of the chunks, with few of them waiting."""
    waiting: collections.deque[Future[tuple[Tokenized, list[int]]]] = collections.deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="tokenize") as pool:
        for chunk in chunks:
            waiting.append(pool.submit(work, chunk))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
