"""Languages of rows reach the head that guesses tokens, and not the exported model."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from textzoo import ModelConfig, Part, build
from textzoo.errors import ConfigError
from textzoo.modules import TextBatch
from textzoo.trainers import LanguageObjective
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.objectives.languages import side_table, without_side_vectors
from textzoo.trainers.objectives.masked_language import (
    MaskedLanguageObjective,
    make_masked_language_head,
)
from textzoo.trainers.objectives.token_masking import Vocabulary

VOCABULARY = Vocabulary(mask_id=4, special_ids=(0, 1, 2, 3), vocab_size=40)
NAMES = ("srp_Cyrl", "eng_Latn", "srp_Latn")


def make_model():
    config = ModelConfig(
        embedding=Part("SubwordEmbedding", vocab_size=40, width=8),
        encoder=Part("SideVectorsEncoder", encoder=Part("IdentityEncoder"), sizes=(2, 2), width=8),
        pooling=Part("MeanPooling"),
    )
    return build(config, rngs=nnx.Rngs(0))


def make_objective(model=None):
    model = model or make_model()
    head = make_masked_language_head(model, rngs=nnx.Rngs(1))
    return MaskedLanguageObjective(model, head, vocabulary=VOCABULARY)


def make_batch(labels=(0, 2, 1)) -> TrainBatch:
    ids = np.random.default_rng(0).integers(5, 40, (3, 12)).astype(np.int32)
    return TrainBatch(
        texts=(TextBatch(ids=ids, mask=np.ones((3, 12), bool)),), labels=np.array(labels, np.int32)
    )


@functools.cache
def compiled(graphdef):
    def loss(parameters, batch):
        objective = nnx.merge(graphdef, parameters)
        terms = objective(batch, step=jnp.asarray(0), rngs=nnx.Rngs(0, dropout=1, objective=2))
        return terms.total()

    return jax.jit(jax.value_and_grad(loss))


def run(objective, batch):
    """The loss, and the objective with gradients in place of parameters."""
    graphdef, parameters = nnx.split(objective)
    loss, gradients = compiled(graphdef)(parameters, batch)
    return loss, nnx.merge(graphdef, gradients)


def test_names_are_languages_and_scripts():
    languages, scripts, table = side_table(NAMES)
    assert (languages, scripts) == (("eng", "srp"), ("Cyrl", "Latn"))
    assert table.tolist() == [[1, 0], [0, 1], [1, 1]]
    for bad in ("english", "eng-Latn", "eng_latn", "ENG_Latn", "eng_Latn "):
        with pytest.raises(ConfigError, match="such as 'eng_Latn'"):
            side_table([bad])


def test_rows_are_guessed_with_the_vectors_of_their_language():
    model, (_, _, table) = make_model(), side_table(NAMES)
    objective = LanguageObjective(make_objective(model), side_ids=table)
    batch = make_batch()
    told = batch.replace(texts=(batch.texts[0].with_side_ids(table[[0, 2, 1]]),))
    loss, gradient = run(objective, batch)
    np.testing.assert_allclose(loss, run(objective.objective, told)[0], rtol=1e-6)
    assert loss != run(objective, make_batch((1, 1, 1)))[0]
    for side in gradient.model.encoder.side.tables:
        assert np.isfinite(side[...]).all() and np.abs(side[...]).sum(axis=1).min() > 0
    # A language without a row learns nothing.
    _, gradient = run(objective, make_batch((0, 2, 2)))
    assert np.abs(gradient.model.encoder.side.tables[0][0]).sum() == 0


def test_what_is_exported_knows_no_languages():
    model, (_, _, table) = make_model(), side_table(NAMES)
    exported = LanguageObjective(make_objective(model), side_ids=table).export()
    assert exported.config.encoder.type == "IdentityEncoder"
    assert exported.encoder is model.encoder.encoder
    again = build(exported.config, rngs=nnx.Rngs(0))
    assert jax.tree.structure(nnx.state(again)) == jax.tree.structure(nnx.state(exported))
    batch = make_batch().texts[0]
    np.testing.assert_allclose(exported(batch).vectors, model(batch).vectors, atol=1e-6)
    assert without_side_vectors(exported) is exported


def test_rows_without_a_language_and_classes_without_ids_are_refused():
    objective = LanguageObjective(make_objective(), side_ids=[[0, 1]])
    with pytest.raises(ConfigError, match="no labels, so their language is not known"):
        objective(make_batch().replace(labels=None), step=jnp.asarray(0), rngs=nnx.Rngs(0))
    for bad in ([], [[0, 1], [0]]):
        with pytest.raises(ConfigError, match="a row for every class"):
            LanguageObjective(make_objective(), side_ids=bad)
