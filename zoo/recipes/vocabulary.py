"""A tokenizer of one's own, learned from the rows of a recipe."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, processors, trainers

from textzoo.modules import SubwordTokenizer
from textzoo.modules.tokenizers.subword import FILE_NAME
from textzoo.trainers.data import Source

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_AT_ONCE = 1024
# Enough that more text changes rare pieces only, and seconds rather than hours.
_CHARACTERS = 50_000_000


def learn_tokenizer(texts: Iterable[str], vocab_size: int, max_length: int) -> SubwordTokenizer:
    """Learns a lower-case WordPiece vocabulary, with BERT's special tokens.

    Args:
        texts: read up to some millions of words.
        vocab_size: at most so many pieces; a small corpus may have fewer.
        max_length: longer texts are cut to this many tokens.
    """
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size, special_tokens=list(SPECIAL_TOKENS), show_progress=False
    )
    tokenizer.train_from_iterator(_some(texts), trainer)
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=ends
    )
    return SubwordTokenizer(tokenizer, max_length=max_length)


def kept_tokenizer(folder: Path | None, max_length: int) -> SubwordTokenizer | None:
    """The tokenizer an earlier start of the run has learned."""
    if folder is None or not (folder / FILE_NAME).is_file():
        return None
    return SubwordTokenizer.from_directory(folder, max_length=max_length)


def texts_of(sources: Iterable[Source], columns: Iterable[str]) -> Iterator[str]:
    """All texts of some columns, source by source."""
    names = tuple(columns)
    for source in sources:
        for begin in range(0, len(source), _AT_ONCE):
            for row in source.read(range(begin, min(begin + _AT_ONCE, len(source)))):
                yield from (row[name] for name in names)


def _some(texts: Iterable[str]) -> Iterator[str]:
    characters = 0
    for text in texts:
        yield text
        characters += len(text)
        if characters > _CHARACTERS:
            return
