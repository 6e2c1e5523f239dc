"""Rows for a ``FrozenEmbedding``: pictures of tokens, or hashes of their n-grams.

Both follow from the text of a token alone, and are the same in every process::

    texts = token_texts(tokenizer)
    model.embedding.set_rows(glyph_rows(texts, dim=128))

Pictures need Pillow, which comes with matplotlib; its font (DejaVu Sans) is used unless another one
is given. Rows of another version of Pillow, or of a font, differ: they are saved with the model.
"""

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from textzoo.errors import ConfigError
from textzoo.inputs import checked
from textzoo.modules import CodePointTokenizer, SubwordTokenizer, Tokenizer
from textzoo.modules.postprocessing.covariance import components
from textzoo.modules.tokenizers.murmur import hash_string

_CODES = 0x110000
_PIECES_AT_ONCE = 8192
_MODULUS = 10**9 + 7
_BASE = 31


def token_texts(tokenizer: Tokenizer) -> list[str]:
    """The text of every id; empty for special tokens, and for ids that stand for nothing.

    Args:
        tokenizer: a ``SubwordTokenizer``, whose pieces are taken without the sign of their place
            in a word, or a ``CodePointTokenizer``.

    Raises:
        ConfigError: another one.
    """
    if isinstance(tokenizer, CodePointTokenizer):
        special = set(tokenizer.special_ids)
        return [
            "" if code in special or unicodedata.category(chr(code)) == "Cs" else chr(code)
            for code in range(tokenizer.vocab_size)
        ]
    if not isinstance(tokenizer, SubwordTokenizer):
        raise ConfigError(
            f"the ids of a {type(tokenizer).__name__} have no texts; use a SubwordTokenizer or a "
            "CodePointTokenizer"
        )
    spelled = SubwordTokenizer.with_options(
        tokenizer, units="characters", max_units=256, num_characters=_CODES, mark_words=False
    )
    assert spelled.unit_table is not None
    units, starts = spelled.unit_table
    texts = []
    for first, last in zip(starts[:-1], starts[1:], strict=True):
        codes = units[first:last]
        texts.append("".join(map(chr, codes)) if (codes < _CODES).all() else "")
    return texts


def glyph_rows(
    texts: Sequence[str], *, dim: int = 1024, size: int = 32, font: str | Path | None = None,
    tell_apart: float = 0.1,
) -> Float[np.ndarray, "V E"]:  # fmt: skip
    """Principal components of pictures of tokens, each row of length one.

    Every character is drawn black on white into a cell of ``size`` times ``size`` pixels, in its
    middle; the cells of a token stand side by side and are squeezed into one, which is cut at half
    brightness. The pixels of all tokens are centered, and turned into the directions of their
    principal components (Bochkov 2025, "Emergent Semantics Beyond Token Embeddings", and its
    notebooks).

    Args:
        texts: of the tokens.
        dim: E, components that are kept; at most the pixels. The paper keeps all of 1,024.
        size: of a picture, and of the letters in it.
        font: file of a font; ``None`` for DejaVu Sans of matplotlib.
        tell_apart: length of a random direction, following from the text, that is added to rows
            whose pictures are equal: of spaces, and of characters that the font lacks. Of several
            tokens without text, the place says which is which.

    Notes:
        The reference has GNU Unifont and turns, shifts and blurs pictures, by the same random
        numbers for all; here they stay as they are drawn. The sign of a component is such that its
        largest weight is positive. Components that the pictures do not have are zero.

    Raises:
        ConfigError: ``dim`` is more than the pixels, or the font cannot be read.
        TextInputError: an item is not a string.
    """
    if not 1 <= dim <= size * size:
        raise ConfigError(f"dim={dim}; pictures of {size} x {size} have 1 to {size * size}")
    if not checked(list(texts)):
        return np.zeros((0, dim), np.float32)
    draw = _Drawing(size, font)
    pixels = np.zeros((len(texts), size * size), np.uint8)
    for index, text in enumerate(texts):
        pixels[index] = draw(text)[draw.order]
    mean = pixels.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((size * size, size * size))
    for start in range(0, len(texts), _PIECES_AT_ONCE):
        part = pixels[start : start + _PIECES_AT_ONCE] - mean
        covariance += part.T @ part
    directions = components(covariance)[1][:, :dim]
    rows = np.concatenate([
        (pixels[start : start + _PIECES_AT_ONCE] - mean) @ directions
        for start in range(0, len(texts), _PIECES_AT_ONCE)
    ])  # fmt: skip
    rows = _of_length_one(rows)
    _, inverse, counts = np.unique(pixels, axis=0, return_inverse=True, return_counts=True)
    for index in np.flatnonzero(counts[inverse.ravel()] > 1).tolist():
        name = texts[index] or f"\0{index}"
        direction = np.random.default_rng(hash_string(name)).normal(size=dim)
        rows[index] += tell_apart * direction / np.linalg.norm(direction)
    return _of_length_one(rows).astype(np.float32)


