"""What becomes of selected tokens."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from textzoo.trainers.objectives.corruptors import corrupt, ordinary_ids
from textzoo.trainers.objectives.selectors import select_spans, select_tokens

MASK, VOCAB, SPECIAL = 4, 50, (0, 1, 2, 3, 4)
IDS = jnp.full((400, 40), 7)
CANDIDATES = jnp.ones((400, 40), bool)
QUOTA = jnp.full((400,), 10)
TOKENS = jax.jit(select_tokens, static_argnums=3)(jax.random.key(0), CANDIDATES, QUOTA, 10)
SPANS = jax.jit(select_spans, static_argnums=3)(jax.random.key(0), CANDIDATES, QUOTA, 10)
SELECTED = 4000


def run(selection=TOKENS, seed=1, **options):
    random_ids = options.pop("random_ids", ordinary_ids(VOCAB, SPECIAL))
    return np.asarray(_corrupt(jax.random.key(seed), selection, tuple(random_ids), **options))


@functools.partial(
    jax.jit, static_argnames=("random_ids", "mask_share", "random_share", "once_per_unit")
)
def _corrupt(key, selection, random_ids, **options):
    ids = np.asarray(random_ids)
    return corrupt(key, IDS, selection, mask_id=MASK, random_ids=ids, **options)


def test_tokens_that_are_not_selected_stay():
    assert (run()[~np.asarray(TOKENS.selected)] == 7).all()


def test_shares_are_80_10_10():
    found = run()[np.asarray(TOKENS.selected)]
    assert len(found) == SELECTED
    masked, kept = (found == MASK).mean(), (found == 7).mean()
    # A random token is the old one with probability 1/45.
    for share, expected in ((masked, 0.8), (kept, 0.1 + 0.1 / 45)):
        assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / SELECTED)


def test_shares_are_options():
    assert (run(mask_share=1.0, random_share=0.0)[np.asarray(TOKENS.selected)] == MASK).all()
    assert (run(mask_share=0.0, random_share=0.0) == 7).all()
    electra = run(mask_share=0.85, random_share=0.0)[np.asarray(TOKENS.selected)]
    assert set(electra.tolist()) == {MASK, 7}
    assert abs((electra == MASK).mean() - 0.85) < 4 * np.sqrt(0.85 * 0.15 / SELECTED)


def test_random_tokens_are_ordinary_and_uniform():
    found = run(mask_share=0.0, random_share=1.0)[np.asarray(TOKENS.selected)]
    counts = np.bincount(found, minlength=VOCAB)
    assert counts[list(SPECIAL)].sum() == 0
    expected = SELECTED / 45
    assert np.abs(counts[5:] - expected).max() < 4.5 * np.sqrt(expected)


def test_random_tokens_may_be_special():
    found = run(mask_share=0.0, random_share=1.0, random_ids=np.arange(VOCAB))
    assert set(SPECIAL) <= set(found[np.asarray(TOKENS.selected)].tolist())


def test_a_unit_may_be_decided_as_one():
    starts, selected = np.asarray(SPANS.unit_starts), np.asarray(SPANS.selected)
    for once in (True, False):
        found = run(SPANS, mask_share=0.5, random_share=0.0, once_per_unit=once)
        split = 0
        for row in range(len(found)):
            for start in np.unique(starts[row][selected[row]]):
                unit = found[row][selected[row] & (starts[row] == start)]
                split += len(set(unit.tolist())) > 1
        assert (split == 0) == once


def test_random_tokens_of_a_unit_differ():
    found = run(SPANS, mask_share=0.0, random_share=1.0, once_per_unit=True)
    assert len(set(found[0][np.asarray(SPANS.selected)[0]].tolist())) > 3


def test_selection_and_corruption_follow_the_key():
    np.testing.assert_array_equal(run(), run())
    assert (run(seed=2) != run()).any()


def test_ordinary_ids_by_hand():
    np.testing.assert_array_equal(ordinary_ids(6, (0, 3)), [1, 2, 4, 5])
    np.testing.assert_array_equal(ordinary_ids(3, ()), [0, 1, 2])
