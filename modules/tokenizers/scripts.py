"""Which script a text is written in, by the names of its characters."""

import functools
import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from textzoo.modules.tokenizers.base import check_texts

# First words of Unicode's names of letters, and the codes of ISO 15924.
_CODES = {
    "ARABIC": "Arab", "ARMENIAN": "Armn", "BALINESE": "Bali", "BENGALI": "Beng",
    "BOPOMOFO": "Bopo", "CANADIAN": "Cans", "CHEROKEE": "Cher", "COPTIC": "Copt",
    "CYRILLIC": "Cyrl", "DEVANAGARI": "Deva", "ETHIOPIC": "Ethi", "GEORGIAN": "Geor",
    "GOTHIC": "Goth", "GREEK": "Grek", "GUJARATI": "Gujr", "GURMUKHI": "Guru", "HANGUL": "Hang",
    "CJK": "Hani", "HEBREW": "Hebr", "HIRAGANA": "Hira", "JAVANESE": "Java", "KATAKANA": "Kana",
    "KHMER": "Khmr", "KANNADA": "Knda", "LAO": "Laoo", "LATIN": "Latn", "MALAYALAM": "Mlym",
    "MONGOLIAN": "Mong", "MYANMAR": "Mymr", "NKO": "Nkoo", "OGHAM": "Ogam", "OL": "Olck",
    "ORIYA": "Orya", "RUNIC": "Runr", "SINHALA": "Sinh", "SUNDANESE": "Sund", "SYRIAC": "Syrc",
    "TAMIL": "Taml", "TELUGU": "Telu", "TIFINAGH": "Tfng", "THAANA": "Thaa", "THAI": "Thai",
    "TIBETAN": "Tibt", "YI": "Yiii",
}  # fmt: skip

SCRIPTS: tuple[str, ...] = tuple(_CODES.values())
"""Codes of ISO 15924; the number of a script is its place here, and never changes."""


@functools.lru_cache(maxsize=1 << 16)
def script_of_character(character: str) -> str | None:
    """The script of a letter or of a mark that belongs to letters, ``None`` for all else.

    Wide, narrow, mathematical and other forms of a letter have that of the letter.
    """
    plain = unicodedata.normalize("NFKC", character)[:1]
    if unicodedata.category(plain)[0] not in "LM":
        return None
    return _CODES.get(unicodedata.name(plain, "").split(" ")[0].split("-")[0])


def script_of(text: str) -> str | None:
    """The script of most letters of a text, the earlier one of two; ``None`` without letters.

    Example:
        >>> script_of("Привет, world!!"), script_of("1984")
        ('Cyrl', None)
    """
    counts: Counter[str] = Counter()
    for character, count in Counter(text).items():
        script = script_of_character(character)
        if script is not None:
            counts[script] += count
    return max(counts, key=counts.__getitem__) if counts else None


def script_ids(texts: Sequence[str]) -> Int[np.ndarray, "B"]:
    """Places in :data:`SCRIPTS` of the scripts of texts, -1 for texts without letters.

    Raises:
        TypeError: a text is not a string.
        ValueError: a text has a lone surrogate.
    """
    check_texts(texts)
    places = {code: place for place, code in enumerate(SCRIPTS)}
    found = [script_of(text) for text in texts]
    return np.array([-1 if code is None else places[code] for code in found], np.int32)
