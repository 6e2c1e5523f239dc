"""Heads of fitted statistics: what they fit, what they map, and that nothing trains them."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from textzoo.modules import (
    Centering,
    ComponentRemoval,
    PrincipalComponents,
    Standardization,
    Whitening,
)
from textzoo.modules.postprocessing import Statistic, moments
from textzoo.modules.postprocessing.covariance import components

GOLDEN = np.load(Path(__file__).parents[2] / "golden" / "poolings.npz")
VECTORS = GOLDEN["vectors"]
HEADS = {
    "centering": Centering(8),
    "standardization": Standardization(8),
    "whitening": Whitening(8),
    "whitening to 5": Whitening(8, rank=5),
    "shrunk whitening": Whitening(8, shrinkage=0.2),
    "principal components": PrincipalComponents(8, rank=3),
    "component removal": ComponentRemoval(8, count=2),
    "uncentered removal": ComponentRemoval(8, count=1, center=False),
}
for head in HEADS.values():
    head.assign(head.fit(VECTORS))

by_name = pytest.mark.parametrize("name", HEADS)


def cosines(vectors) -> np.ndarray:
    vectors = np.asarray(vectors, np.float64)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors @ vectors.T


@pytest.mark.parametrize("reference", ["bert_whitening", "whitening_bert"])
def test_whitened_similarities_equal_those_of_the_reference_formula(reference):
    np.testing.assert_allclose(
        cosines(HEADS["whitening to 5"](VECTORS)), GOLDEN[reference], atol=1e-5
    )


def test_moments_equal_numpy_and_do_not_depend_on_blocks(monkeypatch):
    whole = moments(VECTORS)
    monkeypatch.setattr("textzoo.modules.postprocessing.covariance._BLOCK_CELLS", 8 * 7)
    blocks = moments(VECTORS)
    for found in (whole, blocks):
        assert found.count == 50
        np.testing.assert_allclose(found.mean, VECTORS.mean(axis=0, dtype=np.float64), rtol=1e-12)
        np.testing.assert_allclose(found.covariance, np.cov(VECTORS.T), rtol=1e-10)
    exact = VECTORS.astype(np.float64)
    np.testing.assert_allclose(blocks.second_moment, exact.T @ exact / 50, rtol=1e-10)


def test_moments_are_exact_for_vectors_far_from_zero():
    # In float32 sums the variance of 1 would vanish beside a mean of 1e6.
    far = np.asarray([[1e6 - 1], [1e6], [1e6 + 1]], np.float32)
    np.testing.assert_allclose(moments(far).covariance, [[1]], rtol=1e-12)


def test_zero_vectors_are_not_counted_and_stay_zero():
    with_zeros = np.concatenate([VECTORS, np.zeros((9, 8), np.float32)])
    assert moments(with_zeros).count == 50
    np.testing.assert_array_equal(moments(with_zeros).mean, moments(VECTORS).mean)
    for head in HEADS.values():
        np.testing.assert_array_equal(head(jnp.zeros((2, 8))), 0)


def test_vectors_that_make_no_statistics_are_refused():
    broken = VECTORS.copy()
    broken[7, 2] = np.nan
    with pytest.raises(ValueError, match="vector 7 has a NaN"):
        moments(broken)
    with pytest.raises(ValueError, match="1 vectors that are not zero"):
        moments(np.eye(2, 8)[:1])
    with pytest.raises(ValueError, match=r"shape \(50, 7\); expected \[N, 8\]"):
        Whitening(8).fit(VECTORS[:, :7])
    with pytest.raises(ValueError, match="5 vectors.* in 8 directions.*rank=4 or less, or give"):
        Whitening(8).fit(VECTORS[:5])
    with pytest.raises(ValueError, match="2 directions and 3 are to be removed.*count=2"):
        ComponentRemoval(8, count=3).fit(VECTORS[:3])


def test_few_vectors_can_be_whitened_with_shrinkage():
    head = Whitening(8, shrinkage=0.01)
    head.assign(head.fit(VECTORS[:5]))
    assert np.isfinite(head(VECTORS)).all()


def test_whitened_vectors_have_the_unit_matrix_as_covariance():
    for name, width in (("whitening", 8), ("whitening to 5", 5)):
        mapped = np.asarray(HEADS[name](VECTORS), np.float64)
        np.testing.assert_allclose(mapped.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(np.cov(mapped.T), np.eye(width), atol=1e-4)


def test_whitening_by_hand():
    # Mean [1, 1]; covariance diag(32 / 3, 8 / 3) of [+-4, 0] and [0, +-2] around it.
    vectors = np.asarray([[5, 1], [-3, 1], [1, 3], [1, -1]], np.float32)
    head = Whitening(2)
    head.assign(head.fit(vectors))
    expected = [[4 / np.sqrt(32 / 3), 0], [0, 2 / np.sqrt(8 / 3)]]
    np.testing.assert_allclose(head(vectors[::2]), expected, atol=1e-6)
    # Half way to the mean variance 20 / 3: 26 / 3 and 14 / 3.
    half = Whitening(2, shrinkage=0.5)
    half.assign(half.fit(vectors))
    expected = [[4 / np.sqrt(26 / 3), 0], [0, 2 / np.sqrt(14 / 3)]]
    np.testing.assert_allclose(half(vectors[::2]), expected, atol=1e-6)


def test_directions_without_variance_whiten_to_zeros():
    flat = VECTORS.copy()
    flat[:, 5] = 3
    head = Whitening(8)
    head.assign(head.fit(flat))
    other = flat.copy()
    other[:, 5] = 4
    np.testing.assert_allclose(head(other), head(flat), atol=1e-5)
    np.testing.assert_array_equal(head(flat)[:, 7], 0)


def test_standardized_features_vary_by_one_and_constant_ones_stay_finite():
    vectors = VECTORS.copy()
    vectors[:, 3] = 7
    head = Standardization(8)
    head.assign(head.fit(vectors))
    mapped = np.asarray(head(vectors), np.float64)
    np.testing.assert_allclose(
        mapped.std(axis=0, ddof=1), np.where(np.arange(8) == 3, 0, 1), atol=1e-5
    )


def test_principal_components_keep_the_distances_of_what_they_keep():
    rotation = PrincipalComponents(8)
    rotation.assign(rotation.fit(VECTORS))
    mapped = np.asarray(rotation(VECTORS))
    gaps = VECTORS[:25] - VECTORS[25:]
    np.testing.assert_allclose(
        np.linalg.norm(mapped[:25] - mapped[25:], axis=1), np.linalg.norm(gaps, axis=1), rtol=1e-5
    )
    variances = mapped.var(axis=0)
    assert (np.diff(variances) < 0).all()
    np.testing.assert_allclose(
        HEADS["principal components"](VECTORS), mapped[:, :3], rtol=1e-5, atol=1e-5
    )


def test_removed_directions_are_gone_and_the_others_are_untouched():
    mapped = np.asarray(HEADS["component removal"](VECTORS), np.float64)
    directions = components(np.cov(VECTORS.T))[1]
    centered = VECTORS - VECTORS.mean(axis=0)
    np.testing.assert_allclose(mapped @ directions[:, :2], 0, atol=1e-5)
    np.testing.assert_allclose(
        mapped @ directions[:, 2:], centered @ directions[:, 2:], rtol=1e-4, atol=1e-5
    )


def test_removal_without_centering_projects_out_the_first_singular_vector():
    exact = VECTORS.astype(np.float64)
    first = np.linalg.svd(exact, full_matrices=False)[2][0]
    np.testing.assert_allclose(
        HEADS["uncentered removal"](VECTORS), exact - np.outer(exact @ first, first), atol=1e-5
    )


def test_signs_of_eigenvectors_do_not_depend_on_the_library():
    vectors = components(np.cov(VECTORS.T))[1]
    assert (vectors[np.abs(vectors).argmax(axis=0), np.arange(8)] > 0).all()


def test_before_it_is_fitted_a_head_leaves_vectors_as_they_are():
    x = jnp.asarray(VECTORS)
    for head in (Centering(8), Standardization(8), Whitening(8), ComponentRemoval(8, count=3)):
        np.testing.assert_array_equal(head(x), x)
    np.testing.assert_array_equal(PrincipalComponents(8, rank=2)(x), x[:, :2])


@by_name
def test_no_gradient_reaches_a_statistic_and_vectors_get_theirs(name):
    head = HEADS[name]
    assert jax.tree.leaves(nnx.state(head, nnx.Param)) == []
    graph, statistics = nnx.split(head)
    assert all(isinstance(v, Statistic) for _, v in nnx.to_flat_state(statistics))

    def total(statistics, x):
        return jnp.square(nnx.merge(graph, statistics)(x)).sum()

    of_statistics, of_vectors = jax.jit(jax.grad(total, argnums=(0, 1)))(statistics, VECTORS[:4])
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(of_statistics))
    assert np.isfinite(of_vectors).all() and (np.abs(of_vectors).sum(axis=1) > 0).all()


@by_name
def test_spans_are_mapped_like_texts_compiled_or_not_and_in_float32(name):
    head = HEADS[name]
    expected = np.asarray(head(VECTORS))
    spans = jax.jit(head)(jnp.asarray(VECTORS.reshape(10, 5, 8)))
    np.testing.assert_allclose(spans.reshape(50, -1), expected, rtol=1e-5, atol=1e-5)
    assert head(jnp.asarray(VECTORS, jnp.bfloat16)).dtype == jnp.float32


def test_memory_mapped_half_precision_vectors_are_read(tmp_path):
    np.save(tmp_path / "vectors.npy", VECTORS.astype(np.float16))
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    exact = np.asarray(mapped, np.float64)
    np.testing.assert_allclose(Centering(8).fit(mapped)["mean"], exact.mean(axis=0), rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Centering(0), "width=0; use 1 or more"),
        (lambda: Whitening(8, rank=9), "rank=9; keep 1 to 8 of 8 directions"),
        (lambda: PrincipalComponents(8, rank=0), "rank=0; keep 1 to 8"),
        (lambda: Whitening(8, shrinkage=1.5), "shrinkage=1.5; use 0 to 1"),
        (lambda: ComponentRemoval(8, count=8), "count=8; remove 1 to 7 of 8 directions"),
    ],
)
def test_bad_options_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
