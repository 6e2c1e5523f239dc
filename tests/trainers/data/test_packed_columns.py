"""Texts of all columns in rows that they share."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
from tiny_training import LENGTH, objective, pair_data, pairs, tiny_model, word_tokenizer

from textzoo.errors import ConfigError
from textzoo.modules.types import TextBatch
from textzoo.trainers.data import TextData
from textzoo.trainers.data.packed_columns import PackedColumns


def column(*texts):
    """A batch of texts, given as their ids."""
    length = max(1, *map(len, texts))
    ids = np.zeros((len(texts), length), np.int32)
    mask = np.zeros((len(texts), length), bool)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = text
        mask[row, : len(text)] = True
    return TextBatch(ids=ids, mask=mask)


def packing(**options):
    return PackedColumns(pair_data(), **{"length": 6, "row_multiple": 1, **options})


def text_at(packed, place):
    """The ids under a span."""
    row, span = divmod(int(place), packed.spans.shape[1])
    return packed.ids[row][packed.spans[row, span]].tolist()


def test_the_longest_text_comes_first_and_each_goes_where_the_least_room_is_left():
    packed = packing().pack([column([1] * 3, [2] * 5), column([3], [4])])
    # Rooms of 6: the 5 leaves 1, the 3 leaves 3. One 1 fills the first row up, the other has the
    # second only.
    assert packed.ids.tolist() == [[2, 2, 2, 2, 2, 3], [1, 1, 1, 4, 0, 0]]
    assert packed.mask.tolist() == [[True] * 6, [True] * 4 + [False] * 2]
    assert packed.positions.tolist() == [[0, 1, 2, 3, 4, 0], [0, 1, 2, 0, 0, 0]]
    assert packed.segment_ids.tolist() == [[1, 1, 1, 1, 1, 2], [1, 1, 1, 2, 0, 0]]
    assert packed.places.tolist() == [[16, 1], [0, 17]]


texts_of_a_column = st.lists(st.lists(st.integers(1, 9), max_size=6), min_size=5, max_size=5)


@given(texts_of_a_column, texts_of_a_column, st.integers(1, 4), st.integers(1, 5))
def test_every_text_is_found_whole_at_its_place(first, second, multiple, most):
    if not any(first + second):
        first = [[1], *first[1:]]
    packed = packing(row_multiple=multiple, texts_per_row=most).pack(
        [column(*first), column(*second)]
    )
    for row, texts in enumerate(zip(first, second, strict=True)):
        for place, text in zip(packed.places[row], texts, strict=True):
            assert text_at(packed, place) == text
    assert len(set(packed.places.flat)) == 10
    assert packed.ids.shape[0] % multiple == 0
    assert packed.spans.shape[1] == most
    assert packed.mask.sum() == sum(map(len, first + second)) == packed.spans.sum()


@pytest.mark.slow
def test_vectors_and_gradients_are_those_of_texts_in_rows_of_their_own():
    data = TextData(
        pairs(), word_tokenizer(), columns=("anchor", "positive"), batch_size=6, lengths=(LENGTH,)
    )
    trained = objective(tiny_model(layers=1, dropout=0.0), mask_duplicates=False)
    graph, state = nnx.split(trained)

    def loss(state, batch):
        found = nnx.merge(graph, state)
        return found(batch, step=jnp.int32(0), rngs=nnx.Rngs(0)).total()

    results = []
    for source in (data, PackedColumns(data, length=LENGTH, row_multiple=2)):
        stream = source.stream()
        batch = next(stream).batch
        stream.close()
        results.append(jax.jit(jax.value_and_grad(loss))(state, batch))
        rows = batch.texts[0].ids.shape[0]
    assert rows < 6
    np.testing.assert_allclose(results[1][0], results[0][0], rtol=1e-6)
    for packed, plain in zip(*(jax.tree.leaves(r[1]) for r in reversed(results)), strict=True):
        np.testing.assert_allclose(packed, plain, atol=1e-6 * max(1.0, np.abs(plain).max()))


def test_the_stream_goes_on_from_a_place():
    stream = PackedColumns(pair_data(), length=LENGTH).stream()
    next(stream)
    place = stream.get_state()
    expected = next(stream).batch.texts[0]
    stream.set_state(place)
    np.testing.assert_array_equal(next(stream).batch.texts[0].ids, expected.ids)
    stream.close()


def test_what_cannot_be_packed_is_refused():
    with pytest.raises(ConfigError, match="a text has 7 tokens.*length=7"):
        packing().pack([column([1] * 7)])
    with pytest.raises(ConfigError, match="there are 2"):
        packing().stream(process_count=2)
    with pytest.raises(ConfigError, match="row_multiple=0"):
        packing(row_multiple=0)


def test_what_cuts_a_batch_by_rows_does_not_go_with_packed_texts():
    packed = packing().pack([column([1], [2]), column([3], [4])])
    with contextlib.closing(pair_data().stream()) as stream:
        batch = next(stream).batch.replace(texts=(packed,))
    chunked = objective(tiny_model(), chunk_size=1)
    with pytest.raises(ConfigError, match="chunk_size=1"):
        chunked(batch, step=jnp.int32(0), rngs=nnx.Rngs(0))
