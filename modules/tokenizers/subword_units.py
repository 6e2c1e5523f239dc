"""The bytes, characters or n-grams of every piece of a subword vocabulary."""

import functools
import re

import numpy as np
import tokenizers
from jaxtyping import Int

from textzoo.modules.tokenizers.n_grams import piece_n_grams
from textzoo.modules.tokenizers.units import UnitVocabulary

_BYTE_PIECE = re.compile("<0x([0-9A-F]{2})>")


def piece_units(
    tokenizer: tokenizers.Tokenizer, vocabulary: UnitVocabulary, *, max_units: int,
    mark_words: bool, special: set[int],
) -> tuple[Int[np.ndarray, "U"], Int[np.ndarray, "V1"]]:  # fmt: skip
    """A table of units by id: those of all ids one after the other, and where each begins.

    Args:
        tokenizer: of the library.
        vocabulary: numbers of the units.
        max_units: longer pieces are cut.
        mark_words: put a unit before the pieces that begin a word, or a sign that n-grams see.
        special: ids that are no text, besides those the tokenizer knows as such.
    """
    tokens = {number: token for token, number in tokenizer.get_vocab().items()}
    added = tokenizer.get_added_tokens_decoder()
    special = special | {number for number, token in added.items() if token.special}
    alone = _roles(tokenizer, vocabulary)
    spell = _Spelling(tokenizer)
    found: list[int] = []
    starts = [0]
    for number in range(max(tokens, default=-1) + 1):
        if number in special:
            found.append(alone.get(number, vocabulary.special))
        elif number in tokens:
            begins, spelled = spell(tokens[number])
            if vocabulary.kind == "n_grams":
                found.extend(
                    piece_n_grams(spelled, vocabulary, begins=begins and mark_words)[:max_units]
                )
                starts.append(len(found))
                continue
            mark = [vocabulary.word_begins] if begins and mark_words else []
            found.extend((mark + _units(spelled, vocabulary))[:max_units])
        starts.append(len(found))
    return np.array(found, np.int32), np.array(starts, np.int64)


def _units(spelled: str | bytes, vocabulary: UnitVocabulary) -> list[int]:
    if vocabulary.kind == "bytes":
        return list(spelled.encode() if isinstance(spelled, str) else spelled)
    text = spelled if isinstance(spelled, str) else spelled.decode(errors="replace")
    return [ord(character) % vocabulary.num_characters for character in text]


def _roles(tokenizer: tokenizers.Tokenizer, vocabulary: UnitVocabulary) -> dict[int, int]:
    """The units of special tokens that begin or end a text, or mask a part of it."""
    roles = {
        number: vocabulary.mask
        for number, token in tokenizer.get_added_tokens_decoder().items()
        if token.special and "mask" in token.content.lower()
    }
    around = tokenizer.encode("").ids
    if around:
        roles[around[-1]] = vocabulary.text_ends
    if len(around) > 1:
        roles[around[0]] = vocabulary.text_begins
    return roles


class _Spelling:
    """Whether a piece begins a word, and its text, or its bytes where it may be half a character.

    A space that a piece begins with says the former, and is no part of its text, unless there is
    nothing else.
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        model = tokenizer.model
        kinds = tokenizers.models
        self._inside = (
            model.continuing_subword_prefix if isinstance(model, kinds.WordPiece) else None
        )
        self._suffix = getattr(model, "end_of_word_suffix", None) or ""
        steps = (tokenizer.pre_tokenizer, tokenizer.decoder)
        self._is_bytes = any(b'"ByteLevel"' in bytes(s.__getstate__()) for s in steps if s)
        self._has_words = isinstance(model, kinds.WordPiece | kinds.WordLevel)

    def __call__(self, piece: str) -> tuple[bool, str | bytes]:
        if self._is_bytes:
            data = bytes(_byte_of()[character] for character in piece if character in _byte_of())
            begins = data.startswith(b" ")
            return begins, (data[1:] or data) if begins else data
        if self._has_words:
            inside = bool(self._inside) and piece.startswith(str(self._inside))
            return not inside, piece[len(str(self._inside)) :] if inside else piece
        if byte := _BYTE_PIECE.fullmatch(piece):
            return False, bytes([int(byte[1], 16)])
        text = piece.removesuffix(self._suffix) if self._suffix else piece
        begins = text.startswith("\u2581")
        text = text[begins:].replace("\u2581", " ")
        return begins, text or " "


@functools.cache
def _byte_of() -> dict[str, int]:
    """The byte of each letter that byte-level BPE writes bytes with (GPT-2)."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {
        chr(256 + turn): byte for turn, byte in enumerate(hidden)
    }
