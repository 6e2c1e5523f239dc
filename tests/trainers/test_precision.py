import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny_training import first_device, objective, training_config

import textzoo
from textzoo import ModelConfig, Part, build
from textzoo.checkpoints.weights import get_parameters
from textzoo.errors import ConfigError
from textzoo.modules.types import TextBatch
from textzoo.trainers.precision import in_single_precision
from textzoo.trainers.trainer import Trainer


def narrow():
    config = ModelConfig(
        embedding=Part("SubwordEmbedding", vocab_size=9, width=4, param_dtype="float16"),
        pooling=Part("MeanPooling"),
        heads=(Part("Dense", in_features=4, out_features=2, param_dtype="float16"),),
    )
    return build(config, rngs=nnx.Rngs(0))


def test_parameters_become_wide_and_keep_their_values():
    model = narrow()
    wide = in_single_precision(model)
    assert {str(array.dtype) for array in get_parameters(wide).values()} == {"float32"}
    np.testing.assert_array_equal(
        wide.embedding.table[...], model.embedding.table[...].astype(jnp.float32)
    )
    assert wide.config.heads[0].options["param_dtype"] == "float32"
    assert model.embedding.table[...].dtype == jnp.float16
    batch = TextBatch(ids=jnp.ones((1, 3), int), mask=jnp.ones((1, 3), bool))
    np.testing.assert_allclose(wide(batch).vectors, model(batch).vectors, rtol=1e-2, atol=1e-3)


def test_a_wide_model_is_returned_as_it_is():
    wide = in_single_precision(narrow())
    assert in_single_precision(wide) is wide


def test_narrow_parameters_are_not_trained():
    with pytest.raises(ConfigError, match=r"model\.embedding\.table is held in float16"):
        Trainer(objective(narrow()), training_config(), devices=first_device())


def test_frozen_parameters_may_be_narrow():
    config = training_config()
    optimizer = dataclasses.replace(config.optimizer, frozen=("embedding", "heads"))
    learned = objective(narrow(), learn_temperature=True)
    Trainer(learned, dataclasses.replace(config, optimizer=optimizer), devices=first_device())


def test_a_model_without_a_config_cannot_be_widened():
    model = textzoo.TextModel(embedding=narrow().embedding, encoder=narrow().encoder)
    with pytest.raises(ConfigError, match="no config"):
        in_single_precision(model)
