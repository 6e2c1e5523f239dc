"""Recurrent encoders equal torch's, whatever the padding, and keep packed texts apart."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny_families import make_random

from textzoo.modules import FinalStatePooling, Hidden, LastPooling, MaxPooling, RecurrentEncoder

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "recurrent.npz")
LENGTHS = GOLDEN["lengths"]
MASK = np.arange(GOLDEN["inputs"].shape[1]) < LENGTHS[:, None]
EMBED, UNITS = 3, 4
CASES = {
    "lstm": dict(width=8, num_layers=2),
    "gru": dict(width=8, cell="gru"),
    "forward": dict(width=4, is_bidirectional=False),
}
any_case = pytest.mark.parametrize("name", CASES)


@functools.cache
def make_encoder(name, **options):
    """An encoder with the parameters of the golden file."""
    options = dict(embed_dim=EMBED) | CASES[name] | options
    encoder = nnx.eval_shape(lambda: RecurrentEncoder(**options, rngs=nnx.Rngs(0)))
    for index, layer in enumerate(encoder.layers):
        sides = ("", "_reverse")[: layer.recurrent_kernel.shape[0]]
        read = lambda key: [GOLDEN[f"{name}/{key}_l{index}{side}"] for side in sides]  # noqa: E731, B023
        split = lambda x: x.reshape(-1, UNITS, *x.shape[1:])  # noqa: E731 - [gates, H, ...]
        inner = np.stack([split(x) for x in read("bias_hh")])
        bias = np.stack([split(x) for x in read("bias_ih")]) + inner
        if layer.candidate_bias is not None:
            bias[:, 2] -= inner[:, 2]
            layer.candidate_bias.set_value(jnp.asarray(inner[:, 2]))
        kernel = np.stack([split(x) for x in read("weight_ih")])
        layer.input_map.kernel.set_value(jnp.asarray(kernel.transpose(3, 0, 1, 2)))
        layer.input_map.bias.set_value(jnp.asarray(bias))
        kernel = np.stack([split(x) for x in read("weight_hh")])
        layer.recurrent_kernel.set_value(jnp.asarray(kernel.transpose(0, 3, 1, 2)))
    return encoder


@functools.cache
def compiled(encoder, **options):
    graphdef, state = nnx.split(encoder)
    run = jax.jit(lambda state, hidden: nnx.merge(graphdef, state)(hidden, **options))
    return functools.partial(run, state)


def make_hidden(states=GOLDEN["inputs"], mask=MASK, **fields):
    return Hidden(states=jnp.asarray(states), mask=jnp.asarray(mask), **fields)


@any_case
def test_states_equal_torch_over_packed_sequences(name):
    found = compiled(make_encoder(name))(make_hidden()).states
    np.testing.assert_allclose(found, GOLDEN[f"{name}/states"], rtol=0, atol=1e-5)


def test_maxima_are_those_of_the_two_versions_of_infersent():
    hidden = make_hidden(GOLDEN["lstm/states"])
    second = MaxPooling()(hidden)
    np.testing.assert_array_equal(second, GOLDEN["lstm/version_2"])
    first = MaxPooling(include_zero=True)(hidden)
    np.testing.assert_array_equal(first[1:], GOLDEN["lstm/version_1"][1:])
    # The longest text of a batch has no padding in the reference, and a zero all the same here.
    np.testing.assert_array_equal(first[0], np.maximum(GOLDEN["lstm/version_1"][0], 0))
    assert (np.asarray(second) < 0).any(axis=1).all()


@any_case
def test_final_states_are_those_that_torch_returns(name):
    pooling = LastPooling() if name == "forward" else FinalStatePooling()
    hidden = make_hidden(GOLDEN[f"{name}/states"])
    np.testing.assert_array_equal(pooling(hidden), GOLDEN[f"{name}/last"])
    if name == "lstm":
        spans = np.zeros((3, 2, 7), bool)
        spans[0, 0, 2:5] = True
        vectors = pooling(hidden, spans)
        states = GOLDEN["lstm/states"][0]
        np.testing.assert_array_equal(vectors[0, 0], [*states[4, :4], *states[2, 4:]])
        assert not np.asarray(vectors[0, 1]).any()


def test_final_states_need_two_halves():
    with pytest.raises(ValueError, match="3 wide, which is not two halves; use LastPooling"):
        FinalStatePooling()(make_hidden())


def padded_left(x):
    """Every text moved to the end of its row, with something under the padding."""
    out = np.full_like(x, 9)
    for row, length in enumerate(LENGTHS):
        out[row, 7 - length :] = x[row, :length]
    return out


@any_case
def test_padding_makes_no_difference_wherever_it_stands(name):
    run = compiled(make_encoder(name))
    reference = np.asarray(run(make_hidden()).states)
    found = np.asarray(run(make_hidden(padded_left(GOLDEN["inputs"]), MASK[:, ::-1])).states)
    for row, length in enumerate(LENGTHS):
        np.testing.assert_allclose(found[row, 7 - length :], reference[row, :length], atol=1e-6)
        assert not found[row, : 7 - length].any()
    nothing = run(make_hidden(mask=np.zeros_like(MASK))).states
    assert not np.asarray(nothing).any()


@any_case
def test_packed_rows_equal_separate_rows(name):
    reference = GOLDEN[f"{name}/states"]
    inputs = GOLDEN["inputs"].copy()
    inputs[0] = np.concatenate([inputs[1, :4], inputs[2, :1], inputs[1, :2]])
    ids = np.array([[1] * 4 + [2] + [0] * 2] * 3)
    hidden = make_hidden(inputs, MASK & (ids > 0), segment_ids=jnp.asarray(ids))
    found = compiled(make_encoder(name))(hidden).states[0]
    np.testing.assert_allclose(found[:4], reference[1, :4], atol=1e-5)
    np.testing.assert_allclose(found[4], reference[2, 0], atol=1e-5)
    assert not np.asarray(found[5:]).any()


@any_case
def test_gradients_are_finite_and_none_of_padding(name):
    graphdef, state = nnx.split(make_encoder(name))

    @jax.jit
    def gradient(state, hidden):
        def loss(state, x):
            out = nnx.merge(graphdef, state)(hidden.replace(states=x)).states
            return (out * jnp.cos(jnp.arange(out.size)).reshape(out.shape)).sum()

        return jax.grad(loss, argnums=(0, 1))(state, hidden.states)

    of_parameters, of_input = gradient(state, make_hidden())
    for leaf in jax.tree.leaves(of_parameters):
        assert np.isfinite(leaf).all() and np.any(leaf)
    np.testing.assert_array_equal(np.any(np.asarray(of_input), axis=-1), MASK)
    of_parameters, _ = gradient(state, make_hidden(mask=np.zeros_like(MASK)))
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(of_parameters))


def test_half_precision_is_close_and_carries_single():
    exact = GOLDEN["gru/states"]
    half = compiled(make_encoder("gru", dtype="bfloat16"))(
        make_hidden(GOLDEN["inputs"].astype(jnp.bfloat16))
    )
    assert half.states.dtype == jnp.bfloat16
    assert np.abs(np.asarray(half.states, np.float32) - exact).max() < 2e-2
    assert np.abs(exact).max() > 0.5


def test_eager_and_unrolled_and_computed_again_equal_compiled():
    reference = GOLDEN["lstm/states"]
    unrolled = make_encoder("lstm", unroll=3)(make_hidden()).states
    np.testing.assert_allclose(unrolled, reference, atol=1e-5)
    lean = nnx.view(make_encoder("lstm"), remat="full")
    np.testing.assert_allclose(compiled(lean)(make_hidden()).states, reference, atol=1e-5)


def test_layers_are_returned_where_they_have_one_width():
    encoder = make_random(lambda: RecurrentEncoder(4, num_layers=2, rngs=nnx.Rngs(0)))
    hidden = make_hidden(np.ones((3, 7, 4), np.float32))
    out = encoder(hidden, return_layers=True)
    assert len(out.layers) == 3
    np.testing.assert_array_equal(out.layers[0], hidden.states)
    np.testing.assert_array_equal(out.layers[2], out.states)
    with pytest.raises(ValueError, match="width 3 and 8 cannot be returned together"):
        make_encoder("lstm")(make_hidden(), return_layers=True)


def test_dropout_is_between_layers():
    train = functools.partial(nnx.view, deterministic=False)
    once = train(make_encoder("gru", dropout=0.5))
    np.testing.assert_allclose(once(make_hidden()).states, GOLDEN["gru/states"], atol=1e-5)
    graphdef, state = nnx.split(train(make_encoder("lstm", dropout=0.5)))

    @jax.jit
    def run(key):
        return nnx.merge(graphdef, state)(make_hidden(), rngs=nnx.Rngs(dropout=key)).states

    first, again, other = (np.asarray(run(jax.random.key(seed))) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1
    assert np.abs(first - GOLDEN["lstm/states"]).max() > 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(width=4, cell="rnn"), "cell='rnn' is unknown; use one of lstm, gru"),
        (dict(width=5), "width=5 cannot be halved.*width=6, or is_bidirectional=False"),
        (dict(width=4, num_layers=0), "num_layers=0; use 1 or more"),
        (dict(width=4, unroll=0), "unroll=0; use 1 or more"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        RecurrentEncoder(**options, rngs=nnx.Rngs(0))


def test_bad_inputs_are_refused():
    with pytest.raises(ValueError, match="7 wide, the encoder reads 3; give the embedding width=3"):
        make_encoder("gru")(make_hidden(np.ones((3, 7, 7), np.float32)))
    with pytest.raises(ValueError, match="has no attention"):
        make_encoder("gru")(make_hidden(), return_attention_diagonal=True)
