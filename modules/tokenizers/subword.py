"""WordPiece, byte-level BPE and Unigram tokenizers, from a ``tokenizer.json`` file."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers

from textzoo.modules.tokenizers.base import Tokenized
from textzoo.modules.tokenizers.offsets import tidy_offsets
from textzoo.modules.tokenizers.subword_units import piece_units
from textzoo.modules.tokenizers.units import UnitVocabulary, unit_sizes
from textzoo.modules.tokenizers.word_spans import in_pieces

FILE_NAME = "tokenizer.json"

# The library's result of a text takes a hundred times the memory of its ids, so long inputs are
# tokenized in pieces: enough texts to keep every core busy, and no more.
_PIECE_TEXTS = 2048
_PIECE_CHARACTERS = 1 << 21

# The library gives a batch to threads of its own. To wake them takes longer than this many
# characters, far longer where threads wait for a processor.
_FEW_CHARACTERS = 256


class SubwordTokenizer:
    """A tokenizer of the ``tokenizers`` library with a maximal length.

    It may be called from several threads at once. An empty text, or one of nothing but white
    space, is its special tokens alone; without special tokens it has no tokens.

    Args:
        tokenizer: the library's tokenizer, which is left as it is: padding and truncation are set
            on a copy.
        max_length: longer texts are cut to this many tokens, special tokens included.
        add_special_tokens: whether to add ``[CLS]``, ``[SEP]`` and the like.
        drop_unknown: leave out tokens that are not in the vocabulary (static models). They count
            towards ``max_length``, because they are dropped after the text was cut.
        lowercase: lower the case of texts first (sentence-transformers' ``do_lower_case``), letter
            by letter, so that offsets stay right.
        units: ``"bytes"``, ``"characters"`` or ``"n_grams"`` (the set of them) to give each token
            those of its piece as units, from a table by id; see :class:`UnitVocabulary` for their
            numbers. The sign of a piece that goes on (``##``) or begins a word (a space) is none
            of them. A special token, the unknown one too, has a unit of its own.
        max_units: longer pieces are known by their first units alone; n-grams go by their length.
        num_characters: characters are code points, and n-grams hashes, modulo this.
        mark_words: put a unit before those of a piece that begins a word; n-grams see ``<`` there.
        n_grams: characters of the smallest and of the largest n-gram.
    """

    def __init__(
        self, tokenizer: tokenizers.Tokenizer, *, max_length: int = 512,
        add_special_tokens: bool = True, drop_unknown: bool = False, lowercase: bool = False,
        units: str | None = None, max_units: int = 16, num_characters: int = 1 << 16,
        mark_words: bool = False, n_grams: Sequence[int] = (1, 3),
    ) -> None:  # fmt: skip
        special = tokenizer.num_special_tokens_to_add(False) if add_special_tokens else 0
        if max_length <= special:
            raise ValueError(
                f"max_length={max_length} leaves no room for text beside {special} special tokens; "
                f"use {special + 1} or more"
            )
        if tokenizer.padding is not None or not _cuts_at(tokenizer, max_length) or lowercase:
            tokenizer = tokenizers.Tokenizer.from_str(tokenizer.to_str())
            _configure(tokenizer, max_length)
        if lowercase:
            _add_lowercase(tokenizer)
        self._tokenizer = tokenizer
        self.max_length = max_length
        self.add_special_tokens = add_special_tokens
        self.drop_unknown = drop_unknown
        self.lowercase = lowercase
        self.vocab_size = max(tokenizer.get_vocab().values(), default=-1) + 1
        self._unknown = _unknown_id(tokenizer) if drop_unknown else None
        if max_units < 1 + mark_words:
            raise ValueError(f"max_units={max_units}; use {1 + mark_words} or more")
        self.units = units
        self.max_units = max_units
        self.num_characters = num_characters
        self.mark_words = mark_words
        self.n_grams = _pair(n_grams)
        self.unit_vocab_size: int | None = None
        self._unit_table: tuple[np.ndarray, np.ndarray] | None = None
        if units is not None:
            vocabulary = UnitVocabulary(
                kind=units, num_characters=num_characters, n_grams=self.n_grams
            )
            self.unit_vocab_size = vocabulary.size
            unknown = _unknown_id(tokenizer)
            self._unit_table = piece_units(
                tokenizer, vocabulary, max_units=max_units, mark_words=mark_words,
                special=set() if unknown is None else {unknown},
            )  # fmt: skip

        kinds = tokenizers.models
        has_words = isinstance(tokenizer.model, kinds.WordPiece | kinds.WordLevel)
        self._space = None if has_words else tokenizer.token_to_id("\u2581")

    @classmethod
    def from_directory(
        cls, directory: Path, *, max_length: int = 512, add_special_tokens: bool = True,
        drop_unknown: bool = False, lowercase: bool = False, units: str | None = None,
        max_units: int = 16, num_characters: int = 1 << 16, mark_words: bool = False,
        n_grams: Sequence[int] = (1, 3),
    ) -> "SubwordTokenizer":  # fmt: skip
        """Reads ``tokenizer.json`` in ``directory``.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it is not a tokenizer's file.
        """
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
        if max_length >= 1:
            _configure(tokenizer, max_length)  # nobody else has it, so no copy is needed
        return cls(
            tokenizer, max_length=max_length, add_special_tokens=add_special_tokens,
            drop_unknown=drop_unknown, lowercase=lowercase, units=units, max_units=max_units,
            num_characters=num_characters, mark_words=mark_words, n_grams=n_grams,
        )  # fmt: skip

    def save(self, directory: Path) -> None:
        """Writes ``tokenizer.json`` into ``directory``."""
        self._tokenizer.save(str(Path(directory) / FILE_NAME))

    def with_options(
        self, *, max_length: int | None = None, add_special_tokens: bool | None = None,
        units: str | None = None, max_units: int | None = None,
        num_characters: int | None = None, mark_words: bool | None = None,
        n_grams: Sequence[int] | None = None,
    ) -> "SubwordTokenizer":  # fmt: skip
        """A tokenizer that differs in what is given; this one is left as it is."""
        given = {
            "max_length": max_length, "add_special_tokens": add_special_tokens, "units": units,
            "max_units": max_units, "num_characters": num_characters, "mark_words": mark_words,
            "n_grams": n_grams,
        }  # fmt: skip
        options: dict[str, Any] = {
            name: getattr(self, name) if value is None else value for name, value in given.items()
        }
        return SubwordTokenizer(
            self._tokenizer, drop_unknown=self.drop_unknown, lowercase=self.lowercase, **options
        )

    @property
    def unit_table(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Units of all ids one after the other, and where each begins; ``None`` without units."""
        return self._unit_table

    def __call__(
        self, texts: Sequence[str], *, return_offsets: bool = False, return_words: bool = False
    ) -> Tokenized:
        """Tokenizes texts.

        Args:
            texts: what to tokenize.
            return_offsets: also find the characters of each token.
            return_words: also number the words, which are what the tokenizer cuts a text into
                before it looks for pieces (``word_ids`` of the library).

        Raises:
            TypeError: an item is not a string.
            ValueError: a string has a lone surrogate.
        """
        tokenized = in_pieces(
            texts, lambda piece: self._tokenize(piece, return_offsets, return_words),
            max_texts=_PIECE_TEXTS, max_characters=_PIECE_CHARACTERS,
        )  # fmt: skip
        if self._unit_table is None:
            return tokenized
        return tokenized.with_units(*self._unit_table, unit_sizes(self.max_units), of=tokenized.ids)

    def _tokenize(self, texts: list[str], return_offsets: bool, return_words: bool) -> Tokenized:
        encodings = self._encode(texts, with_places=return_offsets or return_words)
        lists = [encoding.ids for encoding in encodings]
        starts = np.zeros(len(texts) + 1, np.int64)
        np.cumsum([len(ids) for ids in lists], out=starts[1:])
        ids = np.fromiter(itertools.chain.from_iterable(lists), np.int32, count=int(starts[-1]))
        # Only a full row can have been cut; asking the library copies what was cut off.
        truncated = np.array(
            [
                len(ids_of_text) >= self.max_length and bool(encoding.overflowing)
                for ids_of_text, encoding in zip(lists, encodings, strict=True)
            ],
            bool,
        )
        offsets = None
        if return_offsets:
            pairs = [np.asarray(e.offsets, np.int64).reshape(-1, 2) for e in encodings]
            offsets = np.concatenate([np.zeros((0, 2), np.int64), *pairs])
            # A lone space before the first word is put there by the library, and gets the offsets
            # of the word's first letter.
            if self._space is not None:
                is_space = ids == self._space
                offsets[is_space, 1] = offsets[is_space, 0]
            offsets = tidy_offsets(offsets, starts, texts)
        words = None
        if return_words:
            numbers = itertools.chain.from_iterable(e.word_ids for e in encodings)
            words = np.fromiter((-1 if n is None else n for n in numbers), np.int32, count=len(ids))
        tokenized = Tokenized(
            ids=ids, starts=starts, truncated=truncated, offsets=offsets, words=words
        )
        return tokenized if self._unknown is None else _drop(tokenized, self._unknown)

    def _encode(self, texts: list[str], *, with_places: bool) -> list[tokenizers.Encoding]:
        """What the library makes of texts, cut and with special tokens."""
        special = self.add_special_tokens
        if sum(map(len, texts)) <= _FEW_CHARACTERS:
            encode = self._tokenizer.encode
            return [encode(text, add_special_tokens=special) for text in texts]
        if with_places:
            return self._tokenizer.encode_batch(texts, add_special_tokens=special)
        # This one knows neither characters nor words.
        return self._tokenizer.encode_batch_fast(texts, add_special_tokens=special)

    def token_to_id(self, token: str) -> int | None:
        """The id of a token, ``None`` when the vocabulary lacks it."""
        return self._tokenizer.token_to_id(token)

    def id_to_token(self, token_id: int) -> str | None:
        """The token of an id."""
        return self._tokenizer.id_to_token(token_id)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, without special tokens."""
        return self._tokenizer.decode(list(ids))

    def __repr__(self) -> str:
        kind = type(self._tokenizer.model).__name__
        return f"SubwordTokenizer({kind}, {self.vocab_size} ids, max_length={self.max_length})"


def _pair(n_grams: Sequence[int]) -> tuple[int, int]:
    if isinstance(n_grams, str) or len(n_grams) != 2:
        raise ValueError(f"n_grams={n_grams!r}; give two sizes, the smallest and the largest")
    return n_grams[0], n_grams[1]


def _configure(tokenizer: tokenizers.Tokenizer, max_length: int) -> None:
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)


def _cuts_at(tokenizer: tokenizers.Tokenizer, max_length: int) -> bool:
    settings = tokenizer.truncation or {}
    wanted = {"max_length": max_length, "stride": 0, "direction": "right"}
    return all(settings.get(name) == value for name, value in wanted.items())


def _add_lowercase(tokenizer: tokenizers.Tokenizer) -> None:
    """Puts lower-casing before the tokenizer's own normalizer, unless it is there already."""
    own, lower = tokenizer.normalizer, tokenizers.normalizers.Lowercase()
    if own is None:
        tokenizer.normalizer = lower
        return
    state = json.loads(own.__getstate__())
    first = state["normalizers"][:1] if state["type"] == "Sequence" else [state]
    if first != [{"type": "Lowercase"}]:
        tokenizer.normalizer = tokenizers.normalizers.Sequence([lower, own])


def _unknown_id(tokenizer: tokenizers.Tokenizer) -> int | None:
    """The id that stands for what is not in the vocabulary; byte-level BPE has none."""
    if isinstance(tokenizer.model, tokenizers.models.Unigram):
        return json.loads(tokenizer.model.__getstate__())["unk_id"]
    token = getattr(tokenizer.model, "unk_token", None)
    return None if token is None else tokenizer.token_to_id(token)


def _drop(tokenized: Tokenized, token_id: int) -> Tokenized:
    keep = tokenized.ids != token_id
    kept_before = np.concatenate([[0], np.cumsum(keep)])
    return Tokenized(
        ids=tokenized.ids[keep],
        starts=kept_before[tokenized.starts],
        truncated=tokenized.truncated,
        offsets=None if tokenized.offsets is None else tokenized.offsets[keep],
        words=None if tokenized.words is None else tokenized.words[keep],
    )
