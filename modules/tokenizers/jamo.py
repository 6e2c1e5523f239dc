"""The letters of Hangul as tokens, and bytes for everything else."""

import unicodedata
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, UInt32

from textzoo.modules.tokenizers.symbols import (
    Symbols,
    SymbolTokenizer,
    code_points,
    is_white_space,
)

_FIRST_LETTER = 4
_JAMO, _NUM_JAMO = 0x1100, 256
_FIRST_BYTE = _FIRST_LETTER + _NUM_JAMO
_SYLLABLES, _LAST_SYLLABLE = 0xAC00, 0xD7A3
_INITIALS, _VOWELS, _FINALS = 0x1100, 0x1161, 0x11A7
_NUM_VOWELS, _NUM_FINALS = 21, 28
_COMPATIBLE, _NUM_COMPATIBLE = 0x3130, 96


def _letters_of_keys() -> Int[np.ndarray, "T"]:
    """The letter that each letter standing alone (U+3131, ...) is, or zero."""
    found = [unicodedata.normalize("NFKD", chr(_COMPATIBLE + n)) for n in range(_NUM_COMPATIBLE)]
    codes = [ord(text) if len(text) == 1 else 0 for text in found]
    return np.array([c if _JAMO <= c < _JAMO + _NUM_JAMO else 0 for c in codes], np.int64)


_KEYS = _letters_of_keys()


class JamoTokenizer(SymbolTokenizer):
    """A token for each letter (jamo) of Hangul, and for each UTF-8 byte of all else.

    A syllable is two or three letters, as NFKD cuts it: an initial, a vowel, and a final one if it
    has any; they share its offsets. KR-BERT (Lee et al. 2020) finds pieces of such letters, for
    which there is ``BidirectionalWordPieceTokenizer(decompose=True)``; here each is a token, and
    there is no vocabulary and no file.

    Padding is 0, a text begins with 1 and ends with 2, the mask is 3, letters U+1100 to U+11FF have
    the ids 4 to 259, and byte b has ``b + 260``.

    Args:
        max_length: longer texts are cut to this many tokens, special tokens included; that may be
            within a syllable.
        add_special_tokens: whether to add the first and the last token.

    Notes:
        Letters that stand alone (U+314B of a laughter) become initials, vowels and finals, as NFKD
        has it, and stay these when they are decoded; everything else comes back as it was, where
        syllables were composed.

    Example:
        >>> tokenizer = JamoTokenizer()
        >>> [chr(number - 4 + 0x1100) for number in tokenizer(["뱃"]).ids[1:-1]]
        ['ᄇ', 'ᅢ', 'ᆺ']
        >>> tokenizer.decode(tokenizer(["뱃사람 ok"]).ids)
        '뱃사람 ok'
    """

    vocab_size = _FIRST_BYTE + 256
    before, after = (1,), (2,)
    special_ids = (0, 1, 2, 3)
    mask_id = 3

    def __init__(self, *, max_length: int = 512, add_special_tokens: bool = True) -> None:
        super().__init__(max_length=max_length, add_special_tokens=add_special_tokens)

    def symbols(self, texts: list[str]) -> Symbols:
        """The letters and bytes of texts."""
        codes = code_points(texts)
        letters, widths = _letters(codes)
        is_hangul = letters[:, 0] > 0
        bytes_of = 1 + (codes >= 0x80) + (codes >= 0x800).astype(np.int64) + (codes >= 0x10000)
        sizes = np.where(is_hangul, widths, bytes_of)
        character = np.repeat(np.arange(len(codes)), sizes)
        place = np.arange(len(character)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        data = np.frombuffer("".join(texts).encode(), np.uint8)
        first_byte = (np.cumsum(bytes_of) - bytes_of)[character]
        of_hangul = is_hangul[character]
        ids = np.empty(len(character), np.int32)
        ids[of_hangul] = (letters[character, np.minimum(place, 2)] - _JAMO)[of_hangul]
        ids[of_hangul] += _FIRST_LETTER
        ids[~of_hangul] = data[(first_byte + place)[~of_hangul]].astype(np.int32) + _FIRST_BYTE
        lengths = np.fromiter(map(len, texts), np.int64, count=len(texts))
        ends = np.concatenate([[0], np.cumsum(sizes)])[np.cumsum(lengths)]
        counts = np.diff(ends, prepend=0)
        own = np.repeat(np.cumsum(lengths) - lengths, lengths)
        return Symbols(
            ids=ids, counts=counts, characters=(np.arange(len(codes)) - own)[character],
            is_space=is_white_space(codes)[character],
        )  # fmt: skip

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids, without special tokens and without parts of characters."""
        data = bytearray()
        for number in ids:
            if number >= _FIRST_BYTE:
                data.append(number - _FIRST_BYTE)
            elif number >= _FIRST_LETTER:
                data += chr(number - _FIRST_LETTER + _JAMO).encode()
        return _composed(data.decode(errors="ignore"))


def _letters(
    codes: UInt32[np.ndarray, "T"],
) -> tuple[Int[np.ndarray, "T 3"], Int[np.ndarray, "T"]]:
    """Code points of the letters of each character of Hangul, and how many; zero for others."""
    codes = codes.astype(np.int64)
    letters = np.zeros((len(codes), 3), np.int64)
    widths = np.zeros(len(codes), np.int64)
    syllable = (codes >= _SYLLABLES) & (codes <= _LAST_SYLLABLE)
    rest, final = np.divmod(codes[syllable] - _SYLLABLES, _NUM_FINALS)
    initial, vowel = np.divmod(rest, _NUM_VOWELS)
    letters[syllable] = np.stack([_INITIALS + initial, _VOWELS + vowel, _FINALS + final], axis=1)
    widths[syllable] = 2 + (final > 0)
    alone = (codes >= _JAMO) & (codes < _JAMO + _NUM_JAMO)
    letters[alone, 0], widths[alone] = codes[alone], 1
    key = (codes >= _COMPATIBLE) & (codes < _COMPATIBLE + _NUM_COMPATIBLE)
    letters[key, 0] = _KEYS[codes[key] - _COMPATIBLE]
    widths[key] = letters[key, 0] > 0
    return letters, widths


def _composed(text: str) -> str:
    """Letters as syllables where they make some; all other characters as they are."""
    found, start = [], 0
    while start < len(text):
        end = start
        while end < len(text) and _JAMO <= ord(text[end]) < _JAMO + _NUM_JAMO:
            end += 1
        if end > start:
            found.append(unicodedata.normalize("NFC", text[start:end]))
        else:
            end += 1
            found.append(text[start:end])
        start = end
    return "".join(found)
