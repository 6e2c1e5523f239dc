"""Hubs: measured, and held back by CSLS and mutual proximity."""

import math

import numpy as np
import pytest

from textzoo.errors import ConfigError, TextInputError
from textzoo.hubness import (
    Neighborhoods,
    csls,
    fit_neighborhoods,
    measure_hubness,
    mutual_proximity,
    search,
)
from textzoo.similarity import similarity_matrix

RNG = np.random.default_rng(0)
QUERIES = RNG.normal(size=(20, 6)).astype(np.float32)
CORPUS = RNG.normal(size=(30, 6)).astype(np.float32) + 0.5


def test_neighborhoods_by_hand():
    # Cosines of the axis to others: 1, 0, -1, 0.6.
    others = np.asarray([[2, 0], [0, 3], [-1, 0], [3, 4]], np.float32)
    found = fit_neighborhoods(np.asarray([[1, 0]], np.float32), others, k=2)
    assert found.mean == pytest.approx([0.15])
    assert found.local == pytest.approx([0.8])
    assert found.deviation == pytest.approx([np.std([1, 0, -1, 0.6])])


def test_a_vector_is_no_neighbor_of_itself(monkeypatch):
    whole = fit_neighborhoods(CORPUS, k=4)
    monkeypatch.setattr("textzoo.hubness._BLOCK_CELLS", 7 * 30)
    for found in (whole, fit_neighborhoods(CORPUS, k=4)):
        for row in (0, 8, 29):
            alone = fit_neighborhoods(CORPUS[row : row + 1], np.delete(CORPUS, row, 0), k=4)
            for name in ("mean", "deviation", "local"):
                assert getattr(found, name)[row] == pytest.approx(getattr(alone, name)[0], rel=1e-5)


def test_csls_equals_its_formula():
    similarities = similarity_matrix(QUERIES, CORPUS, "cosine")
    result = csls(
        similarities, fit_neighborhoods(QUERIES, CORPUS), fit_neighborhoods(CORPUS, QUERIES)
    )
    of_query = np.sort(similarities[3])[-10:].mean()
    of_row = np.sort(similarities[:, 5])[-10:].mean()
    assert result[3, 5] == pytest.approx(2 * similarities[3, 5] - of_query - of_row, rel=1e-5)


def test_mutual_proximity_equals_the_product_of_two_normal_probabilities():
    similarities = similarity_matrix(QUERIES, CORPUS, "euclidean")
    result = mutual_proximity(
        similarities,
        fit_neighborhoods(QUERIES, CORPUS, kind="euclidean"),
        fit_neighborhoods(CORPUS, QUERIES, kind="euclidean"),
    )
    # By distances and survival functions, as it is published.
    distances = -similarities.astype(np.float64)

    def survival(value, sample):
        return 0.5 * math.erfc((value - sample.mean()) / sample.std() / math.sqrt(2))

    for query, row in ((0, 0), (3, 5), (19, 29)):
        value = distances[query, row]
        expected = survival(value, distances[query]) * survival(value, distances[:, row])
        assert math.exp(result[query, row]) == pytest.approx(expected, rel=1e-4)


def test_mutual_proximity_tells_very_near_rows_apart():
    # Six and seven deviations above the mean: both probabilities are 1 in float32.
    one = np.ones(1, np.float32)
    near = Neighborhoods(0 * one, one, one)
    two = Neighborhoods(np.zeros(2, np.float32), np.ones(2, np.float32), np.ones(2, np.float32))
    result = mutual_proximity(np.asarray([[6.0, 7.0]], np.float32), near, two)
    assert result[0, 0] < result[0, 1] < 0


def test_constant_similarities_give_no_nan():
    flat = np.ones((3, 2), np.float32)
    around = fit_neighborhoods(flat, k=1)
    assert np.isfinite(mutual_proximity(np.ones((3, 3), np.float32), around, around)).all()


@pytest.mark.parametrize("method", ["csls", "mutual_proximity"])
def test_search_is_the_order_of_the_whole_matrix(method):
    around = fit_neighborhoods(CORPUS)
    found = search(QUERIES, CORPUS, around, k=5, method=method)
    similarities = similarity_matrix(QUERIES, CORPUS, "cosine")
    reduce = csls if method == "csls" else mutual_proximity
    scores = reduce(similarities, fit_neighborhoods(QUERIES, CORPUS), around)
    np.testing.assert_array_equal(found.indices, np.argsort(-scores, axis=1)[:, :5])
    np.testing.assert_allclose(found.scores, -np.sort(-scores, axis=1)[:, :5], rtol=1e-4)
    plain = np.argsort(-similarities, axis=1)[:, :5]
    assert (found.indices != plain).any()
    few = search(QUERIES, CORPUS, around, k=5, method=method, candidates=5)
    np.testing.assert_array_equal(np.sort(few.indices), np.sort(plain))


@pytest.mark.parametrize("method", ["csls", "mutual_proximity"])
def test_hubs_are_held_back(method):
    rng = np.random.default_rng(1)
    corpus = rng.normal(size=(300, 40)).astype(np.float32) + 0.3
    queries = rng.normal(size=(200, 40)).astype(np.float32) + 0.3
    plain = np.argsort(-similarity_matrix(queries, corpus, "dot"), axis=1)[:, :10]
    around = fit_neighborhoods(corpus, kind="dot")
    found = search(queries, corpus, around, k=10, method=method, kind="dot")
    before, after = (measure_hubness(indices, 300) for indices in (plain, found.indices))
    assert after.skewness < 0.6 * before.skewness
    assert after.robin_hood < before.robin_hood
    assert after.antihubs < before.antihubs and after.largest < before.largest


def test_hubness_by_hand():
    # Row 0 three times, row 1 once, rows 2 and 3 never; the mean is 1.
    result = measure_hubness(np.asarray([[0, 1], [0, 0]]), 4)
    counts = np.asarray([2, 0, -1, -1])
    assert result.skewness == pytest.approx(np.mean((counts / np.std(counts)) ** 3))
    assert result.robin_hood == pytest.approx(0.5)  # two of four occurrences are moved
    assert (result.antihubs, result.largest) == (0.5, 3)
    assert measure_hubness(np.asarray([[0], [1]]), 2).skewness == 0


def test_bad_calls_are_refused():
    around = fit_neighborhoods(CORPUS)
    with pytest.raises(ConfigError, match="method='csl' is unknown"):
        search(QUERIES, CORPUS, around, method="csl")
    with pytest.raises(TextInputError, match="of 30 rows for a corpus of 20"):
        search(CORPUS, QUERIES, around)
    with pytest.raises(TextInputError, match="k=0"):
        search(QUERIES, CORPUS, around, k=0)
    with pytest.raises(TextInputError, match="k=30 nearest of 29"):
        fit_neighborhoods(CORPUS, k=30)
    with pytest.raises(TextInputError, match="no results"):
        measure_hubness(np.zeros((0, 3), np.int64), 4)
