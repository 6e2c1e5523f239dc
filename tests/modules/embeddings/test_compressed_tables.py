"""Product quantization, tensor trains and low rank: values by formula, fits to another table."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from textzoo.modules import (
    HashedEmbedding,
    ProductQuantizedEmbedding,
    SubwordEmbedding,
    TensorTrainEmbedding,
    TextBatch,
)
from textzoo.modules.embeddings.approximation import (
    k_means,
    low_rank_factors,
    product_codes,
    tensor_train_cores,
)

V, D = 60, 12
IDS = jnp.arange(V)


def table(rank: int = D, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(V, rank)) @ rng.normal(size=(rank, D)) + rng.normal(size=D)


def make(cls, **options):
    """An embedding with numpy's random numbers, which need no compilation."""
    module = nnx.eval_shape(lambda: cls(V, D, rngs=nnx.Rngs(0), **options))
    rng = np.random.default_rng(0)
    for path, _ in nnx.to_flat_state(nnx.state(module)):
        variable = functools.reduce(
            lambda node, key: node[key] if isinstance(key, int) else getattr(node, key),
            path,
            module,
        )
        if isinstance(variable, nnx.Param):
            values = rng.normal(0, 0.02, variable.shape)
        else:
            values = rng.integers(0, options["num_codes"], variable.shape)
        variable.set_value(jax.device_put(values.astype(variable.dtype)))
    return module


def quantized(**options) -> ProductQuantizedEmbedding:
    return make(ProductQuantizedEmbedding, **{"num_parts": 3, "num_codes": 7, **options})


train = functools.partial(make, TensorTrainEmbedding)
subwords = functools.partial(make, SubwordEmbedding)


@jax.jit
def states(embedding):
    batch = TextBatch(ids=np.arange(V, dtype=np.int32)[None], mask=np.ones((1, V), bool))
    return embedding(batch).states[0]


def rows_of(embedding) -> np.ndarray:
    return np.asarray(states(embedding), np.float64)


def parameters(embedding) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(embedding, nnx.Param)))


def error(embedding, rows) -> float:
    return float(np.square(rows_of(embedding) - rows).sum())


def test_a_quantized_row_is_made_of_codes():
    embedding = ProductQuantizedEmbedding(V, D, num_parts=3, num_codes=7, rngs=nnx.Rngs(0))
    books, codes = np.asarray(embedding.codebooks[...]), np.asarray(embedding.codes(IDS))
    assert books.shape == (3, 7, 4) and codes.shape == (V, 3)
    expected = np.concatenate([books[j][codes[:, j]] for j in range(3)], axis=1)
    np.testing.assert_array_equal(rows_of(embedding), expected.astype(np.float64))
    # Fresh codes are hashes of the id, the same in every version.
    hashes = HashedEmbedding(V, D, num_rows=7, num_hashes=3, rngs=nnx.Rngs(0)).hashes(IDS)
    np.testing.assert_array_equal(codes, hashes)
    assert embedding.assignment.dtype == jnp.uint8
    assert quantized(num_codes=257).assignment.dtype == jnp.int32


def test_learned_codes_are_the_nearest_to_the_queries():
    embedding = quantized(learn_codes=True)
    rng = np.random.default_rng(1)
    embedding.queries.set_value(jnp.asarray(rng.normal(0, 0.02, (V, D)), jnp.float32))
    queries = np.asarray(embedding.queries[...]).reshape(V, 3, 1, 4)
    books = np.asarray(embedding.codebooks[...])
    distances = np.square(queries - books).sum(axis=-1)
    codes = distances.argmin(axis=-1)
    np.testing.assert_array_equal(embedding.codes(IDS), codes)
    assert len(np.unique(codes, axis=0)) > 30
    expected = np.concatenate([books[j][codes[:, j]] for j in range(3)], axis=1)
    np.testing.assert_allclose(rows_of(embedding), expected, atol=1e-7)
    np.testing.assert_allclose(
        embedding.commitment(IDS), distances.min(axis=-1).sum(axis=-1) / D, rtol=1e-4
    )


