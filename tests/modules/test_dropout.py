"""Which numbers are dropped, and what becomes of the others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec

from textzoo.modules.dropout import Dropout, WordDropout
from textzoo.modules.types import TextBatch

SHAPES = {"even": (64, 6, 50), "odd": (64, 6, 51), "vector": (20_000,)}
KEY = jax.random.key(3)


def drop(x, rate, key=KEY):
    return Dropout(rate, deterministic=False)(x, rngs=key)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.75])
def test_the_share_that_is_dropped_is_the_rate(shape, rate):
    found = np.asarray(drop(jnp.ones(shape), rate))
    deviation = np.sqrt(rate * (1 - rate) / found.size)
    assert abs((found == 0).mean() - rate) < 4 * deviation
    np.testing.assert_allclose(found[found > 0], 1 / (1 - rate), rtol=1e-4)


def test_neighbours_are_dropped_independently_of_one_another():
    kept = np.asarray(drop(jnp.ones((500, 200)), 0.5)) > 0
    for other in (kept[:, 1:], kept[1:]):
        # Two standard errors of a correlation of 1e5 pairs are 0.0063.
        first = kept[: len(other), : other.shape[1]]
        assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.0126


def test_the_mean_is_kept_whatever_the_rate_is_rounded_to():
    rate = 1e-5  # Of 65,536 numbers, 65,535 or all are kept: the nearest is 65,535.
    found = np.asarray(drop(jnp.ones(8), rate), np.float64)
    np.testing.assert_allclose(found, 65536 / 65535, rtol=1e-6)


def test_the_same_key_drops_the_same_numbers_and_another_one_others():
    x = jnp.ones((40, 10))
    np.testing.assert_array_equal(drop(x, 0.5), drop(x, 0.5))
    assert not np.array_equal(drop(x, 0.5), drop(x, 0.5, jax.random.key(4)))


def test_streams_give_a_key_each_time():
    dropout, rngs = Dropout(0.5, deterministic=False), nnx.Rngs(dropout=1, other=2)
    x = jnp.ones(100)
    first, second = dropout(x, rngs=rngs), dropout(x, rngs=rngs)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, dropout(x, rngs=nnx.Rngs(dropout=1)))


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_nothing_and_everything_can_be_dropped(rate):
    x = jnp.arange(5.0)
    gradient = jax.grad(lambda x: drop(x, rate).sum())(x)
    np.testing.assert_array_equal(drop(x, rate), x * (1 - rate))
    np.testing.assert_array_equal(gradient, jnp.full(5, 1 - rate))


def test_nothing_is_dropped_when_it_is_deterministic():
    x = jnp.arange(6.0)
    np.testing.assert_array_equal(Dropout(0.5, deterministic=True)(x), x)
    view = nnx.view(Dropout(0.5, deterministic=False), deterministic=True)
    np.testing.assert_array_equal(view(x), x)


def test_without_random_numbers_there_is_a_clear_error():
    with pytest.raises(ValueError, match="give it rngs"):
        Dropout(0.5, deterministic=False)(jnp.ones(4))


def test_half_precision_stays_half_precision():
    assert drop(jnp.ones((4, 4), jnp.bfloat16), 0.5).dtype == jnp.bfloat16


@pytest.mark.skipif(jax.device_count() < 2, reason="needs several devices")
def test_devices_drop_what_one_would():
    mesh = jax.make_mesh((jax.device_count(),), ("data",))
    x = jnp.ones((8, 6, 10))
    split = jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))
    np.testing.assert_array_equal(jax.jit(lambda x: drop(x, 0.3))(split), drop(x, 0.3))


def words(rows: int, length: int) -> TextBatch:
    """Texts of different lengths."""
    mask = np.arange(length) < np.random.default_rng(0).integers(1, length + 1, (rows, 1))
    return TextBatch(ids=np.ones((rows, length), np.int32), mask=mask)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_the_share_of_words_that_is_dropped_is_the_rate(rate):
    batch = words(500, 60)
    kept = np.asarray(WordDropout(rate)(batch, rngs=KEY).mask)
    # What is no text stays none, and the first token of a text is never dropped.
    assert not kept[~batch.mask].any() and kept[:, 0].all()
    others = batch.mask[:, 1:]
    deviation = np.sqrt(rate * (1 - rate) / others.sum())
    assert abs((others & ~kept[:, 1:]).sum() / others.sum() - rate) < 4 * deviation


def test_words_are_dropped_only_in_training():
    batch = words(4, 6)
    assert WordDropout(0.5, deterministic=True)(batch) is batch
    assert WordDropout(0.0)(batch) is batch
    with pytest.raises(ValueError, match="give it rngs"):
        WordDropout(0.5)(batch)


def test_a_rate_next_to_one_leaves_the_first_word():
    batch = words(50, 40)
    kept = np.asarray(WordDropout(0.999999)(batch, rngs=KEY).mask)
    assert kept[:, 0].all() and kept[:, 1:].sum() < 5
