"""Hashed, quotient-remainder and subspace embeddings: values by hand, and what they store."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from textzoo.modules import HashedEmbedding, QuotientRemainderEmbedding, SubspaceEmbedding


def rngs() -> nnx.Rngs:
    return nnx.Rngs(0)


def fmix32(word: int) -> int:
    """MurmurHash3's finalizer in Python's integers."""
    word ^= word >> 16
    word = word * 0x85EBCA6B % 2**32
    word ^= word >> 13
    word = word * 0xC2B2AE35 % 2**32
    return word ^ (word >> 16)


def test_the_hashing_trick_is_the_remainder():
    embedding = HashedEmbedding(
        100, 4, num_rows=7, num_hashes=1, hash_function="modulo", rngs=rngs()
    )
    ids = jnp.arange(100)
    table = np.asarray(embedding.table[...])
    np.testing.assert_array_equal(embedding.rows(ids), table[np.arange(100) % 7])


def test_mixed_hashes_are_those_of_python_s_integers():
    embedding = HashedEmbedding(2**21, 4, num_rows=1009, num_hashes=3, rngs=rngs())
    ids = [0, 1, 2, 30_521, 2**21 - 1]
    expected = [[fmix32((p + (k + 1) * 0x9E3779B9) % 2**32) % 1009 for k in range(3)] for p in ids]
    np.testing.assert_array_equal(embedding.hashes(jnp.array(ids)), expected)
    # Written down, so that no later version may give others: they stand in saved models.
    assert expected[1] == [701, 476, 214]


def test_a_hashed_row_is_a_weighted_sum():
    embedding = HashedEmbedding(50, 4, num_rows=7, num_hashes=2, use_weights=True, rngs=rngs())
    weights = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    embedding.weights.set_value(jnp.asarray(weights))
    table, hashes = np.asarray(embedding.table[...]), np.asarray(embedding.hashes(jnp.arange(50)))
    expected = weights[:, :1] * table[hashes[:, 0]] + weights[:, 1:] * table[hashes[:, 1]]
    np.testing.assert_allclose(embedding.rows(jnp.arange(50)), expected, atol=1e-6)


def test_mixed_hashes_are_even_and_few_ids_of_a_vocabulary_share_all_rows():
    embedding = HashedEmbedding(30_522, 1, num_rows=500, num_hashes=4, rngs=rngs())
    hashes = np.sort(np.asarray(embedding.hashes(jnp.arange(30_522))), axis=1)
    counts = np.bincount(hashes.ravel(), minlength=500)
    # 244 each on average; a fair draw has a deviation of 16.
    assert 244 - 5 * 16 < counts.min() and counts.max() < 244 + 5 * 16
    # 30,522^2 / 2 pairs times 4! / 500^4 are 0.18 pairs.
    assert len(np.unique(hashes, axis=0)) >= 30_520


@pytest.mark.parametrize(
    ("operation", "combine"),
    [
        ("multiply", lambda q, r: q * r),
        ("add", lambda q, r: q + r),
        ("concatenate", lambda q, r: np.concatenate([q, r], axis=1)),
    ],
)
def test_a_row_is_made_of_quotient_and_remainder(operation, combine):
    embedding = QuotientRemainderEmbedding(
        22, 4, num_remainders=5, operation=operation, rngs=rngs()
    )
    quotients, remainders = (
        np.asarray(t[...]) for t in (embedding.quotients, embedding.remainders)
    )
    assert (len(quotients), len(remainders)) == (5, 5)  # 21 div 5 is 4
    ids = np.arange(22)
    expected = combine(quotients[ids // 5], remainders[ids % 5])
    np.testing.assert_array_equal(embedding.rows(jnp.asarray(ids)), expected)
    assert expected.shape == (22, 4) and len(np.unique(expected, axis=0)) == 22


def test_fresh_rows_are_as_large_as_those_of_a_plain_table():
    # A normal distribution of deviation 0.02, cut at two deviations, has one of 0.0176.
    for operation in ("multiply", "add", "concatenate"):
        embedding = QuotientRemainderEmbedding(4000, 32, operation=operation, rngs=rngs())
        assert np.std(embedding.rows(jnp.arange(4000))) == pytest.approx(0.0176, rel=0.15)


def subspace_by_the_card(tables, vocab_size, parts):
    """Card 10: n = floor(V^(1/f)) + 1, idx_j = floor(p / n^j) mod n; in Python's integers."""
    n = int(np.floor(vocab_size ** (1 / parts))) + 1
    rows = []
    for p in range(vocab_size):
        digits = [p // n**j % n for j in range(parts)]
        rows.append(np.concatenate([table[d] for table, d in zip(tables, digits, strict=True)]))
    return np.stack(rows)


@pytest.mark.parametrize(("vocab_size", "parts"), [(50, 2), (50, 3), (61, 1), (1000, 2)])
def test_a_subspace_row_is_made_of_the_digits_of_its_id(vocab_size, parts):
    embedding = SubspaceEmbedding(vocab_size, 7, num_parts=parts, rngs=rngs())
    tables = [np.asarray(table[...]) for table in embedding.tables]
    assert [t.shape[1] for t in tables] == {1: [7], 2: [3, 4], 3: [2, 2, 3]}[parts]
    expected = subspace_by_the_card(tables, vocab_size, parts)
    np.testing.assert_array_equal(embedding.rows(jnp.arange(vocab_size)), expected)
    assert len(np.unique(expected, axis=0)) == vocab_size
    assert np.abs(np.concatenate([t.ravel() for t in tables])).max() <= 0.1


def test_an_exact_root_is_not_lost_to_rounding():
    # 27,000 is 30^3, whose cube root is 29.999... in floating point numbers; n is 31.
    embedding = SubspaceEmbedding(27_000, 3, num_parts=3, rngs=rngs())
    assert embedding.num_rows == 31


def test_assigned_rows_take_the_place_of_digits():
    embedding = SubspaceEmbedding(6, 4, num_parts=2, learn_assignment=True, rngs=rngs())
    plain = SubspaceEmbedding(6, 4, num_parts=2, rngs=rngs())
    ids = jnp.arange(6)
    np.testing.assert_array_equal(embedding.rows(ids), plain.rows(ids))
    codes = np.array([[0, 0], [0, 1], [2, 2], [1, 0], [1, 2], [2, 0]])
    embedding.assign(codes)
    first, second = (np.asarray(table[...]) for table in embedding.tables)
    expected = np.concatenate([first[codes[:, 0]], second[codes[:, 1]]], axis=1)
    np.testing.assert_array_equal(embedding.rows(ids), expected)
    states = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4)), jnp.float32)
    np.testing.assert_allclose(embedding.attend(states), states @ expected.T, atol=1e-6)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros((6, 2), int), "6 tokens have 1 combinations"),
        (np.full((6, 2), 3), "use 0 to 2"),
        (np.zeros((5, 2), int), r"expected \[V, f\] = \(6, 2\)"),
    ],
)
def test_assignments_that_do_not_fit_are_refused(codes, message):
    embedding = SubspaceEmbedding(6, 4, num_parts=2, learn_assignment=True, rngs=rngs())
    with pytest.raises(ValueError, match=message):
        embedding.assign(codes)
    with pytest.raises(ValueError, match="build learn_assignment=True"):
        SubspaceEmbedding(6, 4, rngs=rngs()).assign(codes)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HashedEmbedding(9, 4, num_rows=0, rngs=rngs()), "num_rows=0"),
        (lambda: HashedEmbedding(9, 4, num_rows=3, hash_function="md5", rngs=rngs()), "'mixed' or"),
        (
            lambda: HashedEmbedding(9, 4, num_rows=3, hash_function="modulo", rngs=rngs()),
            "num_hashes=1",
        ),
        (
            lambda: QuotientRemainderEmbedding(9, 4, operation="divide", rngs=rngs()),
            "use one of multiply, add, concatenate",
        ),
        (
            lambda: QuotientRemainderEmbedding(9, 5, operation="concatenate", rngs=rngs()),
            "use width=6",
        ),
        (lambda: SubspaceEmbedding(9, 2, num_parts=3, rngs=rngs()), "use 2 or fewer"),
        (lambda: SubspaceEmbedding(100, 4, num_rows=9, rngs=rngs()), "use num_rows=10"),
    ],
)
def test_options_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
