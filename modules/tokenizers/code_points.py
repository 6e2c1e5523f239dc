"""Unicode code points as tokens, as CANINE reads them."""

from collections.abc import Sequence

import numpy as np

from textzoo.modules.tokenizers.symbols import (
    Symbols,
    SymbolTokenizer,
    code_points,
    is_white_space,
)

_REPLACEMENT = 0xFFFD


class CodePointTokenizer(SymbolTokenizer):
    """A token for each character: its Unicode code point (CANINE, Clark et al. 2022).

    Special tokens are code points of the private use area, which no character will ever have:
    ``[CLS]`` is U+E000, ``[SEP]`` U+E001, ``[MASK]`` U+E003; padding is U+0000. A text is
    ``[CLS] text [SEP]``. There is no vocabulary, so there is no file.

    Args:
        max_length: longer texts are cut to this many tokens, special tokens included.
        add_special_tokens: whether to add ``[CLS]`` and ``[SEP]``.
        vocab_size: ids are below this; characters from there on are U+FFFD. With 65,536, a table
            may have a row for each.

    Notes:
        The same ids as transformers' ``CanineTokenizer``, except that names of special tokens in
        a text are text here. A text that itself has characters of the private use area has the
        ids of special tokens there, as in the reference.

    Example:
        >>> CodePointTokenizer(max_length=8)(["hé"]).ids.tolist()
        [57344, 104, 233, 57345]
    """

    vocab_size = 0x110000
    before, after = (0xE000,), (0xE001,)
    special_ids = (0, 0xE000, 0xE001, 0xE002, 0xE003, 0xE004)
    mask_id = 0xE003

    def __init__(
        self, *, max_length: int = 2048, add_special_tokens: bool = True,
        vocab_size: int = 0x110000,
    ) -> None:  # fmt: skip
        super().__init__(max_length=max_length, add_special_tokens=add_special_tokens)
        if not _REPLACEMENT < vocab_size <= 0x110000:
            raise ValueError(
                f"vocab_size={vocab_size}; use 65536, or up to 1114112, the number of code points"
            )
        self.vocab_size = vocab_size

    def with_options(
        self, *, max_length: int | None = None, add_special_tokens: bool | None = None
    ) -> "CodePointTokenizer":
        """A tokenizer that differs in these options; this one is left as it is."""
        special = self.add_special_tokens if add_special_tokens is None else add_special_tokens
        return CodePointTokenizer(
            max_length=max_length or self.max_length, add_special_tokens=special,
            vocab_size=self.vocab_size,
        )  # fmt: skip

    def symbols(self, texts: list[str]) -> Symbols:
        """The code points of texts."""
        codes = code_points(texts)
        counts = np.fromiter(map(len, texts), np.int64, count=len(texts))
        first = np.repeat(np.cumsum(counts) - counts, counts)
        return Symbols(
            ids=np.where(codes < self.vocab_size, codes, _REPLACEMENT).astype(np.int32),
            counts=counts, characters=np.arange(len(codes)) - first,
            is_space=is_white_space(codes),
        )  # fmt: skip

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids, without special tokens."""
        return "".join(chr(code) for code in ids if code not in self.special_ids)
