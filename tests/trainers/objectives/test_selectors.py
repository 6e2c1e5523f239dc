"""Selection by one operator: quotas, units, weights, packed rows."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textzoo.trainers.objectives.selectors import (
    Selection,
    _whole_units,
    candidate_tokens,
    gather_slots,
    quotas,
    scatter_slots,
    select_n_grams,
    select_spans,
    select_tokens,
    select_words,
)

L, M = 40, 8


def make_rows(seed=0, batch=64, length=L):
    """Candidates and words: [CLS] first, [SEP] in the middle and last, rows of all lengths."""
    rng = np.random.default_rng(seed)
    candidates = np.zeros((batch, length), bool)
    words = np.full((batch, length), -1, np.int32)
    for row in range(batch):
        end = length if row < batch // 2 else rng.integers(0, length + 1)
        candidates[row, 1 : end - 1] = True
        candidates[row, length // 2] = False
        word, at = -1, 0
        while at < length:
            if candidates[row, at]:
                size = rng.integers(1, 5)
                word += 1
                while size and at < length and candidates[row, at]:
                    words[row, at] = word
                    size, at = size - 1, at + 1
            else:
                at += 1
    return jnp.asarray(candidates), jnp.asarray(words)


SELECTORS = {
    "tokens": select_tokens,
    "words": select_words,
    "spans": select_spans,
    "spans of words": select_spans,
    "n-grams": select_n_grams,
    "n-grams of words": select_n_grams,
}
every_selector = pytest.mark.parametrize("name", SELECTORS)


@functools.partial(jax.jit, static_argnames=("name", "num_slots", "stop", "longest"))
def run(
    name, key, candidates, words, quota, log_weights=None, segment_ids=None, num_slots=M,
    **options,
):  # fmt: skip
    if name.endswith("words"):
        options["word_ids"] = words
    if name != "tokens":
        options["segment_ids"] = segment_ids
    return SELECTORS[name](
        key, candidates, quota, num_slots, log_weights=log_weights, **options
    )  # fmt: skip


def select(name, candidates, words, rate=0.2, seed=0, **options) -> Selection:
    quota = options.pop("quota", None)
    if quota is None:
        quota = quotas(candidates, rate)
    return run(name, jax.random.key(seed), candidates, words, quota, **options)


def test_special_tokens_and_padding_are_no_candidates():
    ids = jnp.asarray([[2, 7, 9, 3, 0, 0]])
    mask = jnp.asarray([[True, True, True, True, False, False]])
    wanted = [[False, True, True, False, False, False]]
    np.testing.assert_array_equal(candidate_tokens(ids, mask, (0, 2, 3)), wanted)
    np.testing.assert_array_equal(candidate_tokens(ids, mask, ()), mask)


def test_quotas_by_hand():
    counts = [0, 1, 3, 10, 11, 20]
    candidates = jnp.arange(20) < jnp.asarray(counts)[:, None]
    # 0.15 n: 0, 0.15, 0.45, 1.5, 1.65, 3; at least one, halves to even, never more than there are.
    np.testing.assert_array_equal(quotas(candidates, 0.15), [0, 1, 1, 2, 2, 3])
    np.testing.assert_array_equal(quotas(candidates, 1.0), counts)


def test_quotas_may_count_special_tokens():
    candidates = jnp.arange(20) < jnp.asarray([[11]])
    everything = jnp.ones((1, 20), bool)
    np.testing.assert_array_equal(quotas(candidates, 0.2), [2])  # 2.2
    np.testing.assert_array_equal(quotas(candidates, 0.2, counted=everything), [4])
    # Never more than there are candidates.
    few = jnp.arange(20) < jnp.asarray([[2]])
    np.testing.assert_array_equal(quotas(few, 0.5, counted=everything), [2])


@every_selector
def test_slots_are_different_candidates_and_agree_with_the_mask(name):
    candidates, words = make_rows()
    found = select(name, candidates, words)
    slots, weights, selected = map(np.asarray, (found.slots, found.weights, found.selected))
    assert not (selected & ~np.asarray(candidates)).any()
    assert (np.sort(slots, axis=1)[:, 1:] > np.sort(slots, axis=1)[:, :-1]).all()
    assert set(np.unique(weights)) == {0.0, 1.0}
    assert (np.diff(weights, axis=1) <= 0).all()
    for row in range(len(slots)):
        np.testing.assert_array_equal(
            np.sort(slots[row][weights[row] > 0]), np.flatnonzero(selected[row])
        )


@pytest.mark.parametrize("name", ["tokens", "spans", "spans of words"])
def test_the_quota_is_met_exactly(name):
    candidates, words = make_rows()
    for rate in (0.01, 0.1, 0.2):
        found = select(name, candidates, words, rate)
        np.testing.assert_array_equal(found.selected.sum(axis=1), quotas(candidates, rate))


@pytest.mark.parametrize("name", ["words", "n-grams", "n-grams of words"])
def test_whole_units_never_exceed_the_quota_and_mostly_meet_it(name):
    candidates, words = make_rows()
    quota = quotas(candidates, 0.2)
    counts = np.concatenate(
        [select(name, candidates, words, seed=seed).selected.sum(axis=1) for seed in range(4)]
    )
    wanted = np.tile(quota, 4)
    assert (counts <= wanted).all()
    assert (counts == wanted).mean() > 0.8


@pytest.mark.parametrize("name", ["tokens", "words"])
def test_no_more_than_the_slots_are_selected(name):
    candidates, words = make_rows()
    found = select(name, candidates, words, rate=0.9, num_slots=5)
    assert found.slots.shape == (64, 5)
    assert int(found.selected.sum(axis=1).max()) == 5


@pytest.mark.parametrize("name", ["words", "n-grams of words"])
def test_words_are_never_split(name):
    candidates, words = make_rows()
    for seed in range(8):
        selected = np.asarray(select(name, candidates, words, seed=seed).selected)
        for row, of_row in zip(selected, np.asarray(words), strict=True):
            picked = set(of_row[row])
            assert picked == picked - set(of_row[~row])


def test_words_of_one_token_are_selected_like_tokens():
    candidates, _ = make_rows()
    words = jnp.broadcast_to(jnp.arange(L), candidates.shape)
    tokens = select("tokens", candidates, None)
    np.testing.assert_array_equal(select("words", candidates, words).selected, tokens.selected)


def greedy(sizes, quota):
    """BERT's loop: every unit in turn, unless it is larger than what is left."""
    taken = []
    for size in sizes:
        taken += [size <= quota] * size
        quota -= size if size <= quota else 0
    return taken


