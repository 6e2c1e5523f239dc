import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textzoo.modules import nearest as nearest_module
from textzoo.modules.nearest import nearest, pair_scores

RANDOM = np.random.default_rng(0)
QUERIES = RANDOM.normal(size=(5, 6)).astype(np.float32)
CORPUS = RANDOM.normal(size=(40, 6)).astype(np.float32)


@settings(max_examples=20)
@given(allowed=st.lists(st.booleans(), min_size=40, max_size=40), k=st.integers(1, 40))
def test_rows_that_are_not_allowed_come_last(allowed, k):
    allowed = np.array(allowed)
    found, scores = nearest(QUERIES, CORPUS, k=k, kind="dot", allowed=allowed)
    own = np.where(allowed, QUERIES @ CORPUS.T, -np.inf)
    order = np.argsort(-own, axis=1, kind="stable")[:, :k]
    real = min(k, allowed.sum())
    np.testing.assert_array_equal(found[:, :real], order[:, :real])
    assert np.isfinite(scores[:, :real]).all() and (scores[:, real:] == -np.inf).all()


def test_rows_are_passed_over_in_every_block(monkeypatch):
    allowed = np.arange(40) % 3 > 0
    whole = nearest(QUERIES, CORPUS, k=7, kind="cosine", allowed=allowed)
    monkeypatch.setattr(nearest_module, "_SCORE_CELLS", 64)
    blocks = nearest(QUERIES, CORPUS, k=7, kind="cosine", allowed=allowed)
    np.testing.assert_array_equal(blocks[0], whole[0])
    assert (blocks[0] % 3 > 0).all()


@pytest.mark.parametrize("kind", ["cosine", "dot", "euclidean", "manhattan"])
def test_scores_of_pairs_are_those_of_the_search(kind):
    found, scores = nearest(QUERIES, CORPUS, k=1, kind=kind)
    alone = pair_scores(QUERIES, CORPUS[found[:, 0]], kind=kind)
    np.testing.assert_allclose(alone, scores[:, 0], rtol=1e-5, atol=1e-6)
