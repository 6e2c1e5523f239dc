import dataclasses

import numpy as np
import pytest

from textzoo.modules.tokenizers import Tokenized

# Two texts: "ab c" and "defg h i"; each token's units are its letters, a = 1.
TOKENIZED = Tokenized(
    ids=np.array([10, 11, 12, 13, 14], np.int32),
    starts=np.array([0, 2, 5]),
    truncated=np.array([False, True]),
    units=np.array([1, 2, 3, 4, 5, 6, 7, 8, 9], np.uint16),
    unit_starts=np.array([0, 2, 3, 7, 8, 9]),
    unit_sizes=(2, 4, 6),
)


def units_per_token(tokenized: Tokenized) -> list[list[int]]:
    return [tokenized.units_of(token).tolist() for token in range(len(tokenized.ids))]


def test_a_batch_has_the_units_of_each_token_and_zeros_after_them():
    batch = TOKENIZED.batch(np.array([1, 0]), length=4, size=3)
    # The longest token has 4 units, so C is 4, the smallest size that holds them.
    expected = np.zeros((3, 4, 4), np.int32)
    expected[0, 0], expected[0, 1, 0], expected[0, 2, 0] = [4, 5, 6, 7], 8, 9
    expected[1, 0, :2], expected[1, 1, 0] = [1, 2], 3
    np.testing.assert_array_equal(batch.units, expected)
    np.testing.assert_array_equal(batch.unit_mask, expected > 0)
    assert batch.units.dtype == np.int32


def test_a_batch_of_short_tokens_is_narrow():
    assert TOKENIZED.batch(np.array([0]), length=2).units.shape == (1, 2, 2)
    assert TOKENIZED.batch(np.array([], int), length=2, size=2).units.shape == (2, 2, 2)


def test_selected_texts_keep_their_units():
    selected = TOKENIZED.select(np.array([1, 0, 1]))
    assert units_per_token(selected) == [
        [4, 5, 6, 7], [8], [9], [1, 2], [3], [4, 5, 6, 7], [8], [9],
    ]  # fmt: skip
    assert selected.unit_sizes == TOKENIZED.unit_sizes
    assert units_per_token(TOKENIZED.select(np.array([], int))) == []


@pytest.mark.parametrize(("first", "last"), [(0, 2), (0, 1), (1, 2), (1, 1)])
def test_a_stretch_is_a_selection_of_neighbours(first, last):
    words = np.arange(5, dtype=np.int32)
    whole = dataclasses.replace(TOKENIZED, words=words, offsets=np.stack([words, words + 1], 1))
    stretch, selected = whole.stretch(first, last), whole.select(np.arange(first, last))
    for field in dataclasses.fields(Tokenized):
        np.testing.assert_array_equal(getattr(stretch, field.name), getattr(selected, field.name))


def test_joined_texts_keep_their_units():
    parts = [TOKENIZED.select(np.array([row])) for row in (1, 0)]
    joined = Tokenized.concatenate([*parts, TOKENIZED])
    assert units_per_token(joined) == [
        units for part in (*parts, TOKENIZED) for units in units_per_token(part)
    ]
    np.testing.assert_array_equal(joined.starts, [0, 3, 5, 7, 10])
    assert joined.unit_sizes == TOKENIZED.unit_sizes


def test_texts_without_units_have_none_after_anything():
    plain = dataclasses.replace(TOKENIZED, units=None, unit_starts=None, unit_sizes=())
    for tokenized in (plain.select(np.array([1])), Tokenized.concatenate([plain, plain])):
        assert tokenized.units is None and tokenized.batch(np.array([0]), length=5).units is None
    with pytest.raises(ValueError, match="gives no units"):
        plain.units_of(0)
    with pytest.raises(ValueError, match="some parts have units"):
        Tokenized.concatenate([plain, TOKENIZED])


def test_units_come_from_a_table_by_id():
    table = np.array([7, 7, 8, 9], np.int32), np.array([0, 2, 2, 4])
    tokenized = Tokenized(
        ids=np.array([2, 0, 1], np.int32), starts=np.array([0, 3]), truncated=np.zeros(1, bool)
    )
    with_units = tokenized.with_units(*table, (2,), of=tokenized.ids)
    assert units_per_token(with_units) == [[8, 9], [7, 7], []]


def test_what_does_not_fit_is_explained():
    with pytest.raises(ValueError, match="go together"):
        dataclasses.replace(TOKENIZED, unit_starts=None)
    with pytest.raises(ValueError, match="different unit_sizes"):
        Tokenized.concatenate([TOKENIZED, dataclasses.replace(TOKENIZED, unit_sizes=(8,))])
    with pytest.raises(ValueError, match="a token has 4 units, more than"):
        dataclasses.replace(TOKENIZED, unit_sizes=(2, 3)).batch(np.array([1]), length=3)
