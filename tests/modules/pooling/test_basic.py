import jax
import jax.numpy as jnp
import numpy as np
import pytest

from textzoo.modules import (
    ClsPooling,
    Hidden,
    LastPooling,
    LayerMeanPooling,
    MaxPooling,
    MeanPooling,
    MeanSqrtLengthPooling,
    WeightedMeanPooling,
)
from textzoo.modules.functional import normalized

BASIC = (
    ClsPooling(),
    LastPooling(),
    MaxPooling(),
    MeanPooling(),
    MeanSqrtLengthPooling(),
    WeightedMeanPooling(),
)
ALL = (*BASIC, LayerMeanPooling((0, -1)))

by_name = pytest.mark.parametrize("pooling", ALL, ids=lambda pooling: type(pooling).__name__)


def make_hidden(states, mask, **fields) -> Hidden:
    states = jnp.asarray(states, fields.pop("dtype", jnp.float32))
    fields.setdefault("layers", (states, 2 * states))
    return Hidden(states=states, mask=jnp.asarray(mask, bool), **fields)


def random_hidden(rows: int = 3, length: int = 6, width: int = 4) -> Hidden:
    states = jax.random.normal(jax.random.key(0), (rows, length, width))
    lengths = np.asarray([6, 4, 1][:rows])
    return make_hidden(states, np.arange(length) < lengths[:, None])


