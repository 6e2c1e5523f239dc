import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textzoo.errors import ConfigError
from textzoo.trainers.data.order import Order, block_counts
from textzoo.trainers.data.permutation import shuffled, shuffled_by_turn

FIRST = [4, 6, 3, 0, 5, 2, 7, 1]  # Whoever changes these breaks resuming.
LARGE = [215249195557, 751299747555]
ORDERS = {  # Of [[sources, rows, epochs], ...]; as above.
    False: [
        [[0, 1], [1, 0], [0, 0]], [[0, 0], [4, 0], [0, 0]],
        [[1, 0], [1, 3], [0, 0]], [[1, 0], [3, 2], [0, 1]],
    ],
    True: [
        [[0, 0], [3, 0], [0, 0]], [[1, 1], [0, 1], [0, 0]], [[0, 0], [4, 1], [0, 0]],
        [[0, 0], [3, 4], [1, 1]],
    ],
}  # fmt: skip


@given(size=st.integers(1, 3000), key=st.tuples(st.integers(0, 2**40), st.integers(0, 9)))
def test_a_permutation_has_every_number_once(size, key):
    assert sorted(shuffled(np.arange(size), size, *key)) == list(range(size))


def test_a_place_is_found_without_the_others():
    whole = shuffled(np.arange(1000), 1000, 3, 4)
    some = np.array([999, 0, 500])
    np.testing.assert_array_equal(shuffled(some, 1000, 3, 4), whole[some])


def test_a_permutation_is_the_same_on_every_machine():
    assert shuffled(np.arange(8), 8, 0, 1).tolist() == FIRST
    assert shuffled(np.array([0, 10**12 - 1]), 10**12, 7).tolist() == LARGE


def test_a_turn_is_the_last_number_of_a_key():
    places, turns = np.array([3, 9, 3, 0, 5]), np.array([7, 0, 0, 7, 2])
    expected = [shuffled(places[[i]], 11, 4, int(turns[i]))[0] for i in range(5)]
    assert shuffled_by_turn(places, 11, turns, 4).tolist() == expected
    np.testing.assert_array_equal(
        shuffled_by_turn(places, 11, np.full(5, 7), 4), shuffled(places, 11, 4, 7)
    )


def test_all_orders_of_four_are_about_equally_frequent():
    # 24 orders, 4,800 draws: 200 each, standard deviation 14.
    drawn = [tuple(shuffled(np.arange(4), 4, seed)) for seed in range(4800)]
    counts = [drawn.count(order) for order in itertools.permutations(range(4))]
    assert min(counts) > 200 - 5 * 14 and max(counts) < 200 + 5 * 14


def test_neighbours_are_torn_apart():
    order = shuffled(np.arange(100_000), 100_000, 5)
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.02
    assert abs(np.corrcoef(order, np.arange(100_000))[0, 1]) < 0.02


@pytest.mark.parametrize(
    ("weights", "expected"),
    [((1, 1), [1, 1]), ((1, 3), [1, 3]), ((0.7, 0.2, 0.1), [7, 2, 1]), ((5,), [1])],
)
def test_the_shortest_block_with_the_right_shares_is_taken(weights, expected):
    assert block_counts(weights).tolist() == expected


@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=5))
def test_shares_are_right_to_a_thousandth_or_a_ten_thousandth_of_all(weights):
    counts = block_counts(weights)
    shares = np.array(weights) / sum(weights)
    errors = np.abs(counts / counts.sum() - shares)
    assert (counts >= 1).all()
    assert (errors <= np.maximum(1e-3 * shares, 3e-4)).all()


@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=3),
    batch_size=st.integers(1, 9),
    single=st.booleans(),
    seed=st.integers(0, 5),
)
def test_every_source_is_gone_through_evenly(sizes, batch_size, single, seed):
    order = Order(
        sizes, batch_size=batch_size, seed=seed, weights=[1] * len(sizes),
        single_source_batches=single,
    )  # fmt: skip
    places = [order.places(number, 0, batch_size) for number in range(60)]
    sources = np.concatenate([p.sources for p in places])
    rows = np.concatenate([p.rows for p in places])
    for source, size in enumerate(sizes):
        own = rows[sources == source]
        # Places of a block come in any order, so only counts over the whole are compared.
        counts = np.bincount(own, minlength=size)
        slack = 1 if single or len(sizes) == 1 else 2
        assert counts.max() - counts.min() <= slack
    if single:
        assert all(len(np.unique(p.sources)) == 1 for p in places)


def test_a_part_of_a_batch_is_cut_from_the_whole():
    order = Order([40, 9], batch_size=12, seed=2, weights=[2, 1])
    whole, part = order.places(7, 0, 12), order.places(7, 3, 8)
    for name in ("sources", "rows", "epochs"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[3:8])


@pytest.mark.parametrize("batch_size", [1, 7, 600])
def test_small_batches_are_pieces_of_the_same_stream_as_large_ones(batch_size):
    sizes, weights = [40, 9], [2, 1]
    whole = Order(sizes, batch_size=4200, seed=2, weights=weights).places(0, 0, 4200)
    small = Order(sizes, batch_size=batch_size, seed=2, weights=weights)
    for number in (0, 4200 // batch_size - 1, 1):
        part = small.places(number, 0, batch_size)
        here = slice(number * batch_size, (number + 1) * batch_size)
        for name in ("sources", "rows", "epochs"):
            np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[here])


@pytest.mark.parametrize("is_single", [False, True])
def test_an_order_is_the_same_on_every_machine(is_single):
    order = Order(
        [5, 4], batch_size=2, seed=1, weights=[2, 1], single_source_batches=is_single
    )  # fmt: skip
    places = [order.places(number, 0, 2) for number in range(4)]
    found = [[p.sources.tolist(), p.rows.tolist(), p.epochs.tolist()] for p in places]
    assert found == ORDERS[is_single]


def test_weights_that_are_no_shares_are_refused():
    with pytest.raises(ConfigError, match="1 weights for 2 sources"):
        Order([5, 5], batch_size=2, weights=[1])
    for bad in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="expected positive numbers"):
            Order([5, 5], batch_size=2, weights=[1, bad])
