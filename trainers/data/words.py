"""The word each token belongs to."""

import dataclasses
import inspect
from collections.abc import Sequence

import numpy as np

from textzoo.modules.tokenizers import Tokenized, Tokenizer


def tokenize_with_words(tokenizer: Tokenizer, texts: Sequence[str]) -> Tokenized:
    """Tokenizes texts and numbers their words.

    A tokenizer that knows its words is asked for them. For others, words are what stands between
    white space, and a token belongs to the word its first character is in.

    Returns:
        Tokenized texts with ``words``, counted from zero in each text, -1 for special tokens.
    """
    texts = list(texts)
    if "return_words" in inspect.signature(tokenizer.__call__).parameters:
        return tokenizer(texts, return_words=True)  # type: ignore[call-arg]
    tokenized = tokenizer(texts, return_offsets=True)
    words = [_words_by_space(text, tokenized.offsets_of(row)) for row, text in enumerate(texts)]
    return dataclasses.replace(tokenized, words=np.concatenate([np.zeros(0, np.int32), *words]))


def _words_by_space(text: str, offsets: np.ndarray) -> np.ndarray:
    is_space = np.array([character.isspace() for character in text], bool)
    begins = ~is_space & np.concatenate([[True], is_space[:-1]])[: len(text)]
    number = np.cumsum(begins) - 1
    is_real = offsets[:, 0] < offsets[:, 1]
    words = np.full(len(offsets), -1, np.int32)
    words[is_real] = number[offsets[is_real, 0]]
    return words
