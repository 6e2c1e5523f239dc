"""Waves in Cartesian form against complex numbers in polar form, and where those have no answer."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from textzoo.modules.wave import (
    Wave,
    interfere,
    modulate,
    modulus,
    root,
    run_starts,
    sum_of_others,
    to_wave,
)

B, L, D = 3, 7, 5
LENGTHS = np.array([7, 4, 2])
MASK = np.arange(L) < LENGTHS[:, None]


def tokens(seed=0):
    # What stands under the padding is large: it must not count.
    x = np.random.default_rng(seed).normal(size=(B, L, D))
    return np.where(MASK[..., None], x, 50.0)


def polar(x, mask):
    """The paper's equations as they stand, in complex128."""
    magnitude = np.sqrt((np.where(mask[..., None], x, 0.0) ** 2).sum(axis=1, keepdims=True))
    cosine = x / magnitude
    phase = np.arctan2(np.sqrt(np.maximum(1 - cosine**2, 0)), cosine)
    return magnitude * np.exp(1j * phase)


@functools.partial(jax.jit, static_argnames=("level", "is_causal", "length_normalization"))
def waves(x, mask, starts=None, **options):
    return to_wave(x, mask, starts, **options)


@functools.cache
def both_forms(dtype):
    """First wave, second wave, sum, product and moduli: ours, and those of complex numbers."""
    first, second = tokens(0), tokens(1)
    with jax.enable_x64(True):

        @jax.jit
        def ours(first, second):
            z, other = to_wave(first, jnp.asarray(MASK)), to_wave(second, jnp.asarray(MASK))
            both = (z, other, interfere(z, other), modulate(z, other))
            return both, tuple(map(modulus, both))

        found, moduli = ours(jnp.asarray(first, dtype), jnp.asarray(second, dtype))
        found = [np.asarray(w.real) + 1j * np.asarray(w.imaginary) for w in found]
        moduli = [np.asarray(m) for m in moduli]
    z, other = polar(first, MASK), polar(second, MASK)
    wanted = [z, other, z + other, z * other]
    real = MASK[..., None] & np.ones(D, bool)
    pick = lambda arrays: [array[real] for array in arrays]  # noqa: E731
    return pick(found), pick(moduli), pick(wanted)


@pytest.mark.parametrize(("dtype", "limit"), [("float64", 1e-12), ("float32", 1e-6)])
@pytest.mark.parametrize("index", range(4), ids=["first", "second", "sum", "product"])
def test_cartesian_form_is_the_polar_form(dtype, limit, index):
    found, moduli, wanted = both_forms(dtype)
    scale = np.maximum(np.abs(wanted[index]), 1)
    assert (np.abs(found[index] - wanted[index]) / scale).max() < limit
    assert (np.abs(moduli[index] - np.abs(wanted[index])) / scale).max() < limit


def test_modulus_is_the_magnitude_of_the_text():
    _, moduli, _ = both_forms("float64")
    x = np.where(MASK[..., None], tokens(0), 0)
    magnitude = np.broadcast_to(np.sqrt((x**2).sum(1, keepdims=True)), x.shape)[MASK]
    np.testing.assert_allclose(moduli[0], magnitude.ravel(), rtol=1e-12)
    np.testing.assert_allclose(moduli[3], moduli[0] * moduli[1], rtol=1e-12)


def test_intensity_of_a_sum_has_the_cosine_of_the_phases():
    found, moduli, _ = both_forms("float64")
    cosine = np.cos(np.angle(found[0]) - np.angle(found[1]))
    wanted = moduli[0] ** 2 + moduli[1] ** 2 + 2 * moduli[0] * moduli[1] * cosine
    np.testing.assert_allclose(moduli[2] ** 2, wanted, rtol=1e-12)
    assert np.all((np.angle(found[0]) >= 0) & (np.angle(found[0]) <= np.pi))


def test_a_token_that_outweighs_the_others_does_not_hide_them():
    # Beside 10,000, the squares 9e-4 and 16e-4 are lost in float32: G^2 - u^2 would be 0.
    x = jnp.asarray([[[1e4], [0.03], [-0.04]]], jnp.float32)
    imaginary = waves(x, jnp.ones((1, 3), bool)).imaginary[0, :, 0]
    np.testing.assert_allclose(imaginary, [0.05, 1e4, 1e4], rtol=1e-6)


