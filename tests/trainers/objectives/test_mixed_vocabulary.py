"""Masked tokens of two vocabularies."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from textzoo import ModelConfig, Part, build
from textzoo.errors import ConfigError
from textzoo.modules import TextBatch
from textzoo.trainers import MixedVocabularyObjective
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.objectives.masked_language import make_masked_language_head
from textzoo.trainers.objectives.mixed_vocabulary import narrow_part
from textzoo.trainers.objectives.selectors import gather_slots
from textzoo.trainers.objectives.token_masking import EVALUATION, Vocabulary, mask_texts

V1, V2, D = 30, 12, 8
VOCABULARIES = (
    Vocabulary(mask_id=4, special_ids=(0, 1, 2, 3), vocab_size=V1),
    Vocabulary(mask_id=2, special_ids=(0, 1), vocab_size=V2),
)


def make_model():
    wide = Part("SubwordEmbedding", vocab_size=V1, width=D)
    narrow = Part("SubwordEmbedding", vocab_size=V2, width=D, factor_dim=3, factor_bias=True)
    embedding = Part("MixedVocabularyEmbedding", parts=(wide, narrow))
    return build(ModelConfig(embedding=embedding), rngs=nnx.Rngs(0))


def make_objective(**options) -> MixedVocabularyObjective:
    model = make_model()
    head = make_masked_language_head(model, rngs=nnx.Rngs(1))
    rng = np.random.default_rng(2)
    head.output_bias.set_value(jnp.asarray(rng.normal(size=V1 + V2), jnp.float32))
    return MixedVocabularyObjective(model, head, vocabularies=VOCABULARIES, **options)


def make_batch() -> TrainBatch:
    rng = np.random.default_rng(0)
    first, second = rng.integers(5, V1, (6, 20)), rng.integers(V1 + 3, V1 + V2, (6, 20))
    ids = np.where(rng.random((6, 20)) < 0.5, first, second).astype(np.int32)
    ids[:, 0], ids[:, -1] = 2, V1 + 1
    return TrainBatch(texts=(TextBatch(ids=ids, mask=np.ones((6, 20), bool)),))


@functools.cache
def compiled(graphdef):
    def loss(parameters, batch):
        objective = nnx.merge(graphdef, parameters)
        terms = objective(batch, step=jnp.asarray(0), rngs=nnx.Rngs(0, objective=2))
        return terms.total(), terms

    return jax.jit(jax.value_and_grad(loss, has_aux=True))


@functools.partial(jax.jit, static_argnums=2)
def mask(key, batch, vocabulary):
    return mask_texts(key, batch, EVALUATION, vocabulary, step=jnp.asarray(0))


def run(objective, batch):
    graphdef, parameters = nnx.split(objective)
    (_, terms), gradients = compiled(graphdef)(parameters, batch)
    return terms, nnx.merge(graphdef, gradients)


def test_a_token_is_guessed_among_those_of_its_vocabulary_and_masked_by_its_mask():
    objective, batch = make_objective(), make_batch()
    terms, gradient = run(objective, batch)
    key = nnx.Rngs(0, objective=2).objective()
    masked = mask(key, batch, objective.vocabulary)
    original, ids = np.asarray(batch.texts[0].ids), np.array(masked.texts.ids)
    was_masked = ids == 4
    assert was_masked.sum() > 8
    ids[was_masked & (original >= V1)] = V1 + 2
    texts = batch.texts[0].replace(ids=ids)
    states = gather_slots(objective.model.embedding(texts).states, masked.selection.slots)
    scores = np.asarray(objective.head(states, objective.model.embedding), np.float64)
    total = count = hits = 0
    for b, m in zip(*np.nonzero(np.asarray(masked.selection.weights)), strict=True):
        target = int(masked.targets[b, m])
        own = slice(0, V1) if target < V1 else slice(V1, V1 + V2)
        row, place = scores[b, m, own], target - own.start
        total += np.log(np.exp(row).sum()) - row[place]
        hits += row.argmax() == place
        count += 1
    found = terms.terms["masked_language"].ratio
    assert found.denominator == count
    np.testing.assert_allclose(found.value(), total / count, rtol=1e-5)
    np.testing.assert_allclose(terms.metrics["accuracy"].value(), hits / count, rtol=1e-6)
    for leaf in jax.tree.leaves(nnx.state(gradient)):
        assert np.isfinite(leaf).all()
    assert np.abs(gradient.model.embedding.parts[1].projection.kernel[...]).sum() > 0


def test_blocks_give_the_same_loss():
    batch = make_batch()
    whole, blocks = (run(make_objective(**o), batch)[0] for o in ({}, {"loss_block": 2}))
    np.testing.assert_allclose(whole.total(), blocks.total(), rtol=1e-6)


def test_special_tokens_of_both_are_never_guessed():
    assert make_objective().vocabulary.special_ids == (0, 1, 2, 3, 4, V1, V1 + 1, V1 + 2)
    assert make_objective().mask_ids == (4, V1 + 2)


def test_a_student_begins_with_the_narrow_table():
    embedding = make_model().embedding
    student = narrow_part(embedding)
    assert (student.vocab_size, student.width) == (V2, 3)
    np.testing.assert_array_equal(student.table[...], embedding.parts[1].table[...])


def test_what_does_not_fit_is_refused():
    model = make_model()
    head = make_masked_language_head(model, rngs=nnx.Rngs(1))
    with pytest.raises(ConfigError, match=r"have \(12, 30\) ids, and the parts .* \(30, 12\)"):
        MixedVocabularyObjective(model, head, vocabularies=VOCABULARIES[::-1])
    plain = build(
        ModelConfig(embedding=Part("SubwordEmbedding", vocab_size=9, width=4)), rngs=nnx.Rngs(0)
    )
    with pytest.raises(ConfigError, match="needs a MixedVocabularyEmbedding"):
        MixedVocabularyObjective(plain, head, vocabularies=VOCABULARIES)
