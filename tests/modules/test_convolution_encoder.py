"""Convolutions see their window and nothing else: no padding, no other text of their row."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny_families import make_random

from textzoo.modules import ConvolutionEncoder, Hidden
from textzoo.modules.convolution import Convolution, convolve

WIDTH, LENGTH = 6, 12
KINDS = {
    "plain": dict(num_layers=2, dilations=(1, 2), use_final_norm=True),
    "gated": dict(
        num_layers=2, embed_dim=4, dilations=(2,), gated=True, activation="tanh", norm="post"
    ),
    "bare": dict(num_layers=1, kernel_size=5, use_residual=False, norm="none"),
}
any_kind = pytest.mark.parametrize("kind", KINDS)
LENGTHS = np.array([12, 7, 0])


@functools.cache
def make_encoder(kind, **options):
    return make_random(lambda: ConvolutionEncoder(WIDTH, **KINDS[kind] | options, rngs=nnx.Rngs(0)))


@functools.cache
def compiled(encoder, **options):
    graphdef, state = nnx.split(encoder)
    run = jax.jit(lambda state, hidden: nnx.merge(graphdef, state)(hidden, **options))
    return functools.partial(run, state)


def make_hidden(kind, lengths=LENGTHS, **fields):
    width = KINDS[kind].get("embed_dim", WIDTH)
    states = np.random.default_rng(0).normal(size=(3, LENGTH, width)).astype(np.float32)
    mask = np.arange(LENGTH) < lengths[:, None]
    return Hidden(states=jnp.asarray(states), mask=jnp.asarray(mask), **fields)


def double(variable):
    return np.asarray(variable[...], np.float64)


def normed(norm, x):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return x * double(norm.scale) + double(norm.bias)


def by_definition(encoder, kind, x):
    """The states of one text without padding, tap by tap, in float64."""
    options = dict(activation="relu", gated=False, use_residual=True, norm="pre") | KINDS[kind]
    function = np.tanh if options["activation"] == "tanh" else lambda y: np.maximum(y, 0)
    if encoder.input_projection is not None:
        x = x @ double(encoder.input_projection.kernel) + double(encoder.input_projection.bias)
    for layer in encoder.layers:
        source = normed(layer.norm, x) if options["norm"] == "pre" else x
        kernel, dilation = double(layer.convolution.kernel), layer.convolution.dilation
        y = np.zeros((len(x), kernel.shape[2])) + double(layer.convolution.bias)
        for place in range(len(x)):
            for tap in range(len(kernel)):
                other = place + dilation * (tap - len(kernel) // 2)
                if 0 <= other < len(x):
                    y[place] += source[other] @ kernel[tap]
        if options["gated"]:
            y = function(y[:, :WIDTH]) / (1 + np.exp(-y[:, WIDTH:]))
        else:
            y = function(y)
        x = x + y if options["use_residual"] else y
        if options["norm"] == "post":
            x = normed(layer.norm, x)
    return x if encoder.final_norm is None else normed(encoder.final_norm, x)


@any_kind
def test_states_are_those_of_the_definition_without_padding(kind):
    encoder, hidden = make_encoder(kind), make_hidden(kind)
    found = np.asarray(compiled(encoder)(hidden).states)
    for row, length in enumerate(LENGTHS[:2]):
        wanted = by_definition(encoder, kind, np.asarray(hidden.states[row, :length], np.float64))
        np.testing.assert_allclose(found[row, :length], wanted, rtol=0, atol=2e-5)


@any_kind
def test_padding_makes_no_difference(kind):
    hidden, run = make_hidden(kind), compiled(make_encoder(kind))
    reference = np.asarray(run(hidden).states)
    changed = jnp.where(hidden.mask[..., None], hidden.states, 9.0)
    found = np.asarray(run(hidden.replace(states=changed)).states)
    np.testing.assert_array_equal(found[0], reference[0])
    np.testing.assert_array_equal(found[1, :7], reference[1, :7])
    assert np.isfinite(found).all()


@any_kind
def test_packed_rows_equal_separate_rows(kind):
    hidden, run = make_hidden(kind), compiled(make_encoder(kind))
    separate = run(hidden.replace(mask=hidden.mask & (jnp.arange(LENGTH) < 5))).states
    long = run(hidden).states
    states = jnp.concatenate([hidden.states[1, :7], hidden.states[0, :5]])
    ids = jnp.asarray([[1] * 7 + [2] * 5] * 3)
    packed = run(
        hidden.replace(states=hidden.states.at[0].set(states), segment_ids=ids)
    ).states[0]  # fmt: skip
    np.testing.assert_allclose(packed[:7], long[1, :7], atol=1e-5)
    np.testing.assert_allclose(packed[7:], separate[0, :5], atol=1e-5)


def test_a_state_sees_its_window():
    hidden = make_hidden("plain")
    run = lambda x: make_encoder("plain")(hidden.replace(states=x)).states[0]  # noqa: E731
    slopes = jax.jit(jax.jacfwd(run))(hidden.states)[:, :, 0]
    seen = np.abs(np.asarray(slopes)).sum(axis=(1, 3)) > 0
    distance = np.abs(np.arange(LENGTH)[:, None] - np.arange(LENGTH))
    # Taps at 0 and 1, then at 0 and 2 tokens to either side: all distances up to three.
    np.testing.assert_array_equal(seen, distance <= 3)


@pytest.mark.parametrize("kind", ["plain", "gated"])
def test_gradients_are_finite_and_none_of_padding(kind):
    graphdef, state = nnx.split(make_encoder(kind))

    @jax.jit
    def gradient(state, hidden):
        def loss(state, x):
            out = nnx.merge(graphdef, state)(hidden.replace(states=x)).states
            out = jnp.where(hidden.mask[..., None], out, 0)
            return (out * jnp.cos(jnp.arange(out.size)).reshape(out.shape)).sum()

        return jax.grad(loss, argnums=(0, 1))(state, hidden.states)

    hidden = make_hidden(kind)
    of_parameters, of_input = gradient(state, hidden)
    for leaf in jax.tree.leaves(of_parameters):
        assert np.isfinite(leaf).all() and np.any(leaf)
    np.testing.assert_array_equal(np.any(np.asarray(of_input), axis=-1), hidden.mask)
    of_parameters, _ = gradient(state, make_hidden(kind, lengths=np.array([0, 0, 0])))
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(of_parameters))


def test_a_convolution_by_hand():
    x = jnp.asarray([[1.0, 2, 3, 4]])[..., None]
    kernel = jnp.asarray([1.0, 10, 100])[:, None, None]
    # The first tap reads the token before: y_1 = 1 + 10 * 2 + 100 * 3 at the second place.
    np.testing.assert_array_equal(convolve(x, kernel)[0, :, 0], [210, 321, 432, 43])
    found = convolve(x, kernel, dilation=2)[0, :, 0]
    np.testing.assert_array_equal(found, [310, 420, 31, 42])
    packed = convolve(x, kernel, segment_ids=jnp.asarray([[1, 1, 1, 2]]))[0, :, 0]
    np.testing.assert_array_equal(packed, [210, 321, 32, 40])
    far = convolve(x, kernel, dilation=9, segment_ids=jnp.asarray([[1, 1, 1, 1]]))[0, :, 0]
    np.testing.assert_array_equal(far, [10, 20, 30, 40])


def test_half_precision_is_close():
    hidden = make_hidden("plain")
    exact = compiled(make_encoder("plain"))(hidden).states
    half = compiled(make_encoder("plain", dtype="bfloat16"))(
        hidden.replace(states=hidden.states.astype(jnp.bfloat16))
    ).states
    assert half.dtype == jnp.bfloat16
    difference = np.abs(np.asarray(half, np.float32) - np.asarray(exact))[:2]
    assert difference.mean() < 1e-2 * np.abs(np.asarray(exact)[:2]).mean()


def test_eager_and_computed_again_equal_compiled():
    hidden, encoder = make_hidden("bare"), make_encoder("bare")
    reference = compiled(encoder)(hidden).states
    np.testing.assert_allclose(encoder(hidden).states, reference, atol=1e-5)
    lean = nnx.view(encoder, remat="dots")
    np.testing.assert_allclose(compiled(lean)(hidden).states, reference, atol=1e-6)
    with pytest.raises(ValueError, match="remat='some' is unknown; use one of none, dots, full"):
        nnx.view(encoder, remat="some")


def test_layers_are_returned():
    hidden = make_hidden("bare")
    out = compiled(make_encoder("bare"), return_layers=True)(hidden)
    assert len(out.layers) == 2
    np.testing.assert_array_equal(out.layers[0], hidden.states)
    np.testing.assert_array_equal(out.layers[1], out.states)


def test_dropout_is_on_the_input_and_on_every_layer():
    train = nnx.view(make_encoder("bare", dropout=0.5), deterministic=False)
    graphdef, state = nnx.split(train)

    @jax.jit
    def layers(key):
        run = nnx.merge(graphdef, state)
        return run(make_hidden("bare"), return_layers=True, rngs=nnx.Rngs(dropout=key)).layers

    first, again, other = (layers(jax.random.key(seed)) for seed in (0, 0, 1))
    assert 0.3 < np.mean(np.asarray(first[0]) == 0) < 0.7
    assert np.mean(np.asarray(first[1]) == 0) > 0.6  # The activation makes a half of them zero.
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.any(np.asarray(a) != np.asarray(c))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(num_layers=0), "num_layers=0; use 1 or more"),
        (dict(num_layers=1, kernel_size=4), "kernel_size=4; use an odd number"),
        (dict(num_layers=1, dilations=(0,)), "dilation=0; use 1 or more"),
        (dict(num_layers=1, dilations=()), r"dilations is empty; use \(1,\)"),
        (dict(num_layers=1, norm="batch"), "norm='batch' is unknown; use one of pre, post, none"),
        (dict(num_layers=1, activation="sine"), "activation='sine' is unknown"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ConvolutionEncoder(WIDTH, **options, rngs=nnx.Rngs(0))


def test_bad_inputs_are_refused():
    with pytest.raises(ValueError, match="6 wide, the encoder reads 4; give the embedding width=4"):
        make_encoder("gated")(make_hidden("bare"))
    with pytest.raises(ValueError, match="has no attention"):
        make_encoder("bare")(make_hidden("bare"), return_attention_diagonal=True)


def test_a_map_may_have_no_bias_and_another_width():
    convolution = make_random(lambda: Convolution(WIDTH, 2, use_bias=False, rngs=nnx.Rngs(0)))
    hidden = make_hidden("bare", lengths=np.array([12, 12, 0]))
    found = convolution(hidden.states, hidden.mask)
    assert found.shape == (3, LENGTH, 2) and not np.asarray(found[2]).any()
