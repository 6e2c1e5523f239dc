import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from textzoo.errors import ConfigError
from textzoo.trainers.losses.blocked_info_nce import blocked_contrast, blocked_info_nce
from textzoo.trainers.losses.contrast import DIRECTIONS, ContrastConfig
from textzoo.trainers.losses.info_nce import contrast

ROWS, GROUP, WIDTH = 11, 2, 6
CONFIGS = {
    "forward": ContrastConfig(),
    "symmetric": ContrastConfig(
        directions=("query_to_document", "document_to_query"), normalization="per_direction"
    ),
    "everything": ContrastConfig(
        directions=DIRECTIONS, hardness="all_negatives", hardness_strength=2.0, guide_margin=0.1
    ),
}


def make(everything):
    rng = np.random.default_rng(0)
    queries = jnp.array(rng.normal(size=(ROWS, WIDTH)), jnp.float32)
    documents = jnp.array(rng.normal(size=(ROWS, GROUP, WIDTH)), jnp.float32)
    arrays = {}
    if everything:
        arrays = {
            "keys": jnp.array(rng.integers(0, 15, (ROWS, 1 + GROUP)), jnp.uint32),
            "guide": jnp.array(rng.normal(size=(ROWS, 1 + GROUP, 3)), jnp.float32),
            "row_mask": jnp.arange(ROWS) != 4,
        }
    return queries, documents, arrays


@functools.cache
def run(function, name, **options):
    queries, documents, arrays = make(name == "everything")

    def loss(q, d, temperature):
        found = function(q, d, temperature=temperature, config=CONFIGS[name], **arrays, **options)
        return found.loss.value(), found

    gradients = jax.jit(jax.value_and_grad(loss, (0, 1, 2), has_aux=True))
    return gradients(queries, documents, jnp.array(0.05))


@pytest.mark.parametrize("block", [1, 4, 11, 100])
@pytest.mark.parametrize("name", CONFIGS)
def test_blocks_give_the_plain_loss_its_gradients_and_metrics(name, block):
    (_, plain), plain_gradients = run(contrast, name)
    (_, blocked), blocked_gradients = run(blocked_contrast, name, block=block)
    for one, other in zip(jax.tree.leaves(blocked), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    for one, other in zip(blocked_gradients, plain_gradients, strict=True):
        assert np.linalg.norm(other) > 1e-3
        assert np.linalg.norm(one - other) <= 1e-6 * np.linalg.norm(other)


def test_no_array_of_the_size_of_the_batch_squared_is_held():
    rows, block = 512, 32

    def memory(function, **options):
        def loss(q, d):
            return function(q, d, config=CONFIGS["symmetric"], **options).loss.value()

        vectors = jax.ShapeDtypeStruct((rows, 4), jnp.float32)
        documents = jax.ShapeDtypeStruct((rows, 1, 4), jnp.float32)
        compiled = jax.jit(jax.grad(loss, (0, 1))).lower(vectors, documents).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    whole = 4 * rows * rows
    assert memory(contrast) > whole
    assert memory(blocked_contrast, block=block) < whole / 2


def test_a_block_without_rows_is_refused():
    queries, documents, _ = make(False)
    with pytest.raises(ConfigError, match="block=0"):
        blocked_info_nce(queries, documents, block=0)
