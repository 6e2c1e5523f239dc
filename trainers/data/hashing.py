"""Hashes of texts that are the same on every machine."""

import unicodedata
import zlib


def text_key(text: str) -> int:
    """A 32-bit hash of a text: CRC-32 of its NFC form in UTF-8.

    Two different texts have the same one with a probability of 2^-32.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return zlib.crc32(text.encode())
