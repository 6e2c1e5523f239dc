"""Vectors of tokens, and MaxSim on the device."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from textzoo import ModelConfig, Part
from textzoo.checkpoints import weights
from textzoo.modules import Hidden, IdentityEncoder, Normalize, TextBatch, TokenProjection
from textzoo.modules.heads import max_similarity

GOLDEN = np.load(Path(__file__).parents[2] / "golden" / "late_interaction.npz")
NAMES = ("queries", "queries_mask", "documents", "documents_mask")
INPUTS = [jnp.asarray(GOLDEN[name]) for name in NAMES]
INPUTS[0], INPUTS[2] = Normalize()(INPUTS[0]), Normalize()(INPUTS[2])
compiled = jax.jit(max_similarity)


def test_scores_equal_those_of_sentence_transformers():
    np.testing.assert_allclose(compiled(*INPUTS), GOLDEN["scores"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(max_similarity(*INPUTS), GOLDEN["scores"], rtol=1e-5, atol=1e-6)


def test_negative_similarities_lose_to_no_padding():
    # The document is the opposite of the query: its one token gives -1, padding would give 0.
    query = jnp.asarray([[[1.0, 0.0]]])
    document = jnp.asarray([[[-1.0, 0.0], [0.0, 0.0]]])
    mask = jnp.asarray([[True, False]])
    np.testing.assert_array_equal(
        max_similarity(query, jnp.ones((1, 1), bool), document, mask), [[-1]]
    )


def test_what_stands_in_padding_does_not_matter():
    query, query_mask, document, document_mask = INPUTS
    noise = [
        jnp.where(mask[..., None], x, 1e3)
        for x, mask in ((query, query_mask), (document, document_mask))
    ]
    np.testing.assert_array_equal(
        compiled(noise[0], query_mask, noise[1], document_mask), compiled(*INPUTS)
    )


def test_texts_without_tokens_score_zero_with_finite_gradients():
    query, query_mask, document, document_mask = INPUTS
    query_mask, document_mask = query_mask.at[1].set(False), document_mask.at[2].set(False)
    scores = compiled(query, query_mask, document, document_mask)
    np.testing.assert_array_equal(scores[1], 0)
    np.testing.assert_array_equal(scores[:, 2], 0)

    def total(query, document):
        return jnp.square(max_similarity(query, query_mask, document, document_mask)).sum()

    of_query, of_document = jax.jit(jax.grad(total, argnums=(0, 1)))(query, document)
    for gradient, mask in ((of_query, query_mask), (of_document, document_mask)):
        assert np.isfinite(gradient).all() and np.abs(gradient).sum() > 0
        np.testing.assert_array_equal(gradient[~mask], 0)


def test_masks_of_spans_compare_the_spans_alone():
    query, query_mask, document, document_mask = INPUTS
    span = query_mask & (np.arange(query.shape[1]) >= 1)
    scores = compiled(query, span, document, document_mask)
    expected = np.asarray(query[2, 1:4] @ document[1, :2].T).max(axis=1).sum()
    assert scores[2, 1] == pytest.approx(expected, rel=1e-5)
    assert scores[1, 1] == 0  # its only token is not in the span


def test_projection_by_hand_and_padding_gives_zeros():
    projection = TokenProjection(IdentityEncoder(), 2, out_features=2, rngs=nnx.Rngs(0))
    projection.linear.kernel.set_value(jnp.asarray([[3.0, 0.0], [0.0, 2.0]]))
    hidden = Hidden(
        states=jnp.asarray([[[1.0, 2.0], [-5.0, 0.0], [7.0, 7.0]]]),
        mask=jnp.asarray([[True, True, False]]),
    )
    # [3, 4] and [-15, 0], at length one.
    np.testing.assert_allclose(
        projection(hidden).states, [[[0.6, 0.8], [-1, 0], [0, 0]]], rtol=1e-6
    )


def test_a_model_with_a_projection_is_built_from_its_config_and_keeps_its_longest_text():
    inner = Part(
        "TransformerEncoder", width=8, num_layers=1, num_heads=2, hidden_dim=8, max_length=7
    )
    config = ModelConfig(
        embedding=Part("SubwordEmbedding", vocab_size=9, width=8),
        encoder=Part("TokenProjection", encoder=inner, width=8, out_features=3),
    )
    model = weights.abstract_model(ModelConfig.from_dict(config.to_dict()))
    rng, shapes = np.random.default_rng(0), weights.parameter_shapes(model)
    arrays = {path: rng.normal(size=shape) for path, shape in shapes.items()}
    weights.fill(model, arrays, source="test")
    assert model.encoder.max_length == 7
    batch = TextBatch(ids=np.asarray([[3, 4, 5]]), mask=np.asarray([[True, True, False]]))
    states = jax.jit(lambda batch: model(batch).hidden.states)(batch)
    np.testing.assert_allclose(np.linalg.norm(states[0], axis=-1), [1, 1, 0], rtol=1e-5)


def test_bad_sizes_are_refused():
    with pytest.raises(ValueError, match="out_features=0; use 1 or more"):
        TokenProjection(IdentityEncoder(), 4, out_features=0, rngs=nnx.Rngs(0))
