"""WordPiece that looks for pieces from both ends of a word, and below the syllables of Hangul."""

import functools
import math
from pathlib import Path
from typing import Any

import tokenizers

from textzoo.modules.tokenizers.subword import SubwordTokenizer

DIRECTIONS = ("both", "forward", "backward")
PREFERENCES = ("ranks", "fewest")
_LONGEST_WORD = 100


class BidirectionalWordPieceTokenizer(SubwordTokenizer):
    """WordPiece whose pieces are the longest from the left, or the longest from the right.

    KR-BERT (Lee et al. 2020, "KR-BERT: A Small-Scale Korean-Specific Language Model", arXiv
    2008.03979, and its code): a word is cut twice, and the cut whose ids, in order of size, come
    first is taken. Ids go by frequency, so that is the one with the most frequent piece; of equals,
    the one from the right. It reads a WordPiece ``tokenizer.json``.

    Args:
        tokenizer: the library's, with a WordPiece model, a pre-tokenizer, and any normalizer.
        max_length: longer texts are cut to this many tokens, special tokens included.
        add_special_tokens: whether to add ``[CLS]``, ``[SEP]`` and the like.
        lowercase: see ``SubwordTokenizer``.
        directions: ``"both"``, ``"forward"`` (the usual WordPiece) or ``"backward"``.
        prefer: ``"ranks"``, as above, or ``"fewest"``: the cut with fewer pieces, and of equals
            that by ranks.
        decompose: whether Hangul is cut into its letters first, and everything else as NFKD says;
            pieces are then made of these (KR-BERT's sub-characters). Offsets are those of the
            syllables that letters belong to.
        units, max_units, num_characters, mark_words: see ``SubwordTokenizer``.

    Notes:
        In the reference, a cut that fails is a list without ids, which comes before any other, so
        that ``[UNK]`` wins over pieces that were found; here it comes last. Names of special tokens
        in a text are text. A loop of Python over words, most of which are looked up: it is slower
        than the library's.

    Example:
        >>> pieces = {"[UNK]": 0, "un": 1, "##do": 2, "und": 3, "##o": 4}
        >>> library = tokenizers.Tokenizer(tokenizers.models.WordPiece(pieces))
        >>> library.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
        >>> tokenizer = BidirectionalWordPieceTokenizer(library)
        >>> [tokenizer.id_to_token(number) for number in tokenizer(["undo"]).ids]
        ['un', '##do']
    """

    def __init__(
        self, tokenizer: tokenizers.Tokenizer, *, max_length: int = 512,
        add_special_tokens: bool = True, lowercase: bool = False, directions: str = "both",
        prefer: str = "ranks", decompose: bool = False, units: str | None = None,
        max_units: int = 16, num_characters: int = 1 << 16, mark_words: bool = False,
    ) -> None:  # fmt: skip
        if not isinstance(tokenizer.model, tokenizers.models.WordPiece):
            raise ValueError(
                f"the model of the tokenizer is {type(tokenizer.model).__name__}; a "
                "BidirectionalWordPieceTokenizer needs the pieces of a WordPiece"
            )
        if directions not in DIRECTIONS:
            raise ValueError(f"directions={directions!r}; use 'both', 'forward' or 'backward'")
        if prefer not in PREFERENCES:
            raise ValueError(f"prefer={prefer!r}; use 'ranks' or 'fewest'")
        super().__init__(
            tokenizer, max_length=max_length, add_special_tokens=add_special_tokens,
            lowercase=lowercase, units=units, max_units=max_units, num_characters=num_characters,
            mark_words=mark_words,
        )  # fmt: skip
        self.directions = directions
        self.prefer = prefer
        self.decompose = decompose
        self._normalizers = (
            [] if self._tokenizer.normalizer is None else [self._tokenizer.normalizer]
        )
        if decompose:
            self._normalizers.append(tokenizers.normalizers.NFKD())
        self._vocabulary = self._tokenizer.get_vocab(with_added_tokens=False)
        model: Any = self._tokenizer.model
        self._prefix = str(model.continuing_subword_prefix)
        unknown = str(model.unk_token)
        if unknown not in self._vocabulary:
            raise ValueError(f"the vocabulary lacks {unknown!r}, which unknown words need")
        self._unknown_token = unknown
        # Threads may find a cut twice, which is the same.
        self._cut = functools.lru_cache(1 << 17)(self._best)

    @classmethod
    def from_directory(  # type: ignore[override]
        cls, directory: Path, *, max_length: int = 512, add_special_tokens: bool = True,
        lowercase: bool = False, directions: str = "both", prefer: str = "ranks",
        decompose: bool = False, units: str | None = None, max_units: int = 16,
        num_characters: int = 1 << 16, mark_words: bool = False,
    ) -> "BidirectionalWordPieceTokenizer":  # fmt: skip
        """Reads ``tokenizer.json`` in ``directory``; see ``SubwordTokenizer.from_directory``."""
        plain = SubwordTokenizer.from_directory(directory, max_length=max_length)
        return cls(
            plain._tokenizer, max_length=max_length, add_special_tokens=add_special_tokens,
            lowercase=lowercase, directions=directions, prefer=prefer, decompose=decompose,
            units=units, max_units=max_units, num_characters=num_characters, mark_words=mark_words,
        )  # fmt: skip

    def with_options(  # type: ignore[override]
        self, *, max_length: int | None = None, add_special_tokens: bool | None = None,
        units: str | None = None, max_units: int | None = None,
        num_characters: int | None = None, mark_words: bool | None = None,
    ) -> "BidirectionalWordPieceTokenizer":  # fmt: skip
        """A tokenizer that differs in what is given; this one is left as it is."""
        given = {
            "max_length": max_length, "add_special_tokens": add_special_tokens, "units": units,
            "max_units": max_units, "num_characters": num_characters, "mark_words": mark_words,
        }  # fmt: skip
        options: dict[str, Any] = {
            name: getattr(self, name) if value is None else value for name, value in given.items()
        }
        return BidirectionalWordPieceTokenizer(
            self._tokenizer, lowercase=self.lowercase, directions=self.directions,
            prefer=self.prefer, decompose=self.decompose, **options,
        )  # fmt: skip

    def _encode(self, texts: list[str], *, with_places: bool) -> list[tokenizers.Encoding]:
        return [self._encode_text(text) for text in texts]

    def _encode_text(self, text: str) -> tokenizers.Encoding:
        """The library keeps the places of characters through all steps but that of the pieces."""
        found = tokenizers.PreTokenizedString(text)
        for normalizer in self._normalizers:
            found.normalize(normalizer.normalize)
        if self._tokenizer.pre_tokenizer is not None:
            self._tokenizer.pre_tokenizer.pre_tokenize(found)
        found.tokenize(self._tokens)
        encoding = found.to_encoding(0, None)
        return self._tokenizer.post_process(encoding, None, self.add_special_tokens)

    def _tokens(self, word: str) -> list[tokenizers.Token]:
        """Pieces with their places, which the library counts in bytes."""
        tokens, begin = [], 0
        pieces = self._cut(word)
        if pieces is None:
            end = len(word.encode())
            number = self._vocabulary[self._unknown_token]
            return [tokenizers.Token(number, self._unknown_token, (0, end))]
        for index, piece in enumerate(pieces):
            end = begin + len(piece.encode())
            token = self._prefix + piece if index else piece
            tokens.append(tokenizers.Token(self._vocabulary[token], token, (begin, end)))
            begin = end
        return tokens

    def _best(self, word: str) -> tuple[str, ...] | None:
        """The pieces of a word; ``None`` for one that has none."""
        if len(word) > _LONGEST_WORD:
            return None
        forward = None if self.directions == "backward" else self._forward(word)
        backward = None if self.directions == "forward" else self._backward(word)
        return backward if self._cost(backward) <= self._cost(forward) else forward

    def _cost(self, pieces: tuple[str, ...] | None) -> tuple[float, list[int]]:
        """What is compared: the smaller, the better."""
        if pieces is None:
            return math.inf, []
        tokens = [self._prefix + piece if index else piece for index, piece in enumerate(pieces)]
        ranks = sorted(self._vocabulary[token] for token in tokens)
        return (len(pieces) if self.prefer == "fewest" else 0), ranks

    def _forward(self, word: str) -> tuple[str, ...] | None:
        pieces, begin = [], 0
        while begin < len(word):
            prefix = self._prefix if begin else ""
            for end in range(len(word), begin, -1):
                if prefix + word[begin:end] in self._vocabulary:
                    break
            else:
                return None
            pieces.append(word[begin:end])
            begin = end
        return tuple(pieces)

    def _backward(self, word: str) -> tuple[str, ...] | None:
        pieces: list[str] = []
        end = len(word)
        while end:
            for begin in range(end):
                if (self._prefix if begin else "") + word[begin:end] in self._vocabulary:
                    break
            else:
                return None
            pieces.append(word[begin:end])
            end = begin
        return tuple(reversed(pieces))

    def __repr__(self) -> str:
        kinds = f"{self.directions}, {'letters' if self.decompose else 'characters'}"
        return f"BidirectionalWordPieceTokenizer({kinds}, max_length={self.max_length})"
