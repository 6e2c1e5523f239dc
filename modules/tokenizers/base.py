"""What every tokenizer returns, and the protocol it follows."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

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
    """

    ids: np.ndarray
    starts: np.ndarray
    truncated: np.ndarray
    offsets: np.ndarray | None = None
    words: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each text, ``[N]``."""
        return np.diff(self.starts)

    def batch(self, rows: np.ndarray, length: int, size: int | None = None) -> TextBatch:
        """Pads some texts to a batch of numpy arrays.

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
        ids[mask] = self.ids[sources[mask[: len(rows)]]]
        return TextBatch(ids=ids, mask=mask)

    def select(self, rows: np.ndarray) -> "Tokenized":
        """Returns the chosen texts, in the order of ``rows``."""
        lengths = self.lengths[rows]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        source = np.repeat(self.starts[rows] - starts[:-1], lengths) + np.arange(starts[-1])
        return Tokenized(
            ids=self.ids[source],
            starts=starts,
            truncated=self.truncated[rows],
            offsets=None if self.offsets is None else self.offsets[source],
            words=None if self.words is None else self.words[source],
        )

    @staticmethod
    def concatenate(parts: Sequence["Tokenized"]) -> "Tokenized":
        """Joins the texts of several; all of them have offsets, or none, and words, or none."""
        if len(parts) == 1:
            return parts[0]
        lengths = np.concatenate([np.zeros(0, np.int64), *(part.lengths for part in parts)])
        offsets = [part.offsets for part in parts if part.offsets is not None]
        words = [part.words for part in parts if part.words is not None]
        for name, found in (("offsets", offsets), ("words", words)):
            if len(found) not in (0, len(parts)):
                raise ValueError(f"some parts have {name} and some have none; tokenize them alike")
        return Tokenized(
            ids=np.concatenate([np.zeros(0, np.int32), *(part.ids for part in parts)]),
            starts=np.concatenate([[0], np.cumsum(lengths)]),
            truncated=np.concatenate([np.zeros(0, bool), *(part.truncated for part in parts)]),
            offsets=np.concatenate(offsets) if offsets else None,
            words=np.concatenate(words) if words else None,
        )

    def offsets_of(self, row: int) -> np.ndarray:
        """Character offsets of one text, ``[tokens, 2]``."""
        if self.offsets is None:
            raise ValueError("tokenize with return_offsets=True to have character offsets")
        return self.offsets[self.starts[row] : self.starts[row + 1]]


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
