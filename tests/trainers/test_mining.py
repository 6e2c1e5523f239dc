import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textzoo.errors import ConfigError, DataError
from textzoo.modules import nearest as nearest_module
from textzoo.trainers import mining as mining_module
from textzoo.trainers.mining import FILTERS, MiningConfig, mine_negatives

RANDOM = np.random.default_rng(0)
# One query at the origin of the ranking, and ten texts whose cosine falls from 1 to 0.1.
COSINES = np.linspace(1.0, 0.1, 10)
LINE = np.stack([COSINES, np.sqrt(1 - COSINES**2)], axis=1).astype(np.float32)
QUERY = np.float32([[1, 0]])
OPEN = {"relative_margin": None, "last_rank": 10, "num_negatives": 3}


def mine(positives, query_keys=None, corpus_keys=None, **options):
    keys = [None if k is None else np.array(k, np.uint64) for k in (query_keys, corpus_keys)]
    config = MiningConfig(**{**OPEN, **options})
    return mine_negatives(QUERY, LINE, positives, config, query_keys=keys[0], corpus_keys=keys[1])


def removed(found, name):
    return int(found.removed[:, FILTERS.index(name)].sum())


def test_negatives_are_the_nearest_texts_that_are_no_positives():
    found = mine([[1]])
    assert found.negatives.tolist() == [[0, 2, 3]]
    np.testing.assert_allclose(found.positive_scores, [0.9], atol=1e-6)
    np.testing.assert_allclose(found.negative_scores, [[1.0, 0.8, 0.7]], atol=1e-6)
    assert removed(found, "known positive") == 1


def test_every_positive_makes_a_pair_and_none_is_a_negative():
    found = mine([[1, 0]])
    assert found.queries.tolist() == [0, 0] and found.positives.tolist() == [1, 0]
    assert found.negatives.tolist() == [[2, 3, 4]] * 2


def test_ranks_count_what_is_no_positive():
    # Candidates in order: 1, 2, 3, 4, ...; ranks 2 and 3 are rows 3 and 4.
    found = mine([[0]], first_rank=2, last_rank=4, num_negatives=2)
    assert found.negatives.tolist() == [[3, 4]]
    assert removed(found, "rank") == 2


def test_margins_are_to_the_score_of_the_positive():
    # The positive has 0.6. Absolute 0.15: at most 0.45; relative 0.4: at most 0.36.
    assert mine([[4]], absolute_margin=0.15).negatives.tolist() == [[6, 7, 8]]
    assert mine([[4]], relative_margin=0.4).negatives.tolist() == [[7, 8, 9]]
    both = mine([[4]], absolute_margin=0.15, relative_margin=0.4)
    assert both.negatives.tolist() == [[7, 8, 9]]
    assert (removed(both, "absolute margin"), removed(both, "relative margin")) == (5, 1)


def test_a_relative_margin_to_a_negative_score_goes_down():
    # Distances: the positive has -0.5 or so; 1.1 times as far is required.
    corpus = np.float32([[0.5], [0.52], [0.56], [2.0]])
    config = MiningConfig(num_negatives=3, last_rank=3, relative_margin=0.1, similarity="euclidean")
    found = mine_negatives(np.zeros((1, 1), np.float32), corpus, [[0]], config)
    assert found.negatives.tolist() == [[2, 3, -1]]


def test_scores_have_a_highest_and_a_lowest():
    found = mine([[0]], max_score=0.65, min_score=0.35)
    assert found.negatives.tolist() == [[4, 5, 6]]
    assert (removed(found, "max_score"), removed(found, "min_score")) == (3, 3)


def test_pairs_without_enough_candidates_are_told_apart():
    found = mine([[0, 8]], absolute_margin=0.05)
    assert found.negatives.tolist() == [[1, 2, 3], [9, -1, -1]]
    assert np.isnan(found.negative_scores[1, 1:]).all()
    assert found.is_complete().tolist() == [True, False]
    summary = found.summary()
    assert (summary["pairs"], summary["complete pairs"], summary["negatives"]) == (2, 1, 4)


def test_texts_equal_to_a_positive_or_to_the_query_are_no_negatives():
    # Row 2 has the text of the positive, row 3 that of the query, row 5 that of row 4.
    keys = [10, 11, 10, 77, 14, 14, 16, 17, 18, 19]
    found = mine([[0]], query_keys=[77], corpus_keys=keys)
    assert found.negatives.tolist() == [[1, 4, 6]]
    assert found.duplicates == 2
    assert removed(found, "text of the query") == 1
    later = mine([[2]], query_keys=[77], corpus_keys=keys)
    assert later.negatives.tolist() == [[1, 4, 6]]


def test_random_negatives_lie_in_the_range_and_depend_on_the_seed_alone():
    options = {"sampling": "random", "first_rank": 2, "last_rank": 9}
    found = [mine([[0]], seed=seed, **options).negatives[0] for seed in range(30)]
    assert {row for rows in found for row in rows} == set(range(3, 10))
    assert len({tuple(rows) for rows in found}) > 10
    assert all((np.diff(rows) > 0).all() for rows in found)  # the nearest first
    np.testing.assert_array_equal(found[4], mine([[0]], seed=4, **options).negatives[0])


def test_a_small_corpus_gives_what_it_has():
    found = mine_negatives(QUERY, LINE[:3], [[0]], MiningConfig(relative_margin=None))
    assert found.negatives.tolist() == [[1, 2, -1, -1, -1]]


