import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from textzoo.modules import SubwordEmbedding
from textzoo.modules.heads import MaskedLanguageHead


def make_head(*sizes, **options) -> MaskedLanguageHead:
    return MaskedLanguageHead(*sizes, rngs=nnx.Rngs(0), **options)


def make_embedding(**options) -> SubwordEmbedding:
    return SubwordEmbedding(5, 2, rngs=nnx.Rngs(1), **options)


def test_scores_by_hand():
    head = make_head(2, 3, activation="relu", norm_eps=0.0)
    embedding = SubwordEmbedding(3, 2, rngs=nnx.Rngs(0))
    embedding.table.set_value(jnp.asarray([[1.0, 0.0], [0.0, 1.0], [2.0, 3.0]]))
    head.dense.kernel.set_value(jnp.asarray([[1.0, 0.0], [0.0, 2.0]]))
    head.dense.bias.set_value(jnp.asarray([1.0, -10.0]))
    head.norm.scale.set_value(jnp.asarray([3.0, 1.0]))
    head.norm.bias.set_value(jnp.asarray([0.0, 0.5]))
    head.output_bias.set_value(jnp.asarray([0.0, 10.0, 100.0]))
    # [2, 1] W + b = [3, -8]; relu [3, 0]; norm [1, -1], scaled [3, -1], shifted [3, -0.5].
    # Rows: 3, -0.5 + 10, 6 - 1.5 + 100.
    np.testing.assert_allclose(
        head(jnp.asarray([[2.0, 1.0]]), embedding), [[3.0, 9.5, 104.5]], rtol=1e-5
    )


def test_without_a_transform_states_meet_the_table():
    head, embedding = make_head(2, 5, transform=False, use_output_bias=False), make_embedding()
    states = jax.random.normal(jax.random.key(0), (3, 2))
    np.testing.assert_allclose(head(states, embedding), states @ embedding.table[...].T, rtol=1e-5)
    assert jax.tree.leaves(nnx.state(head)) == []


def test_options_of_modernbert_leave_biases_out():
    head = make_head(4, 5, use_bias=False, use_norm_bias=False, use_output_bias=False)
    names = {".".join(map(str, path)) for path, _ in nnx.to_flat_state(nnx.state(head))}
    assert names == {"dense.kernel", "norm.scale"}
    assert make_head(4, 5, use_norm=False).norm is None


def test_the_inner_width_is_that_of_the_table():
    head = make_head(8, 5, inner_dim=2)
    assert head.dense.kernel.shape == (8, 2)
    assert head(jnp.ones((4, 3, 8)), make_embedding()).shape == (4, 3, 5)


def test_a_factorized_embedding_scores_through_its_projection():
    embedding = make_embedding(factor_dim=3)
    head = make_head(2, 5, transform=False)
    assert head(jnp.ones((1, 2)), embedding).shape == (1, 5)


def test_a_table_of_its_own_needs_no_embedding():
    head = make_head(4, 5, tied=False)
    assert head(jnp.ones((1, 4))).shape == (1, 5)
    assert head.output.kernel.shape == (4, 5)


def test_the_bias_starts_at_zero():
    np.testing.assert_array_equal(make_head(4, 5).output_bias[...], 0)


def test_scores_are_float32_of_narrow_factors():
    embedding, states = make_embedding(), jax.random.normal(jax.random.key(0), (50, 2))
    wide, narrow = make_head(2, 5), make_head(2, 5, dtype="bfloat16")
    found = narrow(states, embedding)
    assert found.dtype == jnp.float32
    assert narrow.dense.kernel.dtype == jnp.float32
    assert 0 < np.abs(found - wide(states, embedding)).max() < 0.02
    # Sums are float32: products of bfloat16 numbers are not rounded to bfloat16.
    inner = narrow.transform(states)
    exact = np.asarray(inner, np.float64) @ np.asarray(
        embedding.table[...].astype(jnp.bfloat16), np.float64
    ).T  # fmt: skip
    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-6)


def test_axes_are_named_for_sharding():
    head = make_head(4, 5, tied=False)
    assert head.dense.kernel.out_sharding == ("embed", None)
    assert head.output.kernel.out_sharding == ("embed", "vocab")
    assert head.output_bias.out_sharding == ("vocab",)


@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        ((0, 5), {}, "width=0; use 1 or more"),
        ((4, 0), {}, "vocab_size=0; use 1 or more"),
        ((4, 5), {"transform": False, "inner_dim": 2}, "inner_dim=2 differs from width=4"),
        ((4, 5), {"activation": "swish"}, "activation='swish' is unknown"),
    ],
)
def test_bad_options_are_explained(sizes, options, message):
    with pytest.raises(ValueError) as error:
        make_head(*sizes, **options)
    assert message in str(error.value)
