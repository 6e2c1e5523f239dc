"""Phrases: other ways to write them, what kind they are, and rows to train their vectors on."""

from textzoo.phrases.augmentation import CHANGES, CHARACTER_EDITS, PhraseAugmentation
from textzoo.phrases.rows import (
    augmented_rows,
    paraphrase_rows,
    paraphrases_of,
    read_pairs,
    read_synonyms,
)
from textzoo.phrases.types import PHRASE_TYPES, phrase_type

__all__ = [
    "CHANGES",
    "CHARACTER_EDITS",
    "PHRASE_TYPES",
    "PhraseAugmentation",
    "augmented_rows",
    "paraphrase_rows",
    "paraphrases_of",
    "phrase_type",
    "read_pairs",
    "read_synonyms",
]
