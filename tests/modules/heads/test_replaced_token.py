import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from textzoo.modules.heads import ReplacedTokenHead


def test_log_odds_by_hand():
    head = ReplacedTokenHead(2, activation="relu", rngs=nnx.Rngs(0))
    head.dense.kernel.set_value(jnp.asarray([[1.0, 0.0], [0.0, 2.0]]))
    head.dense.bias.set_value(jnp.asarray([1.0, -10.0]))
    head.output.kernel.set_value(jnp.asarray([[5.0], [7.0]]))
    head.output.bias.set_value(jnp.asarray([0.5]))
    # [2, 1] -> [3, -8] -> [3, 0] -> 15.5; [0, 6] -> [1, 2] -> 19.5
    states = jnp.asarray([[[2.0, 1.0], [0.0, 6.0]]])
    np.testing.assert_allclose(head(states), [[15.5, 19.5]], rtol=1e-6)


def test_log_odds_are_float32():
    head = ReplacedTokenHead(4, dtype="bfloat16", rngs=nnx.Rngs(0))
    found = head(jax.random.normal(jax.random.key(0), (2, 3, 4)))
    assert found.dtype == jnp.float32
    assert found.shape == (2, 3)
    assert head.dense.kernel.dtype == jnp.float32


def test_axes_are_named_for_sharding():
    head = ReplacedTokenHead(4, rngs=nnx.Rngs(0))
    assert head.dense.kernel.out_sharding == ("embed", None)
    assert head.output.kernel.out_sharding == ("embed", None)


def test_bad_options_are_explained():
    with pytest.raises(ValueError, match="width=0; use 1 or more"):
        ReplacedTokenHead(0, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="activation='swish' is unknown"):
        ReplacedTokenHead(4, activation="swish", rngs=nnx.Rngs(0))