def test_the_gradient_of_a_part_reaches_its_code_and_its_query():
    embedding = quantized(learn_codes=True)
    slopes = np.random.default_rng(2).normal(size=(2, D)).astype(np.float32)
    ids = jnp.array([4, 9])
    gradient = nnx.grad(lambda module: (module.rows(ids) * slopes).sum())(embedding)
    expected = np.zeros((V, D), np.float32)
    expected[[4, 9]] = slopes
    np.testing.assert_allclose(gradient["queries"][...], expected, atol=1e-6)
    books = np.zeros((3, 7, 4), np.float32)
    for (row, code), j in itertools.product(enumerate(embedding.codes(ids)), range(3)):
        books[j, code[j]] += slopes[row, 4 * j : 4 * j + 4]
    np.testing.assert_allclose(gradient["codebooks"][...], books, atol=1e-6)


def test_training_changes_learned_codes():
    embedding, wanted = quantized(learn_codes=True), jnp.asarray(table(), jnp.float32)

    @jax.jit
    def step(embedding):
        gradient = jax.grad(lambda e: jnp.square(e.rows(IDS) - wanted).sum())(embedding)
        return jax.tree.map(lambda value, slope: value - 0.01 * slope, embedding, gradient)

    before, codes = error(embedding, wanted), np.asarray(embedding.codes(IDS))
    for _ in range(60):
        embedding = step(embedding)
    assert (np.asarray(embedding.codes(IDS)) != codes).mean() > 0.3
    # Clusters of the rows, which k-means finds, are not much nearer.
    fitted = quantized()
    fitted.fit_rows(wanted)
    assert error(embedding, wanted) < 1.5 * error(fitted, wanted) < 0.5 * before


def test_a_compact_embedding_has_the_same_rows_without_queries():
    embedding = quantized(learn_codes=True, dtype="bfloat16")
    embedding.fit_rows(table())
    compact = embedding.compact()
    np.testing.assert_array_equal(rows_of(compact), rows_of(embedding))
    assert compact.dtype == jnp.bfloat16
    assert (parameters(embedding), parameters(compact)) == (7 * D + V * D, 7 * D)
    assert np.abs(compact.commitment(IDS)).sum() == 0


def test_assigned_codes_are_checked():
    embedding = quantized()
    codes = np.arange(3 * V).reshape(V, 3) % 7
    embedding.assign(codes)
    np.testing.assert_array_equal(embedding.codes(IDS), codes)
    for bad, message in ((codes[:, :2], r"expected \[V, N\] = \(60, 3\)"), (codes + 1, "0 to 6")):
        with pytest.raises(ValueError, match=message):
            embedding.assign(bad)
    with pytest.raises(ValueError, match="learn_codes=False"):
        quantized(learn_codes=True).assign(codes)


def multiplied(cores) -> np.ndarray:
    """The table of three cores, one entry after the other, as it is defined."""
    first, second, third = (np.asarray(core, np.float64) for core in cores)
    vocab, width = [[core.shape[axis] for core in cores] for axis in (0, 2)]
    rows = np.zeros((*vocab, *width))
    for i1, i2, i3, j1, j2, j3 in np.ndindex(*vocab, *width):
        rows[i1, i2, i3, j1, j2, j3] = (first[i1, :, j1] @ second[i2, :, j2] @ third[i3, :, j3])[
            0, 0
        ]
    return rows.reshape(math.prod(vocab), math.prod(width))


def test_a_tensor_train_row_is_a_product_of_matrices():
    embedding = train(rank=3, vocab_factors=(4, 5, 3), width_factors=(3, 2, 2))
    rows = multiplied([core[...] for core in embedding.cores])
    np.testing.assert_allclose(rows_of(embedding), rows, atol=1e-9)
    np.testing.assert_allclose(jax.jit(lambda e: e.all_rows())(embedding), rows, atol=1e-9)
    assert parameters(embedding) == 4 * 3 * 3 + 5 * 3 * 2 * 3 + 3 * 3 * 2