def test_sums_of_others_are_those_of_a_loop_for_equal_and_zero_entries():
    x = np.array([[2, 2, 1, 0], [0, 0, 0, 0], [3, 3, 3, 3], [0, 5, 0, 0]], np.float32)[..., None]
    wanted = x.sum(axis=1, keepdims=True) - x
    np.testing.assert_array_equal(sum_of_others(jnp.asarray(x)), wanted)


@functools.cache
def slope():
    def total(x, mask, weights, starts, is_causal):
        imaginary = to_wave(x, mask, starts, is_causal=is_causal).imaginary
        return jnp.where(mask[..., None], imaginary * weights, 0).sum()

    return jax.jit(jax.grad(total), static_argnames="is_causal")


@pytest.mark.parametrize("form", ["text", "packed", "causal"])
def test_slopes_are_finite_and_right_where_the_formula_has_none(form):
    # A token alone, padding alone, equal tokens, zeros, and one token beside tiny ones.
    x = np.zeros((5, 3, 1), np.float32)
    x[0, 0], x[2], x[4, :, 0] = 2.0, 1.5, (3.0, 4e-8, 3e-8)
    mask = np.array([[1, 0, 0], [0, 0, 0], [1, 1, 1], [1, 1, 1], [1, 1, 1]], bool)
    starts = jnp.zeros((5, 3), bool).at[:, 0].set(True) if form == "packed" else None
    weights = np.array([1.0, 10.0, 100.0], np.float32)[:, None]
    found = np.asarray(slope()(x, mask, weights, starts, form == "causal"))[..., 0]
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[[0, 1, 3]], 0)
    if form == "causal":
        # Im = (0, u1, sqrt(u1^2 + u2^2)): slopes 10 + 100 u1 / s, 100 u2 / s, 0.
        np.testing.assert_allclose(found[2], [10 + 100 / 2**0.5, 100 / 2**0.5, 0], rtol=1e-6)
        np.testing.assert_allclose(found[4, 0], 110, rtol=1e-6)
    else:
        # du_i = sum over j != i of w_j u_i / Im_j; all Im are u sqrt(2).
        np.testing.assert_allclose(found[2], np.array([110, 101, 11]) / 2**0.5, rtol=1e-6)
        # Im = (5e-8, 3, 3): slopes 110; 0.8 + 100 * 1.3e-8; 0.6 + 10 * 1e-8.
        np.testing.assert_allclose(found[4], [110, 0.8, 0.6], rtol=1e-5)


@pytest.mark.parametrize("is_causal", [False, True])
def test_slopes_of_packed_texts_are_those_of_each(is_causal):
    rng = np.random.default_rng(3)
    x, weights = rng.normal(size=(5, 3, 1)).astype(np.float32), rng.normal(size=(3, 1))
    starts, everything = jnp.asarray([[True, False, True]] * 5), np.ones((5, 3), bool)
    weights = weights.astype(np.float32)
    found = slope()(x, everything, weights, starts, is_causal)
    first = everything & (np.arange(3) < 2)
    apart = [slope()(x, mask, weights, None, is_causal) for mask in (first, ~first)]
    np.testing.assert_allclose(found, apart[0] + apart[1], atol=1e-6)
    assert np.abs(apart[0]).max() > 0.1


def test_the_imaginary_part_of_a_token_knows_nothing_of_it():
    x = jnp.asarray(tokens()[:1], jnp.float32)
    place = jax.jit(jax.jacrev(lambda x: to_wave(x, jnp.asarray(MASK[:1])).imaginary))
    slopes = np.asarray(place(x))[0, :, :, 0]  # [L, D, L, D]: of which, by which
    own = slopes[np.arange(L), :, np.arange(L), :]
    np.testing.assert_array_equal(own, 0)
    assert np.abs(slopes[0, 0, 1:, 0]).min() > 1e-3


