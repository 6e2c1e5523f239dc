"""Vectors of languages and scripts: before an encoder and after it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from textzoo.config import ModelConfig, Part
from textzoo.modules import SideEmbedding, SideVectorsEncoder, TextBatch
from textzoo.parts import build, build_part

V, D = 10, 4
IDS = np.array([[3, 0, 9], [1, 1, 2]], np.int32)
SIDE = np.array([[[1, 0], [1, -1], [-1, -1]], [[0, 1], [2, 1], [2, 0]]], np.int32)
PLAIN = TextBatch(ids=IDS, mask=np.array([[1, 1, 1], [1, 1, 0]], bool))
BATCH = PLAIN.replace(side_ids=SIDE)
SUBWORDS = Part("SubwordEmbedding", vocab_size=V, width=D)
SIDES = Part("SideEmbedding", sizes=(3, 2), width=D)


def make_sum():
    part = Part("SumEmbedding", parts=(SUBWORDS, SIDES))
    return build_part(part, where="embedding", rngs=nnx.Rngs(0))


def expected(tables) -> np.ndarray:
    vectors = np.zeros((2, 3, D), np.float32)
    for b, t, n in np.ndindex(2, 3, 2):
        if SIDE[b, t, n] >= 0:
            vectors[b, t] += np.asarray(tables[n][...])[SIDE[b, t, n]]
    return vectors


def test_a_state_is_the_sum_of_what_is_known():
    embedding = SideEmbedding((3, 2), D, rngs=nnx.Rngs(0))
    hidden = embedding(BATCH)
    np.testing.assert_allclose(hidden.states, expected(embedding.tables), atol=1e-7)
    np.testing.assert_array_equal(hidden.states[0, 2], 0)
    np.testing.assert_array_equal(hidden.side_ids, SIDE)
    np.testing.assert_array_equal(embedding(PLAIN).states, np.zeros((2, 3, D)))
    wrong = embedding(PLAIN.replace(side_ids=np.where(SIDE == 2, 3, SIDE))).states
    assert np.isnan(wrong[1, 1:]).all() and np.isfinite(wrong[0]).all()


def test_half_precision_is_near():
    half = SideEmbedding((3, 2), D, dtype="bfloat16", rngs=nnx.Rngs(0))
    assert half(BATCH).states.dtype == half(PLAIN).states.dtype == jnp.bfloat16
    np.testing.assert_allclose(half(BATCH).states, expected(half.tables), atol=1e-3)


def test_in_a_sum_it_tells_languages_and_leaves_the_scores_of_tokens_alone():
    embedding = make_sum()
    tokens, sides = embedding.parts
    states = embedding(BATCH).states
    np.testing.assert_allclose(states, tokens(BATCH).states + sides(BATCH).states, atol=1e-7)
    np.testing.assert_allclose(embedding(PLAIN).states, tokens(PLAIN).states, atol=1e-7)
    assert embedding.vocab_size == V
    np.testing.assert_allclose(embedding.attend(states), tokens.attend(states), atol=1e-7)


def test_a_sum_has_a_vocabulary_where_its_parts_have_one():
    other = SUBWORDS.replace(vocab_size=V + 1)
    for parts in ((SUBWORDS, other), (SIDES,)):
        part = Part("SumEmbedding", parts=parts)
        embedding = build_part(part, where="embedding", rngs=nnx.Rngs(0))
        assert not hasattr(embedding, "vocab_size")


def make_model():
    inner = Part(
        "TransformerEncoder", width=D, num_layers=1, num_heads=2, hidden_dim=8, max_length=6
    )
    encoder = Part("SideVectorsEncoder", encoder=inner, sizes=(3, 2), width=D)
    return build(ModelConfig(embedding=SUBWORDS, encoder=encoder), rngs=nnx.Rngs(0))


def test_after_an_encoder_vectors_are_added_to_its_states():
    model = make_model()
    run = jax.jit(lambda model, batch: model(batch).hidden)
    told, plain = run(model, BATCH), run(model, PLAIN)
    alone = model.encoder.encoder(model.embedding(PLAIN))
    np.testing.assert_allclose(plain.states, alone.states, atol=1e-6)
    vectors = expected(model.encoder.side.tables)
    np.testing.assert_allclose(told.states - plain.states, vectors, atol=1e-6)
    assert model.encoder.max_length == 6
    layers = model.encoder(model.embedding(BATCH), return_layers=True).layers
    np.testing.assert_allclose(layers[-1], alone.states, atol=1e-6)


def test_texts_have_the_side_ids_of_all_their_tokens():
    batch = PLAIN.with_side_ids(np.array([[2, 0], [-1, 1]], np.int32))
    assert batch.side_ids.tolist() == [[[2, 0]] * 3, [[-1, 1]] * 3]
    assert PLAIN.side_ids is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SideEmbedding((), D, rngs=nnx.Rngs(0)), "the rows of each table"),
        (lambda: SideEmbedding(5, D, rngs=nnx.Rngs(0)), "the rows of each table"),
        (lambda: SideEmbedding((3, 0), D, rngs=nnx.Rngs(0)), r"sizes\[1\]=0"),
        (lambda: SideEmbedding((3,), D, rngs=nnx.Rngs(0))(BATCH), "2 side ids, and there are 1"),
        (
            lambda: SideVectorsEncoder(None, sizes=(3,), width=0, rngs=nnx.Rngs(0)),
            "width=0; use a whole number",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
