"""Recursive convolution equals the reference where that has no padding, and never sees any."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from textzoo.modules import FlattenPooling, Hidden, RecursiveConvolution, ResidualDense

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "recursive_convolution.npz")
LENGTHS = GOLDEN["lengths"]
WIDTH, LENGTH = 3, 16


def rows(name, index, key):
    return np.stack([GOLDEN[f"{name}/{index}/{place}/{key}"] for place in range(2)])


@functools.cache
def make_encoder(kind, **options):
    """An encoder with the parameters of the golden file."""
    options = dict(norm="affine", separate_norms=kind == "own", max_length=16) | options
    encoder = nnx.eval_shape(
        lambda: RecursiveConvolution(WIDTH, num_layers=2, **options, rngs=nnx.Rngs(0))
    )
    for name, blocks in (("prefix", encoder.prefix), ("group", encoder.group)):
        for index, block in enumerate(blocks):
            first, second = rows(name, index, "kernel")
            block.first.kernel.set_value(jnp.asarray(first.transpose(2, 1, 0)))
            block.second.kernel.set_value(jnp.asarray(second.transpose(2, 1, 0)))
            for key, variable in (("scale", block.scale), ("shift", block.shift)):
                if kind == "own" and name == "group":
                    value = np.stack([rows("own", step * 2 + index, key) for step in range(2)])
                else:
                    value = rows(name, index, key)[None]
                assert variable.shape == value.shape
                variable.set_value(jnp.asarray(value))
    return encoder


@functools.cache
def compiled(encoder):
    graphdef, state = nnx.split(encoder)
    return functools.partial(
        jax.jit(lambda state, hidden: nnx.merge(graphdef, state)(hidden)), state
    )


def make_hidden(lengths=LENGTHS, states=GOLDEN["inputs"], length=LENGTH):
    padded = np.full((3, length, WIDTH), 7, np.float32)
    mask = np.arange(length) < np.asarray(lengths)[:, None]
    padded[:, :16] = np.where(mask[:, :16, None], states, 7)
    return Hidden(states=jnp.asarray(padded), mask=jnp.asarray(mask))


@pytest.mark.parametrize("kind", ["shared", "own"])
def test_states_equal_the_reference_for_texts_that_need_no_padding(kind):
    found = compiled(make_encoder(kind))(make_hidden())
    assert np.asarray(found.mask).all()
    np.testing.assert_allclose(found.states, GOLDEN[f"{kind}/states"], rtol=0, atol=1e-5)
    assert np.abs(GOLDEN["own/states"] - GOLDEN["shared/states"]).max() > 0.1


def test_vectors_behind_the_residual_map_equal_the_reference():
    head = nnx.eval_shape(lambda: ResidualDense(12, norm="affine", rngs=nnx.Rngs(0)))
    # The reference lays the four values of a feature side by side, we the features of a state.
    order = np.arange(12).reshape(3, 4).T.ravel()
    for index, part in enumerate((head.first, head.second)):
        kernel = rows("post", 0, "kernel")[index].T
        part.kernel.set_value(jnp.asarray(kernel[order][:, order]))
        part.bias.set_value(jnp.asarray(rows("post", 0, "bias")[index][order]))
    head.scale.set_value(jnp.asarray(rows("post", 0, "scale")[:, order]))
    head.shift.set_value(jnp.asarray(rows("post", 0, "shift")[:, order]))
    states = jnp.asarray(GOLDEN["shared/states"])
    vectors = FlattenPooling(4)(Hidden(states=states, mask=jnp.ones((3, 4), bool)))
    np.testing.assert_allclose(head(vectors), GOLDEN["shared/vectors"][:, order], atol=1e-5)
    with_relu = nnx.clone(head)
    with_relu.use_final_activation = True
    np.testing.assert_allclose(
        with_relu(vectors), np.maximum(GOLDEN["shared/vectors"][:, order], 0), atol=1e-5
    )


@pytest.mark.parametrize("lengths", [(11, 5, 1), (16, 3, 0)])
def test_padding_of_any_length_makes_no_difference(lengths):
    encoder = make_encoder("shared")
    found = compiled(encoder)(make_hidden(lengths))
    longer = compiled(encoder)(make_hidden(lengths, length=20))
    np.testing.assert_allclose(longer.states, found.states, atol=1e-6)
    np.testing.assert_array_equal(longer.mask, found.mask)
    # 11 tokens come down to 6, 3 states; 5 to 3; up to four stay as they are.
    needed = {11: 3, 5: 3, 1: 1, 16: 4, 3: 3, 0: 0}
    np.testing.assert_array_equal(found.mask.sum(1), [needed[length] for length in lengths])
    np.testing.assert_array_equal(np.any(np.asarray(found.states), axis=-1), found.mask)


def test_a_text_is_read_to_its_end():
    hidden = make_hidden((11, 5, 1))
    run = compiled(make_encoder("shared"))
    before = np.asarray(run(hidden).states)
    changed = hidden.states.at[0, 10].add(1).at[1, 4].add(1)
    after = np.asarray(run(hidden.replace(states=changed)).states)
    assert np.abs(after - before)[:2].max(axis=(1, 2)).min() > 1e-3
    np.testing.assert_array_equal(after[2], before[2])


@pytest.mark.parametrize("norm", ["affine", "layer"])
def test_gradients_are_finite_and_none_of_padding(norm):
    graphdef, state = nnx.split(make_encoder("shared", norm=norm))
    hidden = make_hidden((11, 5, 0))

    @jax.jit
    def gradient(state, x):
        def loss(state, x):
            out = nnx.merge(graphdef, state)(hidden.replace(states=x))
            vectors = FlattenPooling(4)(out)
            return (vectors * jnp.cos(jnp.arange(vectors.size)).reshape(vectors.shape)).sum()

        return jax.grad(loss, argnums=(0, 1))(state, x)

    of_parameters, of_input = gradient(state, hidden.states)
    for leaf in jax.tree.leaves(of_parameters):
        assert np.isfinite(leaf).all() and np.any(leaf)
    seen = np.any(np.asarray(of_input), axis=-1)
    assert not (seen & ~np.asarray(hidden.mask)).any() and seen[:2].any(axis=1).all()
    assert np.isfinite(of_input).all()


def test_layer_norm_keeps_half_precision_close():
    encoder = make_encoder("shared", norm="layer")
    hidden = make_hidden((11, 5, 1))
    exact = np.asarray(compiled(encoder)(hidden).states)
    half = compiled(make_encoder("shared", norm="layer", dtype="bfloat16"))(
        hidden.replace(states=hidden.states.astype(jnp.bfloat16))
    ).states
    assert half.dtype == jnp.bfloat16
    assert np.abs(np.asarray(half, np.float32) - exact).mean() < 2e-2 * np.abs(exact).max()


def test_eager_and_computed_again_equal_compiled():
    hidden, encoder = make_hidden((8, 5, 0)), make_encoder("shared")
    reference = compiled(encoder)(hidden).states
    lean = nnx.view(encoder, remat="full")
    np.testing.assert_allclose(compiled(lean)(hidden).states, reference, atol=1e-5)
    with jax.disable_jit():
        eager = encoder(hidden.replace(states=hidden.states[:, :8], mask=hidden.mask[:, :8]))
    np.testing.assert_allclose(eager.states, reference, atol=1e-5)


def test_flattened_states_are_those_under_the_mask():
    states = jnp.arange(12.0).reshape(2, 3, 2)
    hidden = Hidden(states=states, mask=jnp.asarray([[1, 1, 0], [0, 0, 0]], bool))
    np.testing.assert_array_equal(
        FlattenPooling(3)(hidden), [[0, 1, 2, 3, 0, 0], [0, 0, 0, 0, 0, 0]]
    )
    with pytest.raises(ValueError, match="num_positions=4, but texts have 3 states"):
        FlattenPooling(4)(hidden)
    with pytest.raises(ValueError, match="no vectors of spans"):
        FlattenPooling(3)(hidden, np.ones((2, 1, 3), bool))
    with pytest.raises(ValueError, match="num_positions=0; use 1 or more"):
        FlattenPooling(0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(norm="batch"), "norm='batch' is unknown; use one of layer, affine, none"),
        (dict(num_layers=0), "num_layers=0; use 1 or more"),
        (dict(separate_norms=True), "max_length=None; give the longest text"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        RecursiveConvolution(WIDTH, **options, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="norm='batch' is unknown"):
        ResidualDense(4, norm="batch", rngs=nnx.Rngs(0))


def test_bad_inputs_are_refused():
    encoder, hidden = make_encoder("shared"), make_hidden()
    for options, message in (
        (dict(return_layers=True), "no layers of one length"),
        (dict(return_attention_diagonal=True), "has no attention"),
    ):
        with pytest.raises(ValueError, match=message):
            encoder(hidden, **options)
    with pytest.raises(ValueError, match="give it one text to a row"):
        encoder(hidden.replace(segment_ids=jnp.ones((3, 16), jnp.int32)))
    with pytest.raises(ValueError, match="20 tokens long.*max_length=20"):
        make_encoder("own")(make_hidden(length=20))
    with pytest.raises(ValueError, match="3 wide, the encoder 5; give the embedding width=5"):
        RecursiveConvolution(5, num_layers=1, rngs=nnx.Rngs(0))(hidden)
