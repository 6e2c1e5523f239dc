import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textzoo.batching import bucket_length, plan

LENGTHS = st.lists(st.integers(0, 64), max_size=200).map(lambda x: np.array(x, np.int64))


@given(LENGTHS, st.integers(1, 256))
def test_every_text_is_in_exactly_one_batch_that_it_fits(lengths, tokens_per_batch):
    shapes = list(plan(lengths, tokens_per_batch=tokens_per_batch, max_length=64))
    rows = np.concatenate([shape.rows for shape in shapes]) if shapes else np.zeros(0, int)
    assert sorted(rows.tolist()) == list(range(len(lengths)))
    for shape in shapes:
        assert lengths[shape.rows].max() <= shape.length <= 64
        assert len(shape.rows) <= shape.size
        assert shape.size == 1 or shape.size * shape.length <= tokens_per_batch


@given(LENGTHS)
def test_batches_come_longest_first(lengths):
    order = [n for s in plan(lengths, tokens_per_batch=128, max_length=64) for n in lengths[s.rows]]
    assert order == sorted(order, reverse=True)


@pytest.mark.parametrize(
    ("steps", "waste", "shapes"), [(8, 0.09, 28), (16, 0.045, 48), (32, 0.022, 96)]
)
def test_finer_buckets_trade_padding_for_shapes(steps, waste, shapes):
    lengths = np.arange(1, 513)
    padded = np.array([bucket_length(int(n), steps=steps) for n in lengths])
    assert (padded >= lengths).all()
    assert (padded.sum() - lengths.sum()) / lengths.sum() < waste
    assert len(set(padded.tolist())) <= shapes


def test_large_jobs_waste_less_than_small_ones():
    lengths = np.random.default_rng(0).integers(4, 60, 20_000)

    def padding(lengths):
        shapes = plan(lengths, tokens_per_batch=1024, max_length=512)
        return sum(s.length * s.size for s in shapes) / lengths.sum() - 1

    assert padding(lengths) < 0.02 < padding(lengths[:3_000]) < 0.05 < padding(lengths[:300])