def test_factors_are_near_each_other():
    shapes = nnx.eval_shape(lambda: TensorTrainEmbedding(30_522, 768, rank=64, rngs=nnx.Rngs(0)))
    assert (shapes.vocab_factors, shapes.width_factors) == ((32, 31, 31), (12, 8, 8))
    assert parameters(shapes) == 32 * 12 * 64 + 31 * 64 * 8 * 64 + 31 * 64 * 8
    two = nnx.eval_shape(lambda: train(width_factors=(4, 3)))
    assert (two.vocab_factors, two.rank) == ((8, 8), 16)
    prime = nnx.eval_shape(lambda: TensorTrainEmbedding(5, 7, rngs=nnx.Rngs(0)))
    assert (prime.vocab_factors, prime.width_factors) == ((2, 2, 2), (7, 1, 1))


def test_fresh_rows_are_as_large_as_those_of_a_plain_table():
    embedding = TensorTrainEmbedding(512, 8, rank=8, rngs=nnx.Rngs(0))
    rows = multiplied([core[...] for core in embedding.cores])
    # Entries are sums over 8 x 8 ways of products of three numbers. A normal distribution that is
    # cut at two deviations has 0.88 of its own.
    for core in embedding.cores:
        expected = 0.88 * (0.02 / 8) ** (1 / 3)
        assert np.std(core[...]) == pytest.approx(expected, rel=0.15)
    assert 0.01 < np.std(rows) < 0.02


def test_k_means_finds_clusters_and_leaves_no_center_unused():
    rng = np.random.default_rng(0)
    middles = rng.normal(size=(6, 3)).astype(np.float32) * 10
    points = np.repeat(middles, 50, axis=0) + rng.normal(0, 0.1, (300, 3)).astype(np.float32)
    for seed in range(5):
        centers, codes = k_means(points, 20, rng=np.random.default_rng(seed))
        assert len(np.unique(codes)) == 20
        assert np.square(points - centers[codes]).sum(axis=1).max() < 1
        again = k_means(points, 20, rng=np.random.default_rng(seed))
        np.testing.assert_array_equal(again[1], codes)
    # No point is nearer to another center, and every center is the mean of its points.
    distances = np.square(points[:, None] - centers).sum(axis=-1)
    np.testing.assert_allclose(distances.min(axis=1), distances[np.arange(300), codes], atol=1e-4)
    for code in range(20):
        np.testing.assert_allclose(points[codes == code].mean(axis=0), centers[code], atol=1e-4)


def test_a_center_that_lost_its_points_gets_others():
    # With these numbers one does, on the way.
    for seed, width in ((55, 1), (82, 1), (83, 2)):
        points = np.exp(3 * np.random.default_rng(seed).normal(size=(60, width)))
        _, codes = k_means(points.astype(np.float32), 25, rng=np.random.default_rng(seed))
        assert len(np.unique(codes)) == 25


def test_as_many_codes_as_rows_give_the_rows():
    rows = table()
    for embedding in (quantized(num_codes=V), quantized(num_codes=100, learn_codes=True)):
        embedding.fit_rows(rows)
        np.testing.assert_allclose(rows_of(embedding), rows, atol=1e-5)
    same = np.ones((V, D))
    embedding.fit_rows(same)
    np.testing.assert_array_equal(rows_of(embedding), same)


def test_a_quantized_fit_is_better_the_more_it_stores():
    rows = table()
    errors = []
    for parts, codes in ((1, 4), (3, 4), (3, 16), (12, 16)):
        books, found = product_codes(rows, parts, codes, seed=3)
        made = np.concatenate([book[code] for book, code in zip(books, found.T, strict=True)], 1)
        errors.append(np.square(made - rows).sum())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02 * np.square(rows - rows.mean(axis=0)).sum()
    embedding = quantized(num_parts=12, num_codes=16)
    embedding.fit_rows(rows, seed=3)
    assert parameters(embedding) == 16 * D
    np.testing.assert_allclose(embedding.codebooks[...], books, atol=1e-6)
    np.testing.assert_array_equal(embedding.codes(IDS), found)