@pytest.mark.parametrize("positives", [[], [[], []]])
def test_no_pairs_give_no_rows(positives):
    queries = RANDOM.normal(size=(len(positives), 2)).astype(np.float32)
    found = mine_negatives(queries, LINE, positives, MiningConfig())
    assert len(found) == 0 and found.negatives.shape == (0, 5)
    assert found.summary()["negatives"] == 0


def by_hand(queries, corpus, positives, config, query_keys, corpus_keys):
    """Pair by pair, rank by rank."""
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)  # noqa: E731
    scores = unit(queries.astype(np.float64)) @ unit(corpus.astype(np.float64)).T
    rows = []
    for query, right in enumerate(positives):
        taken = {int(corpus_keys[row]) for row in right} | {int(query_keys[query])}
        candidates = []
        for row in np.argsort(-scores[query], kind="stable"):
            if int(corpus_keys[row]) not in taken:
                taken.add(int(corpus_keys[row]))
                # Of equal texts the first row stands for all; they have equal vectors here.
                candidates.append(int(np.flatnonzero(corpus_keys == corpus_keys[row])[0]))
        for positive in right:
            top = scores[query, positive]
            kept = [
                row
                for row in candidates[config.first_rank : config.last_rank]
                if scores[query, row] <= top - config.absolute_margin
                and scores[query, row] <= top - abs(top) * config.relative_margin
                and config.min_score <= scores[query, row] <= config.max_score
            ][: config.num_negatives]
            rows.append(kept + [-1] * (config.num_negatives - len(kept)))
    return rows


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6), texts=st.integers(1, 30), first=st.integers(0, 4),
    absolute=st.floats(0, 0.3), relative=st.floats(0, 0.3), top=st.floats(0.3, 1),
    cells=st.sampled_from([64, 1 << 24]), pairs=st.sampled_from([3, 4096]),
)  # fmt: skip
def test_mining_finds_what_looking_at_every_pair_finds(
    seed, texts, first, absolute, relative, top, cells, pairs
):
    random = np.random.default_rng(seed)
    different = random.normal(size=(texts, 4)).astype(np.float32)
    corpus_keys = random.integers(texts, size=40).astype(np.uint64)
    corpus = different[corpus_keys.astype(int)]
    queries = random.normal(size=(6, 4)).astype(np.float32)
    query_keys = random.integers(texts + 5, size=6).astype(np.uint64)
    positives = [random.choice(40, size=n, replace=False).tolist() for n in (0, 1, 1, 2, 3, 1)]
    config = MiningConfig(
        num_negatives=3, first_rank=first, last_rank=first + 12, absolute_margin=absolute,
        relative_margin=relative, max_score=top, min_score=-0.9,
    )  # fmt: skip
    before = nearest_module._SCORE_CELLS, mining_module._PAIRS
    nearest_module._SCORE_CELLS, mining_module._PAIRS = cells, pairs
    try:
        found = mine_negatives(
            queries, corpus, positives, config, query_keys=query_keys, corpus_keys=corpus_keys
        )
    finally:
        nearest_module._SCORE_CELLS, mining_module._PAIRS = before
    expected = by_hand(queries, corpus, positives, config, query_keys, corpus_keys)
    assert found.negatives.tolist() == expected


def test_a_memory_mapped_corpus_in_half_precision_is_mined(tmp_path):
    np.save(tmp_path / "corpus.npy", LINE.astype(np.float16))
    corpus = np.load(tmp_path / "corpus.npy", mmap_mode="r")
    found = mine_negatives(QUERY, corpus, [[1]], MiningConfig(**OPEN))
    assert found.negatives.tolist() == [[0, 2, 3]]


def test_texts_whose_vectors_have_nan_are_never_negatives():
    corpus = LINE.copy()
    corpus[2] = np.nan
    found = mine_negatives(QUERY, corpus, [[1]], MiningConfig(**OPEN))
    assert found.negatives.tolist() == [[0, 3, 4]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampling": "first"}, "sampling='first'"),
        ({"similarity": "cosin"}, "did you mean 'cosine'"),
        ({"num_negatives": 0}, "use 1 or more"),
        ({"first_rank": 98}, "no room for 5 negatives; write last_rank=148"),
        ({"first_rank": -1}, "ranks from -1"),
        ({"max_score": float("nan")}, "max_score=nan"),
    ],
)
def test_a_bad_option_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        MiningConfig(**options)


def test_arrays_that_do_not_fit_together_are_refused():
    config = MiningConfig()
    with pytest.raises(DataError, match=r"shape \(10, 2\), expected \[R, 3\]"):
        mine_negatives(np.zeros((1, 3), np.float32), LINE, [[0]], config)
    with pytest.raises(DataError, match="positives has 2 entries, expected 1"):
        mine_negatives(QUERY, LINE, [[0], [1]], config)
    with pytest.raises(DataError, match="query 0 has the positive 10, .* 0 to 9"):
        mine_negatives(QUERY, LINE, [[10]], config)
    with pytest.raises(DataError, match="give both, or neither"):
        mine_negatives(QUERY, LINE, [[0]], config, query_keys=np.zeros(1, np.uint64))
    with pytest.raises(DataError, match="corpus_keys has 3 entries, expected 10"):
        mine([[0]], query_keys=[1], corpus_keys=[1, 2, 3])
