"""Two vocabularies in one row of ids."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from textzoo.config import Part
from textzoo.modules import MixedVocabularyEmbedding, SubwordEmbedding, TextBatch
from textzoo.parts import build_part

D = 6
WIDE = Part("SubwordEmbedding", vocab_size=5, width=D)
NARROW = Part("SubwordEmbedding", vocab_size=3, width=D, factor_dim=2, factor_bias=True)
IDS = np.array([[0, 4, 5], [7, 6, 2]], np.int32)
BATCH = TextBatch(ids=IDS, mask=np.array([[1, 1, 1], [1, 1, 0]], bool))


def make(*parts):
    part = Part("MixedVocabularyEmbedding", parts=parts or (WIDE, NARROW))
    embedding = build_part(part, where="embedding", rngs=nnx.Rngs(0))
    if not parts:
        embedding.parts[1].projection.bias.set_value(jnp.arange(D) / 10)
    return embedding


def rows(embedding) -> np.ndarray:
    first, second = embedding.parts
    narrow = np.asarray(second.table[...]) @ np.asarray(second.projection.kernel[...])
    return np.concatenate([first.table[...], narrow + np.asarray(second.projection.bias[...])])


def test_ids_are_those_of_one_part_after_those_of_the_other():
    embedding = make()
    assert (embedding.sizes, embedding.starts, embedding.vocab_size) == ((5, 3), (0, 5), 8)
    np.testing.assert_allclose(embedding(BATCH).states, rows(embedding)[IDS], atol=1e-6)
    for bad in (-1, 8):
        states = np.asarray(embedding(BATCH.replace(ids=np.where(IDS == 5, bad, IDS))).states)
        assert np.isnan(states[0, 2]).all() and np.isfinite(np.delete(states, 2, axis=1)).all()


def test_attend_scores_the_ids_of_both():
    embedding = make()
    states = np.random.default_rng(0).normal(size=(2, 3, D)).astype(np.float32)
    scores = embedding.attend(jnp.asarray(states))
    np.testing.assert_allclose(scores, states @ rows(embedding).T, atol=1e-5)


def test_gradients_reach_the_table_of_the_id_alone():
    embedding = make()
    only_first = BATCH.replace(ids=np.where(IDS > 4, 1, IDS))
    gradient = nnx.grad(lambda module: module(only_first).states.sum())(embedding)
    assert np.abs(gradient["parts"][0]["table"][...]).sum() > 0
    assert not np.any(gradient["parts"][1]["table"][...])
    assert not np.any(gradient["parts"][1]["projection"]["bias"][...])


def test_parts_without_ids_or_of_other_widths_are_refused():
    with pytest.raises(ValueError, match="which has no vocab_size"):
        make(WIDE, Part("SideEmbedding", sizes=(4,), width=D))
    with pytest.raises(ValueError, match="have the widths"):
        make(WIDE, WIDE.replace(width=4))
    with pytest.raises(ValueError, match="needs a list of embeddings"):
        MixedVocabularyEmbedding([])
    assert MixedVocabularyEmbedding([SubwordEmbedding(4, 2, rngs=nnx.Rngs(0))]).starts == (0,)
