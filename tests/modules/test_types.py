import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from textzoo.modules import Hidden, TextBatch, TextOutput


def make_batch(rows: int = 2, length: int = 3) -> TextBatch:
    return TextBatch(
        ids=np.arange(rows * length, dtype=np.int32).reshape(rows, length),
        mask=np.ones((rows, length), bool),
    )


def test_a_batch_of_host_arrays_goes_into_a_compiled_function_and_comes_back():
    batch = make_batch()
    result = jax.jit(lambda b: b.replace(ids=b.ids + 1))(batch)
    assert isinstance(result, TextBatch)
    np.testing.assert_array_equal(result.ids, batch.ids + 1)
    assert result.type_ids is None


def test_absent_fields_are_no_leaves():
    leaves = jax.tree.leaves(make_batch())
    assert len(leaves) == 2


def test_key_paths_name_the_fields():
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(make_batch())]
    assert paths == [".ids", ".mask"]


def test_equal_structures_are_compiled_once():
    traces = []

    @jax.jit
    def count(batch: TextBatch) -> jax.Array:
        traces.append(1)
        return batch.ids.sum()

    count(make_batch())
    count(make_batch())
    assert len(traces) == 1


def test_hidden_and_output_pass_through_compiled_functions():
    hidden = Hidden(
        states=jnp.ones((1, 2, 4)), mask=jnp.ones((1, 2), bool), layers=(jnp.zeros((1, 2, 4)),)
    )
    output = jax.jit(lambda h: TextOutput(vectors=h.states.sum(1), hidden=h))(hidden)
    np.testing.assert_array_equal(output.vectors, [[2, 2, 2, 2]])
    assert len(output.hidden.layers) == 1


def test_batches_can_be_stacked_scanned_and_mapped_over():
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), make_batch(), make_batch())
    assert stacked.ids.shape == (2, 2, 3)

    def step(total, batch):
        assert batch.ids.shape == (2, 3)
        return total + batch.ids.sum(), None

    total, _ = jax.lax.scan(step, 0, stacked)
    assert total == 30
    assert jax.vmap(lambda batch: batch.ids.sum())(stacked).tolist() == [15, 15]


def test_shapes_without_arrays_fit_a_batch():
    shapes = jax.eval_shape(lambda b: b, make_batch())
    assert shapes.ids == jax.ShapeDtypeStruct((2, 3), np.int32)


def test_replace_leaves_the_original_alone():
    batch = make_batch()
    changed = batch.replace(positions=np.zeros((2, 3), np.int32))
    assert batch.positions is None
    assert changed.positions is not None
    assert changed.ids is batch.ids


def test_a_batch_is_frozen():
    with pytest.raises(AttributeError):
        make_batch().ids = None


@pytest.mark.parametrize(
    "changes",
    [
        {"mask": np.ones((2, 4), bool)},
        {"mask": np.ones((2, 3), np.int32)},
        {"ids": np.zeros((2, 3), np.float32)},
        {"spans": np.ones((2, 3), bool)},
        {"units": np.zeros((2, 4, 5), np.int32)},
    ],
    ids=["length", "mask dtype", "ids dtype", "rank", "units length"],
)
def test_the_test_run_checks_shapes_and_dtypes_of_fields(changes):
    with pytest.raises(TypeCheckError):
        make_batch().replace(**changes)
