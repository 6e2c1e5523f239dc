"""A mixture of layers: by hand, with spans, and inside of a model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import textzoo
from textzoo import ModelConfig, Part
from textzoo.checkpoints.bundle import Bundle
from textzoo.checkpoints.directory import read_directory, write_directory
from textzoo.modules import ClsPooling, Hidden, LayerMeanPooling, ScalarMix, TextBatch

LAYERS = tuple(np.random.default_rng(0).normal(size=(3, 2, 5, 4)).astype(np.float32))
MASK = np.arange(5) < np.array([[5], [0]])


def make_hidden(**fields):
    layers = tuple(jnp.asarray(layer) for layer in LAYERS)
    return Hidden(states=layers[-1], mask=jnp.asarray(MASK), layers=layers, **fields)


def make_mix(**options):
    mix = ScalarMix(3, **options, rngs=nnx.Rngs(0))
    mix.scores.set_value(jnp.log(jnp.asarray([1.0, 2.0, 5.0])))
    mix.gamma.set_value(jnp.asarray(4.0))
    return mix


def test_a_fresh_mix_is_the_mean_of_the_layers():
    found = ScalarMix(3, rngs=nnx.Rngs(0))(make_hidden())
    np.testing.assert_allclose(found, LayerMeanPooling((0, 1, 2))(make_hidden()), atol=1e-6)


def test_a_mix_by_hand():
    # Shares of 1/8, 2/8 and 5/8, times four.
    wanted = 0.5 * LAYERS[0] + LAYERS[1] + 2.5 * LAYERS[2]
    found = jax.jit(make_mix().mix)(make_hidden())
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)
    vectors = make_mix()(make_hidden())
    np.testing.assert_allclose(vectors[0], wanted[0].mean(0), atol=1e-6)
    np.testing.assert_array_equal(vectors[1], 0)


def test_the_last_layers_are_mixed_when_there_are_more():
    mix = ScalarMix(2, rngs=nnx.Rngs(0))
    found = mix.mix(make_hidden())
    np.testing.assert_allclose(found, (LAYERS[1] + LAYERS[2]) / 2, atol=1e-6)


def test_spans_are_pooled_by_the_part_inside():
    spans = np.zeros((2, 2, 5), bool)
    spans[0, 0, 2:4] = True
    found = make_mix(pooling=ClsPooling())(make_hidden(), spans)
    wanted = 0.5 * LAYERS[0] + LAYERS[1] + 2.5 * LAYERS[2]
    np.testing.assert_allclose(found[0, 0], wanted[0, 2], atol=1e-6)
    np.testing.assert_array_equal(found[0, 1], 0)


def test_layers_may_be_normalized_token_by_token():
    normed = [(x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True) for x in LAYERS]
    wanted = 0.5 * normed[0] + normed[1] + 2.5 * normed[2]
    found = make_mix(use_layer_norm=True).mix(make_hidden())
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    zeros = make_hidden().replace(layers=(jnp.zeros((2, 5, 4)),) * 3)
    np.testing.assert_array_equal(make_mix(use_layer_norm=True).mix(zeros), 0)


def test_half_precision_layers_are_mixed_in_single():
    hidden = make_hidden()
    half = hidden.replace(layers=tuple(layer.astype(jnp.bfloat16) for layer in hidden.layers))
    found = make_mix()(half)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, make_mix()(hidden), atol=2e-2)


def test_a_model_with_a_mix_is_built_saved_and_loaded(tmp_path):
    config = ModelConfig(
        embedding=Part("SubwordEmbedding", vocab_size=9, width=4),
        encoder=Part("ConvolutionEncoder", width=4, num_layers=2),
        pooling=Part("ScalarMix", num_layers=3, pooling=Part("MaxPooling")),
    )
    model = textzoo.build(config, rngs=nnx.Rngs(0))
    assert type(model.pooling.pooling).__name__ == "MaxPooling"
    model.pooling.scores.set_value(jnp.asarray([0.0, 1.0, 2.0]))
    batch = TextBatch(ids=jnp.asarray([[1, 2, 3]]), mask=jnp.ones((1, 3), bool))
    write_directory(tmp_path / "mix", Bundle(model=model, tokenizer=None))
    again = read_directory(tmp_path / "mix").model
    np.testing.assert_array_equal(again(batch).vectors, model(batch).vectors)


def test_bad_options_and_inputs_are_refused():
    with pytest.raises(ValueError, match="num_layers=0; use 1 or more"):
        ScalarMix(0, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="pooling=LayerMeanPooling mixes layers itself"):
        ScalarMix(2, pooling=LayerMeanPooling(), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="num_layers=4, but the encoder returned 3.*num_layers=3"):
        ScalarMix(4, rngs=nnx.Rngs(0))(make_hidden())
    with pytest.raises(ValueError, match="call the encoder with return_layers=True"):
        make_mix()(make_hidden().replace(layers=None))
