"""What tokenizers have in common whose tokens are the symbols of a text: bytes, code points."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Bool, Int, UInt32

from textzoo.modules.tokenizers.base import Tokenized, check_texts, ragged_sources, starts_of

# No white space has a larger code point; a test looks at all of them.
_SPACES = np.array([code for code in range(0x3001) if chr(code).isspace()], np.uint32)


class Symbols(NamedTuple):
    """The symbols of some texts, one text after the other.

    Attributes:
        ids: of each symbol.
        counts: symbols of each text.
        characters: the character of its text that a symbol stands for, or is a part of.
        is_space: whether that is white space.
    """

    ids: Int[np.ndarray, "T"]
    counts: Int[np.ndarray, "N"]
    characters: Int[np.ndarray, "T"]
    is_space: Bool[np.ndarray, "T"]


class SymbolTokenizer:
    """Symbols of a text as ids, with special tokens around them; a class says which, and how.

    Attributes:
        vocab_size: ids are below this.
        max_length: longer texts are cut to this many tokens, special tokens included.
        before, after: special tokens that stand before and after a text.
        special_ids: ids that are no symbol of a text.
        mask_id: the one that stands for what is to be guessed.
        pad_id: the one that stands for nothing.
    """

    vocab_size: int
    before: tuple[int, ...]
    after: tuple[int, ...]
    special_ids: tuple[int, ...]
    mask_id: int
    pad_id: int = 0

    def __init__(self, *, max_length: int, add_special_tokens: bool = True) -> None:
        special = len(self.before) + len(self.after) if add_special_tokens else 0
        if max_length <= special:
            raise ValueError(
                f"max_length={max_length} leaves no room for text beside {special} special tokens; "
                f"use {special + 1} or more"
            )
        self.max_length = max_length
        self.add_special_tokens = add_special_tokens

    def __call__(self, texts: Sequence[str], *, return_offsets: bool = False) -> Tokenized:
        """Tokenizes texts.

        Args:
            texts: what to tokenize.
            return_offsets: also find the character of each token.

        Raises:
            TypeError: an item is not a string.
            ValueError: a string has a lone surrogate.
        """
        texts = list(texts)
        check_texts(texts)
        before = self.before if self.add_special_tokens else ()
        after = self.after if self.add_special_tokens else ()
        room = self.max_length - len(before) - len(after)
        # A character is at least one symbol, so those behind are not needed, but for one that
        # shows that there are any.
        symbols = self.symbols([text[: room + 1] for text in texts])
        kept = np.minimum(symbols.counts, room)
        starts = starts_of(kept + len(before) + len(after))
        source, _ = ragged_sources(starts_of(symbols.counts)[:-1], kept)
        place, _ = ragged_sources(starts[:-1] + len(before), kept)
        ids = np.empty(int(starts[-1]), np.int32)
        ids[place] = symbols.ids[source]
        for index, special in enumerate(before):
            ids[starts[:-1] + index] = special
        for index, special in enumerate(after):
            ids[starts[1:] - len(after) + index] = special
        offsets = None
        if return_offsets:
            offsets = np.zeros((len(ids), 2), np.int64)
            ends = symbols.characters[source] + 1
            offsets[place] = np.stack([ends - ~symbols.is_space[source], ends], axis=1)
        return Tokenized(ids=ids, starts=starts, truncated=symbols.counts > room, offsets=offsets)

    def symbols(self, texts: list[str]) -> Symbols:
        """The symbols of texts, without special tokens."""
        raise NotImplementedError

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids, without special tokens."""
        raise NotImplementedError

    def save(self, directory: Path) -> None:
        """Writes nothing: the options in the config say it all."""

    def with_options(
        self, *, max_length: int | None = None, add_special_tokens: bool | None = None
    ) -> Self:
        """A tokenizer that differs in these options; this one is left as it is."""
        special = self.add_special_tokens if add_special_tokens is None else add_special_tokens
        return type(self)(max_length=max_length or self.max_length, add_special_tokens=special)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(max_length={self.max_length})"


def is_white_space(codes: UInt32[np.ndarray, "T"]) -> Bool[np.ndarray, "T"]:
    """Which code points are white space, as ``str.isspace`` says."""
    return np.isin(codes, _SPACES)


def code_points(texts: list[str]) -> UInt32[np.ndarray, "T"]:
    """The code points of texts, one text after the other."""
    return np.frombuffer("".join(texts).encode("utf-32-le"), np.dtype("<u4"))
