import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from textzoo.modules import SubwordEmbedding, TextBatch

IDS = np.array([[3, 0, 9], [1, 1, 2]], np.int32)
BATCH = TextBatch(ids=IDS, mask=np.array([[1, 1, 1], [1, 1, 0]], bool))


def make(**options) -> SubwordEmbedding:
    return SubwordEmbedding(10, 4, rngs=nnx.Rngs(0), **options)


def test_a_state_is_the_row_of_its_id():
    embedding = make()
    np.testing.assert_array_equal(embedding(BATCH).states, np.asarray(embedding.table[...])[IDS])


def test_states_are_scaled():
    np.testing.assert_allclose(make(scale=3.0)(BATCH).states, 3 * make()(BATCH).states)


def test_a_factorised_table_is_narrow_and_projected():
    embedding = make(factor_dim=2)
    table, kernel = embedding.table[...], embedding.projection.kernel[...]
    assert table.shape == (10, 2)
    assert kernel.shape == (2, 4)
    np.testing.assert_allclose(embedding(BATCH).states, np.asarray(table @ kernel)[IDS], atol=1e-7)
    assert len(jax.tree.leaves(nnx.state(embedding))) == 2


def test_what_encoders_need_is_carried_along_as_jax_arrays():
    batch = BATCH.replace(positions=IDS, segment_ids=IDS + 1, type_ids=IDS + 2)
    hidden = make()(batch)
    for name in ("mask", "positions", "segment_ids", "type_ids"):
        assert isinstance(getattr(hidden, name), jax.Array)
        np.testing.assert_array_equal(getattr(hidden, name), getattr(batch, name))
    assert make()(BATCH).positions is None


@pytest.mark.parametrize("bad", [10, 1_000_000])
def test_an_id_outside_the_table_gives_nan_not_another_row(bad):
    states = make()(BATCH.replace(ids=np.where(IDS == 9, bad, IDS).astype(np.int32))).states
    assert np.isnan(states[0, 2]).all()
    assert np.isfinite(states[1]).all()


@pytest.mark.parametrize("options", [{}, {"factor_dim": 2}])
def test_attend_scores_every_row_with_the_same_parameters(options):
    embedding = make(**options)
    everything = TextBatch(ids=np.arange(10, dtype=np.int32)[None], mask=np.ones((1, 10), bool))
    rows = embedding(everything).states[0]
    states = jax.random.normal(jax.random.key(1), (2, 3, 4))
    np.testing.assert_allclose(embedding.attend(states), states @ rows.T, atol=1e-6)
    # The gradient of the scores reaches the table: input and output are tied.
    gradient = nnx.grad(lambda module: module.attend(states).sum())(embedding)
    assert np.abs(gradient["table"][...]).sum() > 0


def test_attend_scores_in_float32():
    embedding = make(dtype="bfloat16", param_dtype="bfloat16")
    states = embedding(BATCH).states
    assert states.dtype == jnp.bfloat16
    assert embedding.attend(states).dtype == jnp.float32


def test_storage_and_computation_types_are_separate():
    embedding = make(dtype="bfloat16")
    assert embedding.table.dtype == jnp.float32
    assert embedding(BATCH).states.dtype == jnp.bfloat16
    assert make()(BATCH).states.dtype == jnp.float32


def test_axes_are_named_for_sharding():
    assert make().table.out_sharding == ("vocab", "embed")


@pytest.mark.parametrize("sizes", [(0, 4), (10, 0), (10, -1)])
def test_sizes_are_positive(sizes):
    with pytest.raises(ValueError, match="use 1 or more"):
        SubwordEmbedding(*sizes, rngs=nnx.Rngs(0))
