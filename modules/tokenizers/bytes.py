"""UTF-8 bytes as tokens, as ByT5 and Charformer read them."""

from collections.abc import Sequence

import numpy as np

from textzoo.modules.tokenizers.symbols import (
    Symbols,
    SymbolTokenizer,
    code_points,
    is_white_space,
)

_FIRST = 3
_LAST = _FIRST + 255


class ByteTokenizer(SymbolTokenizer):
    """A token for each byte of a text's UTF-8 form (ByT5, Xue et al. 2022; Charformer).

    Padding is 0, the end of a text 1, an unknown token 2 (which no text has), byte b has the id
    ``b + 3``, and 125 ids from 259 on are free for sentinels. The first of these is the mask. A
    text is ``text </s>``. There is no vocabulary, so there is no file. The bytes of a character
    share its offsets.

    Args:
        max_length: longer texts are cut to this many tokens, special tokens included; that may be
            within a character.
        add_special_tokens: whether to add ``</s>``.

    Notes:
        The same ids as transformers' ``ByT5Tokenizer``, except that names of special tokens in a
        text are text here.

    Example:
        >>> ByteTokenizer(max_length=8)(["hé"]).ids.tolist()
        [107, 198, 172, 1]
    """

    vocab_size = 384
    before, after = (), (1,)
    special_ids = (0, 1, 2, *range(_LAST + 1, 384))
    mask_id = 259

    def __init__(self, *, max_length: int = 512, add_special_tokens: bool = True) -> None:
        super().__init__(max_length=max_length, add_special_tokens=add_special_tokens)

    def symbols(self, texts: list[str]) -> Symbols:
        """The bytes of texts."""
        encoded = [text.encode() for text in texts]
        data = np.frombuffer(b"".join(encoded), np.uint8)
        counts = np.fromiter(map(len, encoded), np.int64, count=len(texts))
        # Bytes from 0x80 to 0xBF continue a character.
        character = np.cumsum((data & 0xC0) != 0x80) - 1
        lengths = np.fromiter(map(len, texts), np.int64, count=len(texts))
        first = np.repeat(np.cumsum(lengths) - lengths, counts)
        return Symbols(
            ids=data.astype(np.int32) + _FIRST, counts=counts, characters=character - first,
            is_space=is_white_space(code_points(texts))[character],
        )  # fmt: skip

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids, without special tokens and without bytes of parts of characters."""
        data = bytes(number - _FIRST for number in ids if _FIRST <= number <= _LAST)
        return data.decode(errors="ignore")
