"""Words that a vocabulary would cut into pieces, as one token with the letters of all of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tokenizers
from jaxtyping import Bool, Int

from textzoo.modules.tokenizers.base import Tokenized, ragged_sources, starts_of
from textzoo.modules.tokenizers.subword import SubwordTokenizer, _unknown_id
from textzoo.modules.tokenizers.units import UnitVocabulary, unit_sizes

SELECTIONS = ("pieces", "all")


class WholeWordTokenizer(SubwordTokenizer):
    """Pieces of a ``tokenizer.json``, but words of several pieces as one token of letters.

    XRayEmb (Pinter et al. 2021, "Learning to Look Inside"): the pieces of a chosen word collapse to
    one position, whose vector comes from its letters (see ``XRayEmbedding``). That position has the
    id of the unknown token, which is never masked and never predicted, and units; all other tokens
    have none. A word that the vocabulary does not know at all is spelled, too.

    Args:
        tokenizer: the library's, with an unknown token.
        max_length: longer texts are cut to this many pieces, before words are collapsed.
        add_special_tokens: whether to add ``[CLS]``, ``[SEP]`` and the like.
        lowercase: see ``SubwordTokenizer``.
        units: ``"characters"`` or ``"bytes"`` of the pieces of a word, between two marks.
        max_units: longer words are known by their first units alone, so many with the marks.
        num_characters: characters are code points modulo this.
        select: ``"pieces"``: words of more than one piece; or ``"all"`` words.
        easy_suffixes: a word of two pieces, of which the second is one of these, stays as it is,
            such as ``s``, ``ed`` or ``ing``.

    Notes:
        The letters are those of the pieces, so that they are normalized as these are; those of an
        unknown word are what stands in the text. In the paper's training, a random fifth of the
        words is chosen; here the choice follows from the word alone.

    Example:
        >>> pieces = tokenizers.models.WordPiece({"[UNK]": 0, "a": 1, "b": 2, "##s": 3})
        >>> tokenized = WholeWordTokenizer(tokenizers.Tokenizer(pieces))(["as"])
        >>> tokenized.ids.tolist(), [chr(unit) for unit in tokenized.units_of(0)[1:-1]]
        ([0], ['a', 's'])
    """

    def __init__(
        self, tokenizer: tokenizers.Tokenizer, *, max_length: int = 512,
        add_special_tokens: bool = True, lowercase: bool = False, units: str = "characters",
        max_units: int = 22, num_characters: int = 1 << 16, select: str = "pieces",
        easy_suffixes: Sequence[str] = (),
    ) -> None:  # fmt: skip
        if units not in ("bytes", "characters"):
            raise ValueError(f"units={units!r}; use 'bytes' or 'characters'")
        if select not in SELECTIONS:
            raise ValueError(f"select={select!r}; use 'pieces' or 'all'")
        if max_units < 3:
            raise ValueError(f"max_units={max_units}; use 3 or more: a letter between two marks")
        if isinstance(easy_suffixes, str):
            raise ValueError(f"easy_suffixes={easy_suffixes!r}; give a list of texts")
        unknown = _unknown_id(tokenizer)
        if unknown is None:
            raise ValueError(
                "the tokenizer has no unknown token, whose id spelled words could have; use one "
                "that has, such as WordPiece"
            )
        # Pieces are cut here, together.
        super().__init__(
            tokenizer, max_length=max_length, add_special_tokens=add_special_tokens,
            lowercase=lowercase, units=units, max_units=1 << 16, num_characters=num_characters,
        )  # fmt: skip
        self.max_units = max_units
        self.select = select
        self.easy_suffixes = tuple(easy_suffixes)
        self.unknown_id = unknown
        self._pieces = self._unit_table
        self._unit_table = None  # An id alone has no units.
        prefix = getattr(tokenizer.model, "continuing_subword_prefix", None) or ""
        self._easy = np.array(
            sorted(
                number for text in self.easy_suffixes
                if (number := tokenizer.token_to_id(prefix + text)) is not None
            ),
            np.int32,
        )  # fmt: skip

    @classmethod
    def from_directory(  # type: ignore[override]
        cls, directory: Path, *, max_length: int = 512, add_special_tokens: bool = True,
        lowercase: bool = False, units: str = "characters", max_units: int = 22,
        num_characters: int = 1 << 16, select: str = "pieces", easy_suffixes: Sequence[str] = (),
    ) -> "WholeWordTokenizer":  # fmt: skip
        """Reads ``tokenizer.json`` in ``directory``; see ``SubwordTokenizer.from_directory``."""
        plain = SubwordTokenizer.from_directory(directory, max_length=max_length)
        return cls(
            plain._tokenizer, max_length=max_length, add_special_tokens=add_special_tokens,
            lowercase=lowercase, units=units, max_units=max_units, num_characters=num_characters,
            select=select, easy_suffixes=easy_suffixes,
        )  # fmt: skip

    def with_options(  # type: ignore[override]
        self, *, max_length: int | None = None, add_special_tokens: bool | None = None,
        units: str | None = None, max_units: int | None = None, num_characters: int | None = None,
    ) -> "WholeWordTokenizer":  # fmt: skip
        """A tokenizer that differs in what is given; this one is left as it is."""
        special = self.add_special_tokens if add_special_tokens is None else add_special_tokens
        return WholeWordTokenizer(
            self._tokenizer, max_length=max_length or self.max_length, add_special_tokens=special,
            lowercase=self.lowercase, units=units or str(self.units),
            max_units=max_units or self.max_units,
            num_characters=num_characters or self.num_characters, select=self.select,
            easy_suffixes=self.easy_suffixes,
        )  # fmt: skip

    def __call__(
        self, texts: Sequence[str], *, return_offsets: bool = False, return_words: bool = False
    ) -> Tokenized:
        """Tokenizes texts.

        Args:
            texts: what to tokenize.
            return_offsets: also find the characters of each token.
            return_words: also number the words, as the tokenizer cuts a text into them.

        Raises:
            TypeError: an item is not a string.
            ValueError: a string has a lone surrogate.
        """
        texts = list(texts)
        found = super().__call__(texts, return_offsets=True, return_words=True)
        assert found.words is not None and found.offsets is not None
        ids = found.ids
        text = np.repeat(np.arange(len(found)), found.lengths)
        begins = np.ones(len(ids), bool)  # Every special token is a word by itself.
        begins[1:] = (found.words[1:] != found.words[:-1]) | (text[1:] != text[:-1])
        begins |= found.words < 0
        first = np.flatnonzero(begins)
        sizes = np.diff(np.append(first, len(ids)))
        chosen = self._chosen(found, first, sizes)
        word = np.cumsum(begins) - 1
        kept = begins | ~chosen[word] if len(ids) else begins
        units, lengths = self._letters(found, texts, text[first], first, sizes, chosen)
        ids = ids.copy()
        ids[first[chosen]] = self.unknown_id
        offsets = found.offsets.copy()
        offsets[first, 1] = np.where(
            chosen, offsets[first + sizes - 1, 1] if len(first) else 0, offsets[first, 1]
        )
        counts = np.zeros(len(ids), np.int64)
        counts[first[chosen]] = lengths
        before = np.concatenate([[0], np.cumsum(kept)])
        return Tokenized(
            ids=ids[kept],
            starts=before[found.starts],
            truncated=found.truncated,
            offsets=offsets[kept] if return_offsets else None,
            words=found.words[kept] if return_words else None,
            units=units,
            unit_starts=starts_of(counts[kept]),
            unit_sizes=unit_sizes(self.max_units),
        )

    def _chosen(
        self, found: Tokenized, first: Int[np.ndarray, "N"], sizes: Int[np.ndarray, "N"]
    ) -> Bool[np.ndarray, "N"]:
        """Which words are spelled."""
        assert found.words is not None
        is_word = found.words[first] >= 0
        if self.select == "all" or not len(first):
            return is_word
        is_easy = (sizes == 2) & np.isin(found.ids[first + sizes - 1], self._easy)
        is_unknown = found.ids[first] == self.unknown_id
        return is_word & (((sizes > 1) & ~is_easy) | is_unknown)

    def _letters(
        self, found: Tokenized, texts: list[str], text: Int[np.ndarray, "N"],
        first: Int[np.ndarray, "N"], sizes: Int[np.ndarray, "N"], chosen: Bool[np.ndarray, "N"],
    ) -> tuple[Int[np.ndarray, "U"], Int[np.ndarray, "W"]]:  # fmt: skip
        """Units of the chosen words one after the other, and how many each has."""
        assert self._pieces is not None and found.offsets is not None
        vocabulary = UnitVocabulary(kind=str(self.units), num_characters=self.num_characters)
        table, starts = self._pieces
        parts, lengths = [np.zeros(0, np.int32)], []
        for row, begin, size in zip(text[chosen], first[chosen], sizes[chosen], strict=True):
            pieces = found.ids[begin : begin + size]
            if (pieces == self.unknown_id).any():
                left, right = found.offsets[begin, 0], found.offsets[begin + size - 1, 1]
                spelled = texts[row][left:right]
                codes = np.frombuffer(spelled.encode("utf-32-le"), "<u4")
                letters, _ = vocabulary.of_codes(spelled, codes)
            else:
                source, _ = ragged_sources(starts[pieces], starts[pieces + 1] - starts[pieces])
                letters = table[source]
            letters = letters[: self.max_units - 2]
            marked = np.empty(len(letters) + 2, np.int32)
            marked[0], marked[-1] = vocabulary.word_begins, vocabulary.word_ends
            marked[1:-1] = letters
            parts.append(marked)
            lengths.append(len(letters) + 2)
        return np.concatenate(parts), np.array(lengths, np.int64)

    def __repr__(self) -> str:
        return f"WholeWordTokenizer({self.vocab_size} ids, max_length={self.max_length})"
