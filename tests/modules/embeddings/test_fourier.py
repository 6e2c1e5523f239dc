"""Fourier embeddings against the card's formulas in float64, and their distances."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from textzoo.modules import FourierEmbedding, TextBatch

BERT = 30_522
ALL = np.arange(BERT, dtype=np.int32)


def plain(width: int, vocab_size: int = BERT, **options) -> FourierEmbedding:
    """Features and nothing else."""
    options = {"refinement": "none", "use_norm": False, **options}
    return FourierEmbedding(vocab_size, width, rngs=nnx.Rngs(0), **options)


@functools.cache
def features(width: int, **options) -> np.ndarray:
    return np.asarray(jax.jit(plain(width, **options).features)(ALL))


def waves(period: int, frequencies: np.ndarray) -> np.ndarray:
    """sin(k pi x) and cos(k pi x), side by side for each k, with x = 2 p / P - 1, in float64."""
    phases = np.pi * (2 * ALL / period - 1)[:, None] * frequencies
    return np.stack([np.sin(phases), np.cos(phases)], axis=-1).reshape(BERT, -1)


def test_features_by_hand():
    # P = V = 4: x = -1, -1/2, 0, 1/2. k = 1: sin(pi x) = 0, -1, 0, 1; cos(pi x) = -1, 0, 1, 0.
    # k = 2: sin(2 pi x) = 0, 0, 0, 0; cos(2 pi x) = 1, -1, 1, -1.
    expected = [[0, -1, 0, 1], [-1, 0, 0, -1], [0, 1, 0, 1], [1, 0, 0, -1]]
    found = plain(4, vocab_size=4).features(jnp.arange(4))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("period", [BERT - 1, BERT, 127], ids=["paper", "ours", "released code"])
def test_features_are_the_formula_s_at_every_id(period):
    found = features(256, period=period)
    np.testing.assert_allclose(found, waves(period, np.arange(1, 129)), atol=1e-6)
    # The length of a row is the same for all: D / 2.
    np.testing.assert_allclose(np.square(found).sum(axis=1), 128, rtol=1e-5)


def test_geometric_frequencies_go_up_to_a_quarter_turn_an_id():
    frequencies = (BERT / 4) ** (np.arange(128) / 127)
    found = features(256, frequencies="geometric")
    np.testing.assert_allclose(found, waves(BERT, frequencies), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "smallest"),
    [
        ({"width": 256}, 0.1731),
        ({"width": 512}, 0.4882),
        ({"width": 256, "frequencies": "geometric"}, 4.1034),
    ],
    ids=["linear 256", "linear 512", "geometric 256"],
)
def test_no_two_ids_of_bert_s_vocabulary_collide(options, smallest):
    found = features(**options)
    # ||T(p) - T(q)||^2 = sum_k 4 sin^2(pi k (p - q) / V) depends on p - q alone, so the distances
    # from id 0 are all there are.
    from_first = np.linalg.norm(found[1:] - found[0], axis=1)
    assert from_first.min() == pytest.approx(smallest, abs=1e-4)
    neighbors = np.linalg.norm(np.diff(found, axis=0), axis=1)
    np.testing.assert_allclose(neighbors, from_first[0], atol=1e-5)
    assert len(np.unique(found[:, :8], axis=0)) == BERT


def test_the_paper_s_first_and_last_id_are_the_same_and_the_released_code_has_127():
    paper = features(256, period=BERT - 1)
    np.testing.assert_allclose(paper[0], paper[-1], atol=1e-5)
    released = features(256, period=127)
    np.testing.assert_allclose(released[127:254], released[:127], atol=1e-5)


@pytest.mark.parametrize(
    ("basis", "polynomials"),
    [
        ("chebyshev", np.polynomial.chebyshev.chebvander),
        ("legendre", np.polynomial.legendre.legvander),
        ("laguerre", np.polynomial.laguerre.lagvander),
        ("hermite", np.polynomial.hermite.hermvander),
    ],
)
def test_other_kernels_are_polynomials_of_degree_0_to_d_minus_1(basis, polynomials):
    embedding = plain(12, vocab_size=50, period=49, basis=basis)
    x = 2 * np.arange(50) / 49 - 1
    expected = polynomials(x, 11)
    scale = np.abs(expected).max(axis=0)
    np.testing.assert_allclose(
        embedding.features(jnp.arange(50)) / scale, expected / scale, atol=1e-5
    )


def test_the_published_model_is_a_linear_map_with_a_residual_and_an_rms_norm():
    embedding = FourierEmbedding(100, 6, period=99, rngs=nnx.Rngs(0))
    rng = np.random.default_rng(0)
    W, b, scale = rng.normal(size=(6, 6)), rng.normal(size=6), rng.normal(size=6)
    embedding.refinement.kernel.set_value(jnp.asarray(W, jnp.float32))
    embedding.refinement.bias.set_value(jnp.asarray(b, jnp.float32))
    embedding.norm.scale.set_value(jnp.asarray(scale, jnp.float32))
    phases = np.pi * (2 * np.arange(100) / 99 - 1)[:, None] * np.array([1, 2, 3])
    T = np.stack([np.sin(phases), np.cos(phases)], axis=-1).reshape(100, 6)
    mixed = T @ W + b + T
    expected = mixed / np.sqrt(np.square(mixed).mean(axis=1, keepdims=True) + 1e-6) * scale
    np.testing.assert_allclose(embedding.rows(jnp.arange(100)), expected, atol=1e-5)


def test_gated_refinement_is_a_feed_forward_block_with_a_residual():
    embedding = plain(6, vocab_size=20, refinement="geglu", hidden_dim=5)
    T = embedding.features(jnp.arange(20))
    expected = embedding.refinement(T[None])[0] + T
    np.testing.assert_allclose(embedding.rows(jnp.arange(20)), expected, atol=1e-6)
    assert embedding.refinement.up.kernel.shape == (6, 2, 5)


def test_learned_frequencies_begin_where_fixed_ones_are_and_get_gradients():
    fixed = plain(8, vocab_size=50)
    learned = plain(8, vocab_size=50, learn_frequencies=True)
    ids = jnp.arange(50)
    np.testing.assert_array_equal(learned.features(ids), fixed.features(ids))
    # Moved by 0.5, the first frequency is 1.5.
    learned.frequency_shift.set_value(jnp.array([0.5, 0, 0, 0]))
    x = 2 * np.arange(50) / 50 - 1
    np.testing.assert_allclose(learned.features(ids)[:, 0], np.sin(1.5 * np.pi * x), atol=1e-5)
    batch = TextBatch(ids=np.array([[3, 7]], np.int32), mask=np.ones((1, 2), bool))
    gradient = nnx.grad(lambda module: jnp.square(module(batch).states - 1).sum())(learned)
    assert np.abs(gradient["frequency_shift"][...]).min() > 0


def test_an_odd_width_has_one_cosine_less():
    np.testing.assert_array_equal(
        plain(5, vocab_size=9).features(jnp.arange(9)),
        plain(6, vocab_size=9).features(jnp.arange(9))[:, :5],
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"basis": "wavelet"}, "use one of fourier, chebyshev"),
        ({"refinement": "mlp"}, "use one of linear, geglu, none"),
        ({"frequencies": "random"}, "use one of linear, geometric"),
        ({"period": 0.5}, "period=0.5; use a whole number"),
        ({"max_frequency": 9.0}, "needs frequencies='geometric'"),
        ({"frequencies": "geometric", "max_frequency": 0.5}, "use 1 or more"),
        ({"basis": "legendre", "learn_frequencies": True}, "has no frequencies"),
        ({"basis": "hermite"}, "use width=2[0-9] or less$"),
        ({"basis": "chebyshev", "period": 10}, "or period=100"),
        ({"hidden_dim": 8}, "needs refinement='geglu'"),
        ({"vocab_size": 1 << 22}, "use 2097152 or less"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        FourierEmbedding(**{"vocab_size": 100, "width": 64, **options}, rngs=nnx.Rngs(0))