whole_units = jax.jit(_whole_units)


def taken_units(sizes, quota, available=None):
    units = np.repeat(100 - np.arange(len(sizes)), sizes)[None]
    available = units.shape[1] if available is None else available
    possible = np.arange(units.shape[1])[None] < available
    found = whole_units(units, possible, np.asarray([quota]))
    return np.asarray(found)[0].tolist()


def test_units_by_hand():
    # 3 fits 5; 4 does not fit the 2 left; 1 does; 2 does not fit the 1 left; 1 does.
    assert taken_units([3, 4, 1, 2, 1], 5) == [True] * 3 + [False] * 4 + [True] + [
        False, False, True]  # fmt: skip
    assert taken_units([3, 3], 2) == [False] * 6


def test_what_is_no_candidate_is_not_taken():
    assert taken_units([1, 1, 3], 5, available=2) == [True, True, False, False, False]


@given(st.lists(st.integers(1, 8), min_size=1, max_size=12), st.integers(0, 20))
def test_units_are_taken_as_by_a_loop(sizes, quota):
    padded = [*sizes, *[1] * (96 - sum(sizes))]  # one shape, one compilation
    total = sum(sizes)
    found = taken_units(padded, quota, available=total)
    assert found[:total] == greedy(sizes, quota)
    assert not any(found[total:])


def runs(selected):
    """Lengths of the runs of True in a row."""
    edges = np.diff(np.concatenate([[0], selected.astype(int), [0]]))
    return np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)


