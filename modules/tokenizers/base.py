"""What every tokenizer returns, and the protocol it follows."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from textzoo.modules.types import TextBatch


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tokenized:
    """Tokenized texts on the host, ragged: text i owns ``ids[starts[i]:starts[i + 1]]``.

    Attributes:
        ids: token ids of all texts, one after the other, int32.
        starts: first token of each text, and the total at the end, int64 ``[N + 1]``.
        truncated: True for texts that were cut to the tokenizer's ``max_length``, ``[N]``.
        offsets: first and past-the-end character of each token, ``[tokens, 2]``, when asked for.
            Tokens that stand for no characters (``[CLS]``) or for white space alone have equal
            ends; other tokens neither begin nor end with white space.
        words: the word of each token, counted from zero in each text, -1 for special tokens,
            ``[tokens]``, when asked for.
        units: characters, bytes, hashes or features of all tokens, one after the other, any
            integers, for tokenizers that give some: token t has
            ``units[unit_starts[t]:unit_starts[t + 1]]``.
        unit_starts: first unit of each token, and the total at the end, int64 ``[tokens + 1]``.
        unit_sizes: what C of a batch may be, ascending. No token has more units than the last.
    """

    ids: np.ndarray
    starts: np.ndarray
    truncated: np.ndarray
    offsets: np.ndarray | None = None
    words: np.ndarray | None = None
    units: np.ndarray | None = None
    unit_starts: np.ndarray | None = None
    unit_sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if len({self.units is None, self.unit_starts is None, not self.unit_sizes}) > 1:
            raise ValueError(
                "units, unit_starts and unit_sizes go together; give all three, or none of them"
            )

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each text, ``[N]``."""
        return self.starts[1:] - self.starts[:-1]

    def batch(self, rows: np.ndarray, length: int, size: int | None = None) -> TextBatch:
        """Pads some texts to a batch of numpy arrays.

        Units are padded to the smallest of ``unit_sizes`` that holds those of every token, so that
        batches have few shapes.

        Args:
            rows: which texts, in order.
            length: tokens per row; texts must not be longer.
            size: rows of the batch; rows beyond the texts are empty. ``None``: as many as texts.
        """
        size = len(rows) if size is None else size
        counts = self.lengths[rows]
        mask = np.zeros((size, length), bool)
        mask[: len(rows)] = np.arange(length) < counts[:, None]
        ids = np.zeros((size, length), np.int32)
        sources = self.starts[rows][:, None] + np.arange(length)
        tokens = sources[mask[: len(rows)]]
        ids[mask] = self.ids[tokens]
        if self.units is None:
            return TextBatch(ids=ids, mask=mask)
        own_units, own_mask = self._padded_units(tokens)
        units = np.zeros((*mask.shape, own_units.shape[1]), np.int32)
        unit_mask = np.zeros(units.shape, bool)
        units[mask], unit_mask[mask] = own_units, own_mask
        return TextBatch(ids=ids, mask=mask, units=units, unit_mask=unit_mask)

    def _padded_units(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Units of some tokens, zero where there are none, and where there are, ``[T, C]``."""
        assert self.units is not None and self.unit_starts is not None
        first = self.unit_starts[tokens]
        counts = self.unit_starts[tokens + 1] - first
        most = int(counts.max(initial=0))
        size = next((size for size in self.unit_sizes if size >= most), None)
        if size is None:
            raise ValueError(
                f"a token has {most} units, more than the largest of unit_sizes="
                f"{self.unit_sizes}; cut its units, or allow for more"
            )
        mask = np.arange(size) < counts[:, None]
        units = np.zeros(mask.shape, np.int32)
        units[mask] = self.units[(first[:, None] + np.arange(size))[mask]]
        return units, mask

    def select(self, rows: np.ndarray) -> "Tokenized":
        """Returns the chosen texts, in the order of ``rows``."""
        source, starts = ragged_sources(self.starts[rows], self.lengths[rows])
        selected = Tokenized(
            ids=self.ids[source],
            starts=starts,
            truncated=self.truncated[rows],
            offsets=None if self.offsets is None else self.offsets[source],
            words=None if self.words is None else self.words[source],
        )
        if self.units is None or self.unit_starts is None:
            return selected
        return selected.with_units(self.units, self.unit_starts, self.unit_sizes, of=source)

    def stretch(self, first: int, last: int) -> "Tokenized":
        """Returns texts ``first`` to ``last - 1``, which share memory with these."""
        begin, end = self.starts[first], self.starts[last]
        units, unit_starts = self.units, self.unit_starts
        if units is not None and unit_starts is not None:
            units = units[unit_starts[begin] : unit_starts[end]]
            unit_starts = unit_starts[begin : end + 1] - unit_starts[begin]
        return Tokenized(
            ids=self.ids[begin:end],
            starts=self.starts[first : last + 1] - begin,
            truncated=self.truncated[first:last],
            offsets=None if self.offsets is None else self.offsets[begin:end],
            words=None if self.words is None else self.words[begin:end],
            units=units,
            unit_starts=unit_starts,
            unit_sizes=self.unit_sizes,
        )

    def with_units(
        self,
        units: np.ndarray,
        unit_starts: np.ndarray,
        unit_sizes: tuple[int, ...],
        *,
        of: np.ndarray | None = None,
    ) -> "Tokenized":
        """Returns the same texts, their tokens with units.

        Args:
            units: of a list of things, one after the other.
            unit_starts: first unit of each thing, and the total at the end.
            unit_sizes: what C of a batch may be, ascending.
            of: the thing that each token is: with its id, a table has the units of every id.
                ``None``: the things are the tokens.
        """
        if of is not None:
            source, starts = ragged_sources(unit_starts[of], unit_starts[of + 1] - unit_starts[of])
            units, unit_starts = units[source], starts
        return dataclasses.replace(
            self, units=units, unit_starts=unit_starts, unit_sizes=unit_sizes
        )

    def widest(self) -> "Tokenized":
        """Returns the same texts, whose batches all have room for the most units of a token."""
        return dataclasses.replace(self, unit_sizes=self.unit_sizes[-1:])

    @staticmethod
    def concatenate(parts: Sequence["Tokenized"]) -> "Tokenized":
        """Joins the texts of several; all have offsets, or none, and so for words and units."""
        if len(parts) == 1:
            return parts[0]
        offsets = [part.offsets for part in parts if part.offsets is not None]
        words = [part.words for part in parts if part.words is not None]
        units = [part.units for part in parts if part.units is not None]
        for name, found in (("offsets", offsets), ("words", words), ("units", units)):
            if len(found) not in (0, len(parts)):
                raise ValueError(f"some parts have {name} and some have none; tokenize them alike")
        sizes = {part.unit_sizes for part in parts}
        if len(sizes) > 1:
            raise ValueError(f"parts have different unit_sizes: {sorted(sizes)}; tokenize alike")
        unit_starts = [part.unit_starts for part in parts if part.unit_starts is not None]
        return Tokenized(
            ids=np.concatenate([np.zeros(0, np.int32), *(part.ids for part in parts)]),
            starts=_joined_starts([part.starts for part in parts]),
            truncated=np.concatenate([np.zeros(0, bool), *(part.truncated for part in parts)]),
            offsets=np.concatenate(offsets) if offsets else None,
            words=np.concatenate(words) if words else None,
            units=np.concatenate(units) if units else None,
            unit_starts=_joined_starts(unit_starts) if units else None,
            unit_sizes=sizes.pop() if sizes else (),
        )

    def offsets_of(self, row: int) -> np.ndarray:
        """Character offsets of one text, ``[tokens, 2]``."""
        if self.offsets is None:
            raise ValueError("tokenize with return_offsets=True to have character offsets")
        return self.offsets[self.starts[row] : self.starts[row + 1]]

    def units_of(self, token: int) -> np.ndarray:
        """Units of one token, counted through all texts."""
        if self.units is None or self.unit_starts is None:
            raise ValueError("this tokenizer gives no units; use one that does, e.g. WordTokenizer")
        return self.units[self.unit_starts[token] : self.unit_starts[token + 1]]


@runtime_checkable
class Tokenizer(Protocol):
    """Text to token ids.

    Attributes:
        vocab_size: ids are below this.
        max_length: longer texts are cut to this many tokens, special tokens included.
    """

    vocab_size: int
    max_length: int

    def __call__(self, texts: Sequence[str], *, return_offsets: bool = False) -> Tokenized:
        """Tokenizes texts; raises ``TypeError`` or ``ValueError`` for what is not text."""
        ...

    def save(self, directory: Path) -> None:
        """Writes what :meth:`from_directory` needs besides the options in the config."""
        ...


def ragged_sources(
    first: Int[np.ndarray, "N"], lengths: Int[np.ndarray, "N"]
) -> tuple[Int[np.ndarray, "T"], Int[np.ndarray, "N1"]]:
    """Where the elements of N stretches stand, one stretch after the other.

    Args:
        first: where each stretch begins.
        lengths: elements of each.

    Returns:
        Indices of all elements, and where each stretch begins among them, with the total.
    """
    starts = starts_of(lengths)
    return np.repeat(first - starts[:-1], lengths) + np.arange(starts[-1]), starts


def starts_of(lengths: Int[np.ndarray, "N"]) -> Int[np.ndarray, "N1"]:
    """Where stretches begin that stand one after the other, and their total at the end."""
    starts = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    return starts


def _joined_starts(parts: Sequence[np.ndarray]) -> np.ndarray:
    lengths = [np.diff(starts) for starts in parts]
    return np.concatenate([[0], np.cumsum(np.concatenate([np.zeros(0, np.int64), *lengths]))])


def check_texts(texts: Sequence[object], *, first: int = 0) -> None:
    """Raises for the first item that is not a string or cannot be written as UTF-8.

    Args:
        texts: the items.
        first: number of the first item, for messages.

    Raises:
        TypeError: an item is not a string.
        ValueError: a string has a lone surrogate.
    """
    for index, text in enumerate(texts, first):
        if not isinstance(text, str):
            hint = "decode it first, e.g. .decode('utf-8')" if isinstance(text, bytes) else (
                "convert it, or leave the row out")  # fmt: skip
            raise TypeError(
                f"texts[{index}] is {type(text).__name__} ({text!r:.40}), expected str; {hint}"
            )
        if text.isascii():  # known without looking at the characters
            continue
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"texts[{index}] has a lone surrogate {text[error.start]!r} at character "
                f"{error.start}, which is not valid text; repair it, e.g. with "
                "text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')"
            ) from error
