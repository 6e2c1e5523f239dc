"""Tokenizers turn text into ids on the host."""

from textzoo.modules.tokenizers.base import Tokenized, Tokenizer, check_texts
from textzoo.modules.tokenizers.bidirectional import BidirectionalWordPieceTokenizer
from textzoo.modules.tokenizers.bytes import ByteTokenizer
from textzoo.modules.tokenizers.code_points import CodePointTokenizer
from textzoo.modules.tokenizers.jamo import JamoTokenizer
from textzoo.modules.tokenizers.lexical import LexicalTokenizer
from textzoo.modules.tokenizers.mixed import MixedVocabularyTokenizer
from textzoo.modules.tokenizers.n_grams import NGramTokenizer
from textzoo.modules.tokenizers.subword import SubwordTokenizer
from textzoo.modules.tokenizers.whole_words import WholeWordTokenizer
from textzoo.modules.tokenizers.words import WordTokenizer

__all__ = [
    "BidirectionalWordPieceTokenizer",
    "ByteTokenizer",
    "CodePointTokenizer",
    "JamoTokenizer",
    "LexicalTokenizer",
    "MixedVocabularyTokenizer",
    "NGramTokenizer",
    "SubwordTokenizer",
    "Tokenized",
    "Tokenizer",
    "WholeWordTokenizer",
    "WordTokenizer",
    "check_texts",
]