def single_units(name, lengths, seed=0, rows=4000, **options):
    """Lengths of one unit per row, drawn where nothing cuts it: in the middle of a long row."""
    length, middle = 64, 32
    candidates = jnp.ones((rows, length), bool)
    # All weight on one token, and a unit weighs what its tokens do on average, so that the unit
    # which holds the middle is first: lengths are then biased by their size, P'(l) ~ l P(l).
    weights = jnp.where(jnp.arange(length) == middle, 1e6, 0.0) * jnp.ones((rows, 1))
    found = run(
        name, jax.random.key(seed), candidates, None, jnp.full((rows,), 12), weights,
        num_slots=12, **options,
    )  # fmt: skip
    first = np.asarray(found.unit_starts)[:, middle]
    unit = np.asarray(found.unit_starts) == first[:, None]
    sizes = unit.sum(axis=1)
    assert np.asarray(found.selected)[unit].all()
    expected = np.arange(1, len(lengths) + 1) * np.asarray(lengths)
    return np.bincount(sizes, minlength=len(lengths) + 1)[1:], expected / expected.sum() * rows


def assert_binomial(counts, expected, rows):
    assert counts.sum() == rows
    deviation = np.sqrt(expected * (1 - expected / rows))
    assert (np.abs(counts - expected) < 4 * deviation).all(), (counts, expected)


def test_n_grams_have_the_lengths_of_albert():
    # 6/11, 3/11 and 2/11 of the n-grams; by the tokens they cover, one third each.
    counts, expected = single_units("n-grams", [6 / 11, 3 / 11, 2 / 11])
    np.testing.assert_allclose(expected / 4000, 1 / 3)
    assert_binomial(counts, expected, 4000)


def test_spans_have_the_lengths_of_spanbert():
    lengths = 0.2 * 0.8 ** np.arange(10)
    lengths /= lengths.sum()
    assert abs((np.arange(1, 11) * lengths).sum() - 3.8) < 0.01
    counts, expected = single_units("spans", lengths)
    assert_binomial(counts, expected, 4000)


def test_spans_are_as_long_as_asked():
    # P(l) = 4/7, 2/7, 1/7.
    counts, expected = single_units("spans", [4 / 7, 2 / 7, 1 / 7], longest=3, stop=0.5)
    assert_binomial(counts, expected, 4000)


def test_spans_of_one_token_are_tokens():
    candidates, words = make_rows()
    found = select("spans", candidates, words, longest=1)
    positions = np.broadcast_to(np.arange(L), candidates.shape)
    np.testing.assert_array_equal(
        np.asarray(found.unit_starts)[candidates], positions[np.asarray(candidates)]
    )


def test_spans_cover_neighbors():
    candidates = jnp.ones((200, 120), bool)
    found = run(
        "spans", jax.random.key(0), candidates, None, jnp.full((200,), 18), num_slots=18
    )  # fmt: skip
    sizes = np.concatenate([runs(row) for row in np.asarray(found.selected)])
    # 3.8 on average, cut by the quota, joined by chance; single tokens would give 1.2.
    assert 2.8 < sizes.mean() < 4.8


def test_units_end_at_special_tokens():
    candidates, words = make_rows()
    starts = np.asarray(select("spans", candidates, words).unit_starts)
    half = L // 2
    whole = np.asarray(candidates)[:, half + 1]
    assert whole.any() and (starts[whole, half + 1] == half + 1).all()


def no_segments():
    return jnp.zeros((64, L), jnp.int32)


