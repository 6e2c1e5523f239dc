"""The objective of PEARL."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from vector_batches import WIDTH, make_batch, make_model, run

from textzoo.errors import ConfigError
from textzoo.trainers.losses.classification import classification
from textzoo.trainers.losses.supervised_contrastive import supervised_contrastive
from textzoo.trainers.objectives.pearl import PearlObjective

TYPES = ("noun", "verb", "name")
LABELS = jnp.asarray([0, 2, 1, 1, 0, 2])


def make(model, **options):
    return PearlObjective(model, rngs=nnx.Rngs(3), **options)


def pooled(model, batch):
    table = np.asarray(model.embedding.table[...])
    columns = []
    for text in batch.texts:
        rows = zip(np.asarray(text.ids), np.asarray(text.mask), strict=True)
        columns.append(jnp.asarray([table[ids][mask].mean(axis=0) for ids, mask in rows]))
    return columns


@pytest.mark.parametrize("columns", [2, 4])
def test_the_loss_is_that_of_the_paper(columns):
    model, batch = make_model(layers=0), make_batch(columns=columns, labels=LABELS)
    objective = make(model, labels=TYPES, type_weight=0.5)
    found = run(objective, batch)
    vectors = pooled(model, batch)
    pairs = jnp.concatenate([jnp.arange(6) + 6 * (column // 2) for column in range(columns)])
    expected = supervised_contrastive(jnp.concatenate(vectors), pairs, temperature=0.07).value()
    np.testing.assert_allclose(found.terms["contrastive"].ratio.value(), expected, rtol=1e-5)
    kernel, bias = objective.types.linear.kernel[...], objective.types.linear.bias[...]
    for column in vectors[:2]:
        expected += 0.5 * classification(column @ kernel + bias, LABELS).value()
    np.testing.assert_allclose(found.total(), expected, rtol=1e-5)
    assert set(found.metrics) == {"accuracy", "positive_similarity", "type_accuracy"}


def test_types_are_left_out_where_none_are_named():
    found = run(make(make_model(layers=0)), make_batch())
    assert set(found.terms) == {"contrastive"}


def test_equal_phrases_are_positives():
    model, batch = make_model(layers=0), make_batch()
    keys = np.array(batch.keys)
    keys[4, 0] = keys[1, 0]
    found = run(make(model), batch.replace(keys=jnp.asarray(keys)))
    pairs = jnp.asarray([0, 1, 2, 3, 1, 5] * 2)
    expected = supervised_contrastive(
        jnp.concatenate(pooled(model, batch)), pairs, temperature=0.07
    )
    np.testing.assert_allclose(found.total(), expected.value(), rtol=1e-5)


def test_rows_that_fill_the_batch_up_change_nothing():
    objective = make(make_model(layers=0), labels=TYPES)
    batch = make_batch(labels=LABELS)
    mask = jnp.asarray([True] * 4 + [False] * 2)
    short = batch.replace(
        texts=tuple(t.replace(ids=t.ids[:4], mask=t.mask[:4]) for t in batch.texts),
        labels=LABELS[:4], keys=batch.keys[:4],
    )  # fmt: skip
    value, gradient = run(objective, batch.replace(row_mask=mask), gradient=True)
    plain, expected = run(objective, short, gradient=True)
    np.testing.assert_allclose(value, plain, rtol=1e-5)
    for name in expected:
        np.testing.assert_allclose(gradient[name], expected[name], rtol=1e-4, atol=1e-6)


def test_the_model_is_exported_as_it_came():
    model = make_model(layers=0)
    assert make(model, labels=TYPES).export() is model


def test_what_it_cannot_train_on_is_named():
    model = make_model(layers=0)
    with pytest.raises(ConfigError, match="3 text columns; every hard negative needs"):
        run(make(model), make_batch(columns=3))
    with pytest.raises(ConfigError, match="the batch has no keys"):
        run(make(model), make_batch(keys=None))
    with pytest.raises(ConfigError, match="no labels, the types of its phrases"):
        run(make(model, labels=TYPES), make_batch())
    with pytest.raises(ConfigError, match="temperature=-1"):
        make(model, temperature=-1)
    with pytest.raises(ConfigError, match="type_weight=-1"):
        make(model, type_weight=-1)
    with pytest.raises(ConfigError, match="give the names of two classes"):
        make(model, labels=("one",))
    assert WIDTH == make(model, labels=TYPES).types.linear.kernel[...].shape[0]
