"""WordPiece, byte-level BPE and Unigram tokenizers, from a ``tokenizer.json`` file."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tokenizers

from textzoo.modules.tokenizers.base import Tokenized, check_texts

FILE_NAME = "tokenizer.json"


class SubwordTokenizer:
    """A tokenizer of the ``tokenizers`` library with a maximal length.

    Args:
        tokenizer: the library's tokenizer; its padding and truncation settings are replaced.
        max_length: longer texts are cut to this many tokens, special tokens included.
        add_special_tokens: whether to add ``[CLS]``, ``[SEP]`` and the like.
        drop_unknown: leave out tokens that are not in the vocabulary (static models).
    """

    def __init__(
        self,
        tokenizer: tokenizers.Tokenizer,
        *,
        max_length: int = 512,
        add_special_tokens: bool = True,
        drop_unknown: bool = False,
    ) -> None:
        if max_length < 1:
            raise ValueError(f"max_length={max_length} leaves no room for a token; use 1 or more")
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length)
        self._tokenizer = tokenizer
        self.max_length = max_length
        self.add_special_tokens = add_special_tokens
        self.drop_unknown = drop_unknown
        self.vocab_size = max(tokenizer.get_vocab().values(), default=-1) + 1
        self._unknown = tokenizer.token_to_id(_unknown_token(tokenizer)) if drop_unknown else None

    @classmethod
    def from_directory(
        cls,
        directory: Path,
        *,
        max_length: int = 512,
        add_special_tokens: bool = True,
        drop_unknown: bool = False,
    ) -> "SubwordTokenizer":
        """Reads ``tokenizer.json`` in ``directory``."""
        path = Path(directory) / FILE_NAME
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} does not exist; a SubwordTokenizer needs it. Save a fast tokenizer "
                "there (transformers: AutoTokenizer.from_pretrained(...).save_pretrained(...))"
            )
        try:
            tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises plain Exception
            raise ValueError(f"{path} is not a tokenizer file: {error}") from error
        return cls(
            tokenizer, max_length=max_length, add_special_tokens=add_special_tokens,
            drop_unknown=drop_unknown,
        )  # fmt: skip

    def save(self, directory: Path) -> None:
        """Writes ``tokenizer.json`` into ``directory``."""
        self._tokenizer.save(str(Path(directory) / FILE_NAME))

    def __call__(self, texts: Sequence[str], *, return_offsets: bool = False) -> Tokenized:
        """Tokenizes texts.

        Raises:
            TypeError: an item is not a string.
            ValueError: a string has a lone surrogate.
        """
        texts = list(texts)
        run = self._tokenizer.encode_batch if return_offsets else self._tokenizer.encode_batch_fast
        try:
            encodings = run(texts, add_special_tokens=self.add_special_tokens)
        except (TypeError, UnicodeEncodeError):
            check_texts(texts)
            raise
        lists = [encoding.ids for encoding in encodings]
        starts = np.zeros(len(texts) + 1, np.int64)
        np.cumsum([len(ids) for ids in lists], out=starts[1:])
        ids = np.fromiter(itertools.chain.from_iterable(lists), np.int32, count=int(starts[-1]))
        offsets = None
        if return_offsets:
            pairs = [np.asarray(e.offsets, np.int64).reshape(-1, 2) for e in encodings]
            offsets = np.concatenate([np.zeros((0, 2), np.int64), *pairs])
        truncated = np.array([bool(e.overflowing) for e in encodings], bool)
        tokenized = Tokenized(ids=ids, starts=starts, truncated=truncated, offsets=offsets)
        return tokenized if self._unknown is None else _drop(tokenized, self._unknown)

    def token_to_id(self, token: str) -> int | None:
        """The id of a token, ``None`` when the vocabulary lacks it."""
        return self._tokenizer.token_to_id(token)

    def id_to_token(self, token_id: int) -> str | None:
        """The token of an id."""
        return self._tokenizer.id_to_token(token_id)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, without special tokens."""
        return self._tokenizer.decode(list(ids))


def _unknown_token(tokenizer: tokenizers.Tokenizer) -> str:
    return getattr(tokenizer.model, "unk_token", None) or "[UNK]"


def _drop(tokenized: Tokenized, token_id: int) -> Tokenized:
    keep = tokenized.ids != token_id
    kept_before = np.concatenate([[0], np.cumsum(keep)])
    return Tokenized(
        ids=tokenized.ids[keep],
        starts=kept_before[tokenized.starts],
        truncated=tokenized.truncated,
        offsets=None if tokenized.offsets is None else tokenized.offsets[keep],
    )