@pytest.mark.parametrize("name", ["words", "spans", "n-grams"])
def test_units_end_where_texts_of_a_packed_row_do(name):
    candidates = jnp.ones((64, L), bool)
    segments = jnp.broadcast_to(jnp.arange(L) // 12, candidates.shape)
    # The last word of a text and the first one of the next have the same number.
    words = jnp.broadcast_to((jnp.arange(L) + 6) // 12, candidates.shape)
    found = run(
        name, jax.random.key(0), candidates, words, jnp.full((64,), 6), jnp.zeros((64, L)),
        segment_ids=segments,
    )  # fmt: skip
    starts = np.asarray(found.unit_starts)
    for start in (12, 24, 36):
        assert (starts[:, start] == start).all()


def test_every_token_is_selected_equally_often():
    rows = 4000
    candidates = jnp.ones((rows, L), bool).at[:, 0].set(False)
    found = run("tokens", jax.random.key(1), candidates, None, jnp.full((rows,), 6))
    share = np.asarray(found.selected).mean(axis=0)
    assert share[0] == 0
    expected = 6 / (L - 1)
    assert np.abs(share[1:] - expected).max() < 4 * np.sqrt(expected * (1 - expected) / rows)


@every_selector
def test_draws_follow_the_key_alone(name):
    candidates, words = make_rows()
    first, again, other = (select(name, candidates, words, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.slots, again.slots)
    assert (np.asarray(first.selected) != np.asarray(other.selected)).any()


def test_rows_draw_independently():
    found = run("tokens", jax.random.key(0), jnp.ones((64, L), bool), None, jnp.full((64,), 5))
    assert len({tuple(row) for row in np.asarray(found.selected).tolist()}) == 64


def test_log_weights_are_odds():
    rows = 20_000
    candidates = jnp.ones((rows, 3), bool)
    weights = jnp.broadcast_to(jnp.log(jnp.asarray([1.0, 2.0, 5.0])), (rows, 3))
    found = run(
        "tokens", jax.random.key(0), candidates, None, jnp.ones((rows,), int), weights,
        num_slots=1,
    )  # fmt: skip
    share = np.asarray(found.selected).mean(axis=0)
    np.testing.assert_allclose(share, [1 / 8, 2 / 8, 5 / 8], atol=4 * np.sqrt(0.25 / rows))


def test_words_weigh_what_their_tokens_do_on_average():
    rows = 20_000
    candidates = jnp.ones((rows, 5), bool)
    words = jnp.broadcast_to(jnp.asarray([0, 0, 1, 2, 2]), (rows, 5))
    # Means: log 2, log 1, log 4.
    weights = jnp.log(jnp.asarray([4.0, 1.0, 1.0, 2.0, 8.0])) * jnp.ones((rows, 1))
    found = run(
        "words", jax.random.key(0), candidates, words, jnp.full((rows,), 2), weights, num_slots=2
    )
    first = np.asarray(found.selected)
    # Words of two tokens fill the quota; the single one is first with 1/7 and stays alone.
    share = [first[:, 0].mean(), first[:, 2].mean(), first[:, 3].mean()]
    np.testing.assert_allclose(share, [2 / 7, 1 / 7, 4 / 7], atol=4 * np.sqrt(0.25 / rows))


@pytest.mark.parametrize("name", ["tokens", "words", "spans", "n-grams"])
def test_a_weight_of_zero_is_never_selected(name):
    candidates, words = make_rows()
    weights = jnp.where(jnp.arange(L) % 3 == 0, -jnp.inf, 0.0) * jnp.ones((64, 1))
    found = select(name, candidates, words, log_weights=weights, segment_ids=no_segments())
    assert not np.asarray(found.selected)[:, ::3].any()
    assert np.asarray(found.selected).any()
    assert np.isfinite(np.asarray(found.weights)).all()


@every_selector
def test_rows_without_candidates_select_nothing(name):
    candidates = jnp.zeros((64, L), bool)
    found = select(name, candidates, jnp.full((64, L), -1))
    assert not np.asarray(found.selected).any()
    assert not np.asarray(found.weights).any()


def test_a_row_of_padding_changes_no_other_row():
    candidates, words = make_rows(batch=8)
    quota = quotas(candidates, 0.2)
    alone = select("words", candidates, words, quota=quota)
    emptied = candidates.at[3].set(False)
    with_padding = select("words", emptied, words, quota=quota.at[3].set(0))
    rest = np.arange(8) != 3
    np.testing.assert_array_equal(alone.selected[rest], with_padding.selected[rest])


def test_more_slots_than_tokens_are_refused():
    with pytest.raises(ValueError, match="num_slots=9; rows are 8 tokens long, use 1 to 8"):
        select_tokens(jax.random.key(0), jnp.ones((1, 8), bool), jnp.ones((1,), int), 9)


def test_slots_are_gathered_and_put_back():
    candidates, words = make_rows(batch=8)
    found = select("tokens", candidates, words)
    ids = jnp.arange(8 * L).reshape(8, L)
    gathered = gather_slots(ids, found.slots)
    np.testing.assert_array_equal(gathered, np.take_along_axis(ids, found.slots, axis=1))
    states = jnp.stack([ids, -ids], axis=-1)
    np.testing.assert_array_equal(gather_slots(states, found.slots)[..., 1], -gathered)
    np.testing.assert_array_equal(scatter_slots(ids, found, gathered), ids)
    replaced = scatter_slots(ids, found, gathered + 1000)
    np.testing.assert_array_equal(replaced - ids, np.where(found.selected, 1000, 0))
