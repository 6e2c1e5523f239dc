"""Making the character offsets of different tokenizers mean the same."""

import unicodedata
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int


def tidy_offsets(
    offsets: Int[np.ndarray, "T 2"], starts: Int[np.ndarray, "N1"], texts: Sequence[str]
) -> Int[np.ndarray, "T 2"]:
    """Trims white space off tokens and gives them the marks that belong to their last letter.

    Byte-level BPE and Unigram put the space before a word into the word's token, and some files
    leave it out of the offsets while others do not. Normalizers that compose or drop accents give
    a token the offsets of the bare letter. Here no token begins or ends with white space, a token
    of nothing else is empty, and combining marks that no token claims belong to the one before.

    Args:
        offsets: first and past-the-end character of each token of each text.
        starts: first token of each text, and the total at the end.
        texts: what was tokenized.

    Returns:
        New offsets, within the texts.
    """
    sizes = np.fromiter(map(len, texts), np.int64, count=len(texts))
    base = np.repeat(np.concatenate([[0], np.cumsum(sizes)])[:-1], np.diff(starts))
    limit = base + np.repeat(sizes, np.diff(starts))
    joined = "".join(texts)
    codes = np.frombuffer(joined.encode("utf-32-le"), np.uint32)
    left = np.minimum(offsets[:, 0] + base, limit)
    right = np.clip(offsets[:, 1] + base, left, limit)
    if not joined.isascii():
        right = _with_marks(left, right, codes, limit)
    distinct, inverse = np.unique(codes, return_inverse=True)
    is_space = np.array([chr(code).isspace() for code in distinct], bool)[inverse]
    position = np.arange(len(codes) + 1)
    # For every character: where the next one that is not white space stands, and the last before.
    solid = np.where(np.append(is_space, False), len(codes), position)
    next_solid = np.minimum.accumulate(solid[::-1])[::-1]
    after_solid = np.maximum.accumulate(np.concatenate([[0], np.where(is_space, 0, position[1:])]))
    left = np.minimum(next_solid[left], right)
    right = np.maximum(after_solid[right], left)
    return np.stack([left - base, right - base], axis=1)


def _with_marks(
    left: np.ndarray, right: np.ndarray, codes: np.ndarray, limit: np.ndarray
) -> np.ndarray:
    """Past-the-end characters, moved behind combining marks that the next token does not claim."""
    distinct, inverse = np.unique(codes, return_inverse=True)
    is_mark = np.array([unicodedata.category(chr(code))[0] == "M" for code in distinct], bool)
    position = np.arange(len(codes) + 1)
    no_mark = np.where(np.append(is_mark[inverse], False), len(codes), position)
    run_end = np.minimum.accumulate(no_mark[::-1])[::-1]
    # The next token with characters, also across empty ones such as [SEP].
    claimed = np.where(left < right, left, len(codes))
    next_left = np.append(np.minimum.accumulate(claimed[::-1])[::-1], len(codes))[1:]
    moved = np.minimum(np.minimum(run_end[right], limit), np.maximum(next_left, right))
    return np.where(left < right, moved, right)
