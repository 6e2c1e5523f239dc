"""Vectors of token n-grams: rows by hand, texts that share a row, and places without a run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from textzoo.modules import SubwordEmbedding, SumEmbedding, TokenNGramEmbedding
from textzoo.modules.types import TextBatch


def fmix32(word: int) -> int:
    """MurmurHash3's finalizer in Python's integers."""
    word ^= word >> 16
    word = word * 0x85EBCA6B % 2**32
    word ^= word >> 13
    word = word * 0xC2B2AE35 % 2**32
    return word ^ (word >> 16)


def row_of(run: list[int], num_rows: int) -> int:
    """The row of a run of tokens."""
    found = len(run)
    for token in run:
        found = (found * 0x01000193 % 2**32) ^ fmix32(token + 1)
    return fmix32(found) % num_rows


def batch_of(ids: list[list[int]], width: int = 6, **options: object) -> TextBatch:
    padded = np.array([row + [0] * (width - len(row)) for row in ids])
    mask = np.array([[place < len(row) for place in range(width)] for row in ids])
    return TextBatch(ids=padded, mask=mask, **options)


def embed(batch: TextBatch, sizes: tuple[int, ...], num_rows: int = 97) -> tuple[np.ndarray, ...]:
    embedding = TokenNGramEmbedding(5, num_rows=num_rows, sizes=sizes, rngs=nnx.Rngs(0))
    return np.asarray(embedding(batch).states), np.asarray(embedding.table[...])


@pytest.mark.parametrize("sizes", [(2,), (3,), (2, 3), (8,)])
def test_each_token_has_the_rows_of_the_runs_that_end_there(sizes):
    texts = [[7, 3, 7, 3, 0], [30_521], [2, 2, 2, 2, 2, 2]]
    states, table = embed(batch_of(texts), sizes)
    for text, found in zip(texts, states, strict=True):
        for end in range(1, 7):
            runs = [text[end - n : end] for n in sizes if n <= end <= len(text)]
            expected = sum((table[row_of(run, 97)] for run in runs), np.zeros(5))
            np.testing.assert_allclose(found[end - 1], expected, atol=1e-7)


def test_rows_are_written_down_because_they_stand_in_saved_models():
    rows = [row_of(run, 65_536) for run in ([5, 9], [9, 5], [5, 9, 1])]
    assert rows == [52557, 22347, 14715]


def test_texts_packed_into_a_row_are_as_they_are_alone():
    alone, _ = embed(batch_of([[1, 2, 3], [3, 1]]), (2, 3))
    packed, _ = embed(
        batch_of([[1, 2, 3, 3, 1]], segment_ids=np.array([[0, 0, 0, 1, 1, 1]])), (2, 3)
    )
    np.testing.assert_array_equal(packed[0, :3], alone[0, :3])
    np.testing.assert_array_equal(packed[0, 3:5], alone[1, :2])


def test_padding_changes_nothing_and_is_zero():
    narrow, _ = embed(batch_of([[1, 2, 3, 4]], 4), (2,))
    wide, _ = embed(batch_of([[1, 2, 3, 4]], 9), (2,))
    np.testing.assert_array_equal(wide[:, :4], narrow)
    assert not wide[:, 4:].any()


def test_it_adds_to_a_table_of_tokens_and_learns():
    parts = [
        SubwordEmbedding(50, 5, rngs=nnx.Rngs(0)),
        TokenNGramEmbedding(5, num_rows=97, rngs=nnx.Rngs(1)),
    ]
    batch = batch_of([[1, 2, 3]])
    model = SumEmbedding(parts)
    expected = parts[0](batch).states + parts[1](batch).states
    np.testing.assert_array_equal(model(batch).states, expected)
    slope = nnx.grad(lambda part: part(batch).states[0].sum())(parts[1])
    touched = np.flatnonzero(np.asarray(jax.tree.leaves(slope)[0]).any(axis=1))
    np.testing.assert_array_equal(touched, np.unique([row_of([1, 2], 97), row_of([2, 3], 97)]))


def test_scale_and_dtype():
    plain = TokenNGramEmbedding(5, num_rows=97, rngs=nnx.Rngs(0))
    half = TokenNGramEmbedding(5, num_rows=97, scale=2.0, dtype="bfloat16", rngs=nnx.Rngs(0))
    batch = batch_of([[1, 2, 3]])
    states = half(batch).states
    assert states.dtype == jnp.bfloat16
    np.testing.assert_allclose(states, 2 * plain(batch).states, rtol=1e-2)


@pytest.mark.parametrize("sizes", [(), (1,), (2, 2), (0, 3), (2.5,), ("2",)])
def test_sizes_that_are_no_runs_are_refused(sizes):
    with pytest.raises(ValueError, match="use different numbers of 2 or more"):
        TokenNGramEmbedding(5, num_rows=97, sizes=sizes, rngs=nnx.Rngs(0))
