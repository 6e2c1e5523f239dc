"""Tokenizers turn text into ids on the host."""

from textzoo.modules.tokenizers.base import Tokenized, Tokenizer, check_texts
from textzoo.modules.tokenizers.subword import SubwordTokenizer

__all__ = ["SubwordTokenizer", "Tokenized", "Tokenizer", "check_texts"]