@pytest.mark.parametrize(
    ("is_causal", "length_normalization"), [(False, "mean"), (False, "magnitude"), (True, "mean")]
)
def test_packed_texts_are_measured_apart(is_causal, length_normalization):
    options = {"is_causal": is_causal, "length_normalization": length_normalization}
    x = jnp.asarray(tokens(), jnp.float32)
    apart = waves(x, jnp.asarray(MASK), **options)
    packed = jnp.concatenate([x[row, : LENGTHS[row]] for row in range(B)] + [x[1, 4:]])[None]
    ids = jnp.asarray([[1] * 7 + [2] * 4 + [3] * 2 + [0] * 3])
    found = waves(packed, ids > 0, run_starts(ids), **options)
    for row, begin in enumerate((0, 7, 11)):
        real, length = slice(begin, begin + LENGTHS[row]), LENGTHS[row]
        np.testing.assert_allclose(found.real[0, real], apart.real[row, :length], atol=1e-6)
        np.testing.assert_allclose(
            found.imaginary[0, real], apart.imaginary[row, :length], atol=1e-6
        )


def test_causal_waves_are_those_of_each_prefix():
    x, mask = jnp.asarray(tokens()[:1], jnp.float32), jnp.asarray(MASK[:1])
    causal = waves(x, mask, is_causal=True)
    for length in range(1, L + 1):
        prefix = waves(x, mask & (jnp.arange(L) < length))
        at = (0, length - 1)
        np.testing.assert_allclose(causal.imaginary[at], prefix.imaginary[at], atol=1e-6)


def test_lengths_are_divided_out_as_asked():
    # Squares 9, 16, 144: the others of each are 160, 153, 25, two of them.
    x = jnp.asarray([[[3.0], [4.0], [12.0], [7.0]]])
    mask = jnp.asarray([[True, True, True, False]])
    others = np.sqrt([160.0, 153.0, 25.0])
    mean = waves(x, mask, length_normalization="mean")
    np.testing.assert_allclose(mean.real[0, :3, 0], [3, 4, 12])
    np.testing.assert_allclose(mean.imaginary[0, :3, 0], others / 2**0.5, rtol=1e-6)
    scaled = waves(x, mask, length_normalization="magnitude")
    np.testing.assert_allclose(scaled.real[0, :3, 0], np.array([3, 4, 12]) / 3**0.5, rtol=1e-6)
    np.testing.assert_allclose(scaled.imaginary[0, :3, 0], others / 3**0.5, rtol=1e-6)


def test_a_token_by_itself_is_measured_against_its_other_features():
    x = jnp.asarray([[[3.0, 4.0, 12.0], [0.0, 0.0, 2.0]]])
    wave = waves(x, jnp.ones((1, 2), bool), level="token")
    wanted = np.sqrt([[160.0, 153.0, 25.0], [4.0, 4.0, 0.0]])
    np.testing.assert_allclose(wave.imaginary[0], wanted, rtol=1e-6)


def test_runs_begin_where_any_number_changes():
    first, second = jnp.asarray([[1, 1, 1, 2, 2]]), jnp.asarray([[0, 0, 1, 1, 0]])
    np.testing.assert_array_equal(run_starts(first, None), [[1, 0, 0, 1, 0]])
    np.testing.assert_array_equal(run_starts(first, second), [[1, 0, 1, 1, 1]])
    assert run_starts(None, None) is None


def test_half_precision_is_measured_in_single():
    x = jnp.asarray(tokens(), jnp.bfloat16)
    wave = waves(x, jnp.asarray(MASK))
    assert wave.real.dtype == wave.imaginary.dtype == jnp.float32
    exact = waves(x.astype(jnp.float32), jnp.asarray(MASK))
    np.testing.assert_array_equal(wave.imaginary, exact.imaginary)


def test_the_root_of_zero_has_no_slope():
    found = [jax.grad(lambda x: root(x))(value) for value in (0.0, 4.0)]
    assert found == [0, 0.25]


def test_a_wave_survives_the_trip_through_jax():
    wave = Wave(real=jnp.ones((1, 2, 3)), imaginary=jnp.zeros((1, 2, 3)))
    doubled = jax.tree.map(lambda x: 2 * x, wave)
    assert isinstance(doubled, Wave) and float(doubled.real.sum()) == 12