def random_spans(hidden: Hidden, count: int = 5) -> np.ndarray:
    rows, length = hidden.mask.shape
    return np.random.default_rng(0).random((rows, count, length)) < 0.5


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        (MeanPooling(), [2, -3]),  # (1 + 3) / 2, (-2 + -4) / 2
        (MeanSqrtLengthPooling(), [4 / 2**0.5, -6 / 2**0.5]),
        (MaxPooling(), [3, -2]),
        (ClsPooling(), [1, -2]),
        (LastPooling(), [3, -4]),
        (WeightedMeanPooling(), [7 / 3, -10 / 3]),  # (1 * 1 + 2 * 3) / (1 + 2)
        (LayerMeanPooling((0, -1)), [3, -4.5]),  # mean of once and twice the states
        (LayerMeanPooling((1,)), [4, -6]),
        (LayerMeanPooling((-2,)), [2, -3]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_poolings_by_hand(pooling, expected):
    # Two real tokens and one of padding that no pooling may see.
    hidden = make_hidden([[[1, -2], [3, -4], [100, 100]]], [[1, 1, 0]])
    np.testing.assert_allclose(pooling(hidden), [expected], rtol=1e-6)


@by_name
def test_padding_does_not_matter(pooling):
    hidden = random_hidden()
    noise = jnp.full((3, 5, 4), 1e3)
    longer = make_hidden(
        jnp.concatenate([hidden.states, noise], axis=1), jnp.pad(hidden.mask, ((0, 0), (0, 5)))
    )
    np.testing.assert_allclose(pooling(longer), pooling(hidden), rtol=1e-6, atol=1e-6)


@by_name
def test_what_stands_in_padding_does_not_matter(pooling):
    hidden = random_hidden()
    other = jnp.where(hidden.mask[..., None], hidden.states, 1e3)
    np.testing.assert_array_equal(pooling(make_hidden(other, hidden.mask)), pooling(hidden))


@by_name
def test_padding_has_zero_gradient(pooling):
    hidden = random_hidden()

    def total(states):
        return jnp.square(pooling(make_hidden(states, hidden.mask))).sum()

    gradient = jax.grad(total)(hidden.states)
    np.testing.assert_array_equal(gradient[~hidden.mask], 0)
    assert np.abs(gradient[hidden.mask]).sum() > 0


@by_name
def test_an_empty_mask_gives_zeros_and_finite_gradients(pooling):
    mask = [[True, True], [False, False]]
    states = jnp.ones((2, 2, 3))
    np.testing.assert_array_equal(pooling(make_hidden(states, mask))[1], 0)
    spans = jnp.zeros((2, 2, 2), bool)
    np.testing.assert_array_equal(pooling(make_hidden(states, mask), spans), np.zeros((2, 2, 3)))
    gradient = jax.grad(lambda x: pooling(make_hidden(x, mask)).sum())(states)
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(gradient[1], 0)


@by_name
def test_spans_equal_pooling_each_span_alone(pooling):
    hidden = random_hidden()
    spans = random_spans(hidden)
    together = pooling(hidden, spans)
    assert together.shape == (3, 5, 4)
    for index in range(5):
        one = pooling(hidden, spans[:, index : index + 1])[:, 0]
        np.testing.assert_allclose(together[:, index], one, rtol=1e-6, atol=1e-6)


@by_name
def test_a_span_over_the_whole_text_is_the_text(pooling):
    hidden = random_hidden()
    # The span reaches into the padding, which does not count.
    spans = np.ones((3, 1, 6), bool)
    np.testing.assert_allclose(pooling(hidden, spans)[:, 0], pooling(hidden), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "pooling", [p for p in ALL if not isinstance(p, WeightedMeanPooling)],
    ids=lambda pooling: type(pooling).__name__,
)  # fmt: skip
def test_a_span_equals_a_text_of_its_tokens(pooling):
    hidden = random_hidden(rows=1)
    spans = np.zeros((1, 1, 6), bool)
    spans[0, 0, 2:5] = True
    alone = make_hidden(hidden.states[:, 2:5], np.ones((1, 3), bool))
    np.testing.assert_allclose(pooling(hidden, spans)[:, 0], pooling(alone), rtol=1e-6)


@by_name
def test_half_precision_states_are_reduced_in_float32(pooling):
    states = jax.random.normal(jax.random.key(0), (2, 300, 4)).astype(jnp.bfloat16)
    mask = np.ones((2, 300), bool)
    vectors = pooling(make_hidden(states, mask, dtype=jnp.bfloat16))
    assert vectors.dtype == jnp.float32
    np.testing.assert_allclose(
        vectors, pooling(make_hidden(states.astype(jnp.float32), mask)), rtol=1e-5, atol=1e-5
    )


@by_name
def test_compiled_equals_eager(pooling):
    hidden = random_hidden()
    spans = random_spans(hidden)
    for arguments in ((hidden,), (hidden, spans)):
        np.testing.assert_allclose(
            jax.jit(lambda *a: pooling(*a))(*arguments), pooling(*arguments), rtol=1e-5, atol=1e-6
        )


def test_weights_count_from_the_start_of_the_text_also_in_spans():
    hidden = make_hidden([[[1.0], [3.0], [5.0]]], [[1, 1, 1]])
    spans = jnp.asarray([[[False, True, True]]])
    # (2 * 3 + 3 * 5) / (2 + 3)
    np.testing.assert_allclose(WeightedMeanPooling()(hidden, spans), [[[4.2]]], rtol=1e-6)


def test_weights_follow_the_positions_of_packed_rows():
    # Two texts in one row, two tokens each; the second starts to count anew.
    hidden = make_hidden(
        [[[1.0], [3.0], [5.0], [11.0]]], [[1, 1, 1, 1]], positions=jnp.asarray([[0, 1, 0, 1]])
    )
    spans = jnp.asarray([[[1, 1, 0, 0], [0, 0, 1, 1]]], bool)
    # (1 * 1 + 2 * 3) / 3 and (1 * 5 + 2 * 11) / 3
    np.testing.assert_allclose(WeightedMeanPooling()(hidden, spans), [[[7 / 3], [9]]], rtol=1e-6)


def test_maximum_of_negative_values_is_negative():
    hidden = make_hidden([[[-3.0], [-1.0], [0.0]]], [[1, 1, 0]])
    np.testing.assert_array_equal(MaxPooling()(hidden), [[-1]])


def test_layer_mean_pooling_asks_for_layers():
    assert LayerMeanPooling.needs_layers
    hidden = random_hidden().replace(layers=None)
    with pytest.raises(ValueError, match="return_layers=True"):
        LayerMeanPooling()(hidden)


def test_layer_mean_pooling_names_a_layer_that_is_not_there():
    with pytest.raises(ValueError, match=r"names layer 5, but there are 2; use -2 to 1"):
        LayerMeanPooling((0, 5))(random_hidden())
    with pytest.raises(ValueError, match="layers is empty"):
        LayerMeanPooling(())


def test_the_slope_of_a_maximum_does_not_hang_on_the_last_digit_of_what_it_is_of():
    x = jax.random.normal(jax.random.key(0), (3, 16, 3))
    mask = jnp.arange(16)[None] < jnp.asarray([[16], [15], [14]])

    def total(x):
        hidden = Hidden(states=normalized(x), mask=mask)
        return (MaxPooling()(hidden) * jnp.cos(jnp.arange(9)).reshape(3, 3)).sum()

    # Without optimizations, the compiler computes the states once for the maximum and once for its
    # slope, by different instructions.
    careless = jax.jit(jax.grad(total), compiler_options={"xla_backend_optimization_level": 0})
    np.testing.assert_allclose(careless(x), jax.jit(jax.grad(total))(x), atol=1e-5)