def n_gram_rows(
    texts: Sequence[str], width: int, *, largest: int = 3, seed: int = 0, normalize: bool = True
) -> Float[np.ndarray, "V D"]:
    """Hashes of n-grams as numbers from -1 to 1, means of which are rows (EELBERT).

    D whole numbers h below ``B = 10^9 + 7`` follow from a seed, cut into a block for each size of
    n-grams. With ``s_j = sum_k c_{j+k} 31^(n-1-k) mod B`` of the j-th n-gram, its numbers are
    ``s_j h mod B``, less B where they are above ``B / 2``, over ``B / 2``; a block is the mean over
    the n-grams of its size, and zero where there are none (Cohn et al. 2023, "EELBERT: Tiny Models
    through Dynamic Embeddings", arXiv 2310.20144).

    Args:
        texts: of the tokens.
        width: D.
        largest: characters of the largest n-grams; the smallest have one.
        seed: of h; nothing else would have to be stored.
        normalize: whether rows are brought to length one; means of long tokens are short.

    Notes:
        EELBERT computes rows from strings when they are needed; over a vocabulary that is fixed,
        those rows are these. How it cuts D into blocks could not be checked; here they are equal,
        and the last has what is left. Rows of tokens without text are zero.

    Raises:
        ConfigError: fewer numbers than blocks.
        TextInputError: an item is not a string.
    """
    if not 1 <= largest <= width:
        raise ConfigError(f"largest={largest}; use a size from 1 to width={width}")
    multipliers = np.random.default_rng(seed).integers(1, _MODULUS, width, dtype=np.int64)
    edges = [width // largest * n for n in range(largest)] + [width]
    rows = np.zeros((len(checked(list(texts))), width))
    for index, text in enumerate(texts):
        codes = np.array([ord(character) for character in text], np.int64)
        for n in range(1, min(largest, len(codes)) + 1):
            hashes = np.zeros(len(codes) - n + 1, np.int64)
            for k in range(n):
                hashes = (hashes * _BASE + codes[k : len(codes) - n + 1 + k]) % _MODULUS
            block = slice(edges[n - 1], edges[n])
            # Both factors are below 2^30.
            values = hashes[:, None] * multipliers[block] % _MODULUS
            values = np.where(values > _MODULUS // 2, values - _MODULUS, values)
            rows[index, block] = values.mean(axis=0) / (_MODULUS / 2)
    return (_of_length_one(rows) if normalize else rows).astype(np.float32)


class _Drawing:
    """Draws texts, the same on every machine with this font and this Pillow."""

    def __init__(self, size: int, font: str | Path | None) -> None:
        from PIL import ImageFont

        if font is None:
            import matplotlib

            font = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
        try:
            # The basic layout draws alike with and without the library for complex scripts.
            self._font: Any = ImageFont.truetype(
                str(font), size, layout_engine=ImageFont.Layout.BASIC
            )
        except OSError as error:
            raise ConfigError(f"{font} cannot be read as a font: {error}") from error
        self._size = size
        self._cells: dict[str, np.ndarray] = {}
        self.order = _from_the_middle(size)

    def __call__(self, text: str) -> Bool[np.ndarray, "P"]:
        """Whether there is ink, pixel by pixel."""
        from PIL import Image

        size = self._size
        if not text:
            return np.zeros(size * size, bool)
        cells = np.concatenate([self._cell(character) for character in text], axis=1)
        if len(text) > 1:
            picture = Image.fromarray(cells).resize((size, size), Image.Resampling.BILINEAR)
            cells = np.asarray(picture)
        return (cells < 128).ravel()

    def _cell(self, character: str) -> np.ndarray:
        from PIL import Image, ImageDraw

        if character not in self._cells:
            picture = Image.new("L", (self._size, self._size), 255)
            left, top, right, bottom = self._font.getbbox(character)
            place = ((self._size - left - right) / 2, (self._size - top - bottom) / 2)
            ImageDraw.Draw(picture).text(place, character, fill=0, font=self._font)
            self._cells[character] = np.asarray(picture)
        return self._cells[character]


def _from_the_middle(size: int) -> np.ndarray:
    """Pixels by their distance from the middle, then by their angle."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    radius, angle = np.round(np.hypot(x, y), 6).ravel(), np.arctan2(y, x).ravel()
    return np.lexsort((angle, radius))


def _of_length_one(rows: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length == 0, 1, length)
