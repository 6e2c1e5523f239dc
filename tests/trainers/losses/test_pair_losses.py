"""CoSENT, AnglE, triplets, classes, numbers, and pairs with classes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from textzoo.errors import ConfigError
from textzoo.trainers.losses.angle import angle, angle_scores
from textzoo.trainers.losses.classification import accuracy, classification
from textzoo.trainers.losses.cosent import cosent, share_in_order
from textzoo.trainers.losses.regression import cosine_regression, regression
from textzoo.trainers.losses.softmax_nli import pair_logits, softmax_nli
from textzoo.trainers.losses.triplet import triplet


def normal(*shape, seed=0):
    return jnp.array(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def at_angles(*degrees):
    radians = np.deg2rad(degrees)
    return jnp.array(np.stack([np.cos(radians), np.sin(radians)], 1), jnp.float32)


def test_cosent_of_three_pairs_by_hand():
    # Cosines 1, 1/2, 0 with labels 0.2, 0.9, 0.9: only pair 0 must be below 1 and 2, and is above
    # them by 1/2 and 1: log(1 + e^0.5 + e^1).
    first, second = at_angles(0, 0, 0), at_angles(0, 60, 90)
    loss = cosent(first, second, jnp.array([0.2, 0.9, 0.9]), temperature=1.0)
    np.testing.assert_allclose(loss.value(), np.log(1 + np.e**0.5 + np.e), rtol=1e-6)


def test_cosent_of_equal_labels_is_zero_with_no_gradient():
    first, second = normal(4, 3), normal(4, 3, seed=1)
    loss, gradient = jax.value_and_grad(lambda x: cosent(x, second, jnp.ones(4)).value())(first)
    assert loss == 0 and not gradient.any()


@pytest.mark.parametrize("loss", [cosent, angle])
def test_only_the_order_of_labels_counts(loss):
    first, second = normal(5, 4), normal(5, 4, seed=1)
    labels = jnp.array([0.1, 0.5, 0.5, 0.3, 0.9])
    one, other = loss(first, second, labels), loss(first, second, (10 * labels) ** 3)
    assert one.value() == other.value() > 0


def test_share_in_order_by_hand():
    # Labels 0 < 1 < 2, scores 0.1, 0.3, 0.2: of three pairs one is the wrong way round.
    share = share_in_order(jnp.array([0.1, 0.3, 0.2]), jnp.array([0, 1, 2]), None)
    np.testing.assert_allclose(share.value(), 2 / 3, rtol=1e-6)


def test_angle_scores_by_hand():
    # (3 + 4i) and (4 + 3i): cosine (12 + 12) / 25, the other sum (4 * 4 - 3 * 3) / 25.
    score = angle_scores(jnp.array([[3.0, 4.0]]), jnp.array([[4.0, 3.0]]))
    np.testing.assert_allclose(score, [(24 + 7) / 25], rtol=1e-6)


def test_angle_scores_are_the_parts_of_a_complex_quotient():
    x, y = normal(6, 8), normal(6, 8, seed=1)
    a, b, c, d = (np.asarray(v, np.float64) for v in (x[:, :4], x[:, 4:], y[:, :4], y[:, 4:]))
    length_of_x = np.sqrt((a**2 + b**2).sum(1, keepdims=True))
    length_of_y = np.sqrt((c**2 + d**2).sum(1, keepdims=True))
    # The authors divide x conj(y) by |y|^2, and that by the quotient of lengths |x| / |y|.
    quotient = (a + 1j * b) * np.conj(c + 1j * d) / (length_of_x * length_of_y)
    expected = np.abs((quotient.real + quotient.imag).sum(1))
    np.testing.assert_allclose(angle_scores(x, y), expected, rtol=1e-5, atol=1e-6)


def test_an_odd_width_is_read_with_a_zero_more():
    x, y = normal(3, 5), normal(3, 5, seed=1)
    padded = (jnp.pad(v, ((0, 0), (0, 1))) for v in (x, y))
    np.testing.assert_array_equal(angle_scores(x, y), angle_scores(*padded))


def test_triplets_by_hand():
    # Cosine distances: positive 1 - 1/2, negatives 1 - 0 and 1 - 1: max(0, 0.5 - 1 + 0.7) = 0.2 and
    # 0.5 - 0 + 0.7 = 1.2.
    anchors, positives = at_angles(0), at_angles(60)
    negatives = at_angles(90, 0)[None]
    loss = triplet(anchors, positives, negatives, margin=0.7)
    np.testing.assert_allclose(loss.value(), (0.2 + 1.2) / 2, rtol=1e-5)
    # Euclidean: 1, sqrt 2 and 0.
    loss = triplet(anchors, positives, negatives, margin=0.7, distance="euclidean")
    np.testing.assert_allclose(loss.value(), (1.7 - np.sqrt(2) + 1.7) / 2, rtol=1e-5)


def test_triplets_of_equal_vectors_have_a_finite_gradient():
    x = jnp.ones((2, 3))

    def loss(anchors):
        return triplet(anchors, x, x[:, None], distance="euclidean").value()

    assert not jax.grad(loss)(x).any()


def test_an_unknown_distance_is_refused():
    with pytest.raises(ConfigError, match="did you mean 'euclidean'"):
        triplet(normal(2, 3), normal(2, 3), normal(2, 1, 3), distance="euclid")


def test_cross_entropy_by_hand():
    # Probabilities 3/4 and 1/4 of the labels; smoothing by 0.2 over two classes: 0.9 and 0.1.
    logits = jnp.array([[np.log(3.0), 0.0], [np.log(3.0), 0.0]])
    loss = classification(logits, jnp.array([0, 1]))
    np.testing.assert_allclose(loss.numerator, -np.log(0.75) - np.log(0.25), rtol=1e-6)
    smooth = classification(logits[:1], jnp.array([0]), label_smoothing=0.2)
    expected = -0.9 * np.log(0.75) - 0.1 * np.log(0.25)
    np.testing.assert_allclose(smooth.value(), expected, rtol=1e-6)


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_that_is_no_class_is_not_ignored(label):
    logits = normal(2, 2)
    assert np.isnan(classification(logits, jnp.array([0, label])).value())
    filler = classification(logits, jnp.array([0, label]), row_mask=jnp.array([True, False]))
    assert filler.value() == classification(logits[:1], jnp.array([0])).value()


def test_accuracy_counts_real_rows():
    logits = jnp.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    labels, mask = jnp.array([0, 1, 1]), jnp.array([True, True, False])
    assert accuracy(logits, labels, mask) == (1.0, 2.0)


def test_squared_errors_by_hand():
    assert regression(jnp.array([1.0, 3.0]), jnp.array([1, 1])).value() == 2
    loss = cosine_regression(at_angles(0, 0), at_angles(60, 90), jnp.array([0.0, 1.0]))
    np.testing.assert_allclose(loss.value(), (0.25 + 1) / 2, rtol=1e-5)


@pytest.mark.parametrize("kinds", [3, 4])
def test_features_of_pairs_are_both_their_difference_and_their_product(kinds):
    u, v = normal(5, 4), normal(5, 4, seed=1)
    kernel, bias = normal(kinds, 4, 3, seed=2), normal(3, seed=3)
    features = np.concatenate([u, v, np.abs(u - v), u * v][:kinds], axis=1)
    expected = features @ np.asarray(kernel).reshape(kinds * 4, 3) + bias
    np.testing.assert_allclose(pair_logits(u, v, kernel, bias), expected, rtol=1e-5, atol=1e-5)
    labels = jnp.array([0, 1, 2, 0, 1])
    loss = softmax_nli(u, v, kernel, bias, labels)
    np.testing.assert_allclose(
        loss.value(), classification(jnp.array(expected), labels).value(), rtol=1e-5
    )


def test_cut_vectors_meet_the_first_rows_of_the_classifier():
    u, v = normal(5, 4), normal(5, 4, seed=1)
    kernel, bias = normal(3, 4, 2, seed=2), normal(2, seed=3)
    zeroed = (x.at[:, 2:].set(0.0) for x in (u, v))
    cut = pair_logits(u[:, :2], v[:, :2], kernel, bias)
    np.testing.assert_allclose(cut, pair_logits(*zeroed, kernel, bias), rtol=1e-5, atol=1e-6)


LOSSES = {
    "cosent": lambda a, b, y, m: cosent(a, b, y, row_mask=m),
    "angle": lambda a, b, y, m: angle(a, b, y, row_mask=m),
    "triplet": lambda a, b, y, m: triplet(a, b, a[:, None] + b[:, ::-1, None].swapaxes(1, 2),
                                          margin=0.5, row_mask=m),
    "cosine_regression": lambda a, b, y, m: cosine_regression(a, b, y, row_mask=m),
    "classification": lambda a, b, y, m: classification(a, y.astype(int), row_mask=m),
    "regression": lambda a, b, y, m: regression(a[:, 0], y, row_mask=m),
}  # fmt: skip


@functools.cache
def gradients(name):
    return jax.jit(jax.value_and_grad(lambda a, b, y, m: LOSSES[name](a, b, y, m).value(), (0, 1)))


@pytest.mark.parametrize("name", LOSSES)
def test_filler_rows_change_nothing_and_get_no_gradient(name):
    a, b, labels = normal(4, 4), normal(4, 4, seed=1), jnp.array([0.0, 2.0, 1.0, 3.0])
    mask = jnp.array([True, False, True, True, True, False])
    filled = [jnp.zeros((6, *x.shape[1:])).at[mask].set(x) for x in (a, b, labels)]
    filled[0] = filled[0].at[1].set(-b[0])
    filled[2] = filled[2].at[1].set(-7.0)
    value, (of_a, of_b) = gradients(name)(*filled, mask)
    expected, (plain_a, plain_b) = gradients(name)(a, b, labels, None)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    for one, other in ((of_a, plain_a), (of_b, plain_b)):
        np.testing.assert_allclose(one[mask], other, rtol=1e-5, atol=1e-6)
        assert not one[~mask].any()


@pytest.mark.parametrize("name", LOSSES)
def test_the_order_of_rows_does_not_matter(name):
    a, b, labels = normal(4, 4), normal(4, 4, seed=1), jnp.array([0.0, 2.0, 1.0, 3.0])
    order = np.array([2, 0, 3, 1])
    value, (of_a, _) = gradients(name)(a[order], b[order], labels[order], None)
    expected, (plain, _) = gradients(name)(a, b, labels, None)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(of_a, plain[order], rtol=1e-5, atol=1e-6)
