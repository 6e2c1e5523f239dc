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
        offsets: first and past-the-end character of each token, ``[tokens, 2]``, when asked for;
            tokens that stand for no characters (``[CLS]``) have equal ends.
    """

    ids: np.ndarray
    starts: np.ndarray
    truncated: np.ndarray
    offsets: np.ndarray | None = None

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


def check_texts(texts: Sequence[object]) -> None:
    """Raises for the first item that is not a string or cannot be written as UTF-8."""
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(
                f"texts[{index}] is {type(text).__name__} ({text!r:.40}), expected str; "
                "convert it, or leave the row out"
            )
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"texts[{index}] has a lone surrogate {text[error.start]!r} at character "
                f"{error.start}, which is not valid text; repair it, e.g. with "
                "text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')"
            ) from error