@pytest.mark.parametrize("bias", [False, True])
def test_low_rank_fit_is_as_near_as_its_rank_allows(bias):
    rows = table()
    embedding = subwords(factor_dim=5, factor_bias=bias, scale=3.0)
    embedding.fit_rows(rows)
    sizes = np.linalg.svd(rows - bias * rows.mean(axis=0), compute_uv=False)
    assert error(embedding, rows) == pytest.approx(np.square(sizes[5:]).sum(), rel=1e-4)
    assert parameters(embedding) == V * 5 + 5 * D + bias * D


def test_tables_of_enough_rank_are_fitted_exactly():
    rows = table()
    for embedding in (subwords(scale=2.0), subwords(factor_dim=20)):
        embedding.fit_rows(rows)
        np.testing.assert_allclose(rows_of(embedding), rows, atol=2e-5)
    embedding = subwords(factor_dim=4, factor_bias=True)
    embedding.fit_rows(table(rank=4))
    np.testing.assert_allclose(rows_of(embedding), table(rank=4), atol=2e-5)
    cores = tensor_train_cores(rows, (4, 4, 4), (3, 2, 2), 100)
    np.testing.assert_allclose(multiplied(cores)[:V], rows, atol=1e-9)


def test_a_tensor_train_is_fitted_within_the_bound_of_its_cuts():
    rows = np.zeros((64, D))
    rows[:V] = table()
    vocab, width = (4, 4, 4), (3, 2, 2)
    cores = tensor_train_cores(rows[:V], vocab, width, 6)
    assert [core.shape for core in cores] == [(4, 1, 3, 6), (4, 6, 2, 6), (4, 6, 2, 1)]
    tensor = rows.reshape(*vocab, *width).transpose(0, 3, 1, 4, 2, 5)
    least = [
        np.square(np.linalg.svd(tensor.reshape(size, -1), compute_uv=False)[6:]).sum()
        for size in (12, 12 * 8)
    ]
    found = np.square(multiplied(cores) - rows).sum()
    assert max(least) <= found <= sum(least) * (1 + 1e-6)
    scales = [np.square(core).mean() for core in cores]
    np.testing.assert_allclose(scales, scales[0])
    embedding = train(rank=6, vocab_factors=vocab, width_factors=width)
    embedding.fit_rows(rows[:V])
    for core, values in zip(embedding.cores, cores, strict=True):
        np.testing.assert_allclose(core[...], values, atol=1e-6)


def test_zero_tables_and_long_matrices_can_be_fitted():
    for embedding in (subwords(factor_dim=3, factor_bias=True), quantized()):
        embedding.fit_rows(np.zeros((V, D)))
        np.testing.assert_allclose(rows_of(embedding), 0, atol=1e-12)
    assert not any(core.any() for core in tensor_train_cores(np.zeros((V, D)), (8, 8), (4, 3), 2))
    wide = table().T
    left, right = low_rank_factors(wide, 12)
    np.testing.assert_allclose(left @ right, wide, atol=1e-9)


@pytest.mark.parametrize("make", [quantized, train, lambda: subwords(factor_dim=3)])
def test_rows_that_do_not_fit_are_refused(make):
    embedding = make()
    with pytest.raises(ValueError, match=r"expected \[vocab_size, width\] = \(60, 12\)"):
        embedding.fit_rows(table()[:-1])
    rows = table()
    rows[3, 4] = np.nan
    with pytest.raises(ValueError, match="not all finite"):
        embedding.fit_rows(rows)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: quantized(num_parts=5), "use num_parts=4"),
        (lambda: train(vocab_factors=(4, 5, 2)), r"use vocab_factors=\(4, 4, 4\)"),
        (lambda: train(width_factors=(4, 2, 2)), r"use width_factors=\(3, 2, 2\)"),
        (lambda: train(vocab_factors=(60,), width_factors=(12,)), "at least two"),
        (lambda: train(vocab_factors=(8, 8), width_factors=(3, 2, 2)), "as many of one"),
        (lambda: train(rank=0), "rank=0; use a whole number"),
        (lambda: subwords(factor_bias=True), "give factor_dim"),
    ],
)
def test_options_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
