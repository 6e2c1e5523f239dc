import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from textzoo import TextModel
from textzoo.modules import (
    Dense,
    Hidden,
    IdentityEncoder,
    LayerMeanPooling,
    MeanPooling,
    SubwordEmbedding,
    TextBatch,
)


class Recorder(IdentityEncoder):
    """Notes what the model asked of the encoder."""

    def __call__(self, hidden: Hidden, **options) -> Hidden:
        self.asked = options
        states = hidden.states
        return hidden.replace(layers=(states, states)) if options["return_layers"] else hidden


class DiagonalPooling(MeanPooling):
    needs_attention_diagonal = True


@pytest.fixture
def batch() -> TextBatch:
    return TextBatch(
        ids=np.array([[3, 1, 4, 1], [5, 9, 0, 0]], np.int32),
        mask=np.array([[1, 1, 1, 1], [1, 1, 0, 0]], bool),
    )


def make_model(**slots) -> TextModel:
    slots = {
        "embedding": SubwordEmbedding(10, 4, rngs=nnx.Rngs(0)),
        "encoder": IdentityEncoder(),
        "pooling": MeanPooling(),
        **slots,
    }
    return TextModel(**slots)


def test_the_parts_are_applied_in_order(batch):
    head = Dense(4, 3, rngs=nnx.Rngs(1))
    model = make_model(heads=[head, lambda vectors: vectors + 1])
    table = np.asarray(model.embedding.table[...])
    expected = head(jnp.stack([table[[3, 1, 4, 1]].mean(0), table[[5, 9]].mean(0)])) + 1
    output = model(batch)
    np.testing.assert_allclose(output.vectors, expected, atol=1e-6)
    np.testing.assert_array_equal(output.hidden.states, table[batch.ids])


def test_without_pooling_there_are_states_and_no_vectors(batch):
    output = make_model(pooling=None)(batch)
    assert output.vectors is None
    assert output.hidden.states.shape == (2, 4, 4)


def test_spans_give_one_vector_each(batch):
    spans = np.zeros((2, 3, 4), bool)
    spans[0, 0, :2] = spans[0, 1, 2] = spans[1, 0] = True
    model = make_model(heads=[Dense(4, 3, use_bias=False, rngs=nnx.Rngs(1))])
    vectors = model(batch.replace(spans=spans)).vectors
    assert vectors.shape == (2, 3, 3)
    np.testing.assert_allclose(vectors[1, 0], model(batch).vectors[1], atol=1e-6)
    np.testing.assert_array_equal(vectors[1, 1:], 0)


def test_layers_and_diagonals_are_computed_only_for_a_pooling_that_needs_them(batch):
    for pooling, layers, diagonal in [
        (MeanPooling(), False, False),
        (LayerMeanPooling((0, -1)), True, False),
        (DiagonalPooling(), False, True),
        (None, False, False),
    ]:
        model = make_model(encoder=Recorder(), pooling=pooling)
        model(batch)
        assert model.encoder.asked["return_layers"] is layers
        assert model.encoder.asked["return_attention_diagonal"] is diagonal


def test_compiled_equals_eager(batch):
    model = make_model(heads=[Dense(4, 3, rngs=nnx.Rngs(1))])
    graphdef, state = nnx.split(model)
    compiled = jax.jit(lambda state, batch: nnx.merge(graphdef, state)(batch))(state, batch)
    np.testing.assert_allclose(compiled.vectors, model(batch).vectors, atol=1e-6)


def test_padding_and_the_other_texts_do_not_change_a_vector(batch):
    model = make_model(heads=[Dense(4, 3, rngs=nnx.Rngs(1))])
    vectors = model(batch).vectors
    alone = TextBatch(ids=batch.ids[1:, :2], mask=batch.mask[1:, :2])
    np.testing.assert_allclose(model(alone).vectors[0], vectors[1], atol=1e-6)
    swapped = jax.tree.map(lambda x: x[::-1], batch)
    np.testing.assert_allclose(model(swapped).vectors, vectors[::-1], atol=1e-6)


def test_a_model_has_parameters_and_no_random_state():
    model = make_model(heads=[Dense(4, 3, rngs=nnx.Rngs(1))])
    everything, parameters = nnx.state(model), nnx.state(model, nnx.Param)
    assert jax.tree.structure(everything) == jax.tree.structure(parameters)
    assert len(jax.tree.leaves(parameters)) == 3
