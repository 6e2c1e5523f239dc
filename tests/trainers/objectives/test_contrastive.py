import jax.numpy as jnp
import numpy as np
import pytest
from vector_batches import make_batch, make_model, run, training

from textzoo import Part
from textzoo.errors import ConfigError
from textzoo.modules.types import TextBatch
from textzoo.trainers.losses.contrast import DIRECTIONS
from textzoo.trainers.losses.info_nce import info_nce
from textzoo.trainers.objectives.contrastive import ContrastiveObjective
from textzoo.trainers.objectives.vectors import vector_width

EVERYTHING = {
    "directions": DIRECTIONS, "learn_temperature": True, "guide_margin": 0.1,
    "hardness": "in_batch_negatives", "hardness_strength": 2.0,
    "orthogonality_weights": (1.0, 0.5),
}  # fmt: skip


def full_batch():
    guide = np.random.default_rng(3).normal(size=(7, 3, 4))
    return make_batch(7, 3, targets=jnp.array(guide, jnp.float32), row_mask=jnp.arange(7) != 2)


def test_the_loss_is_info_nce_of_the_vectors_of_the_columns():
    model, batch = make_model(), make_batch(5, 3)
    terms = run(ContrastiveObjective(model, temperature=0.1), batch)
    vectors = [model(texts).vectors for texts in batch.texts]
    expected = info_nce(vectors[0], jnp.stack(vectors[1:], 1), temperature=0.1)
    assert list(terms.terms) == ["contrastive"]
    np.testing.assert_allclose(terms.total(), expected.value(), rtol=1e-5)
    assert set(terms.metrics) == {
        "accuracy", "positive_similarity", "hardest_negative_similarity"
    }  # fmt: skip


def test_cached_and_blocked_gradients_are_the_plain_ones():
    model, batch = make_model(), full_batch()
    plain = run(ContrastiveObjective(model, **EVERYTHING), batch, gradient=True)
    cached = ContrastiveObjective(model, **EVERYTHING, chunk_size=3, loss_block=2)
    value, gradients = run(cached, batch, gradient=True)
    np.testing.assert_allclose(value, plain[0], rtol=1e-6)
    assert set(gradients) == set(plain[1]) and "log_scale" in gradients
    for name, gradient in plain[1].items():
        assert np.linalg.norm(gradients[name] - gradient) <= 1e-6 * max(
            np.linalg.norm(gradient), 1e-2
        ), name


def test_filler_rows_do_not_move_the_model():
    objective = ContrastiveObjective(make_model(), **EVERYTHING, chunk_size=3)
    batch = full_batch()
    first = batch.texts[0]
    changed = batch.replace(
        texts=(first.replace(ids=first.ids.at[2].set(7)), *batch.texts[1:]),
        targets=batch.targets.at[2].set(5.0),
    )
    one, other = (run(objective, each, gradient=True) for each in (batch, changed))
    np.testing.assert_allclose(one[0], other[0], rtol=1e-6)
    for name, gradient in one[1].items():
        assert np.linalg.norm(other[1][name] - gradient) <= 1e-6 * max(
            np.linalg.norm(gradient), 1e-2
        ), name


def test_empty_filler_rows_give_no_nan():
    batch = make_batch(4, 2, row_mask=jnp.array([True, True, True, False]))
    texts = tuple(
        TextBatch(ids=t.ids.at[3].set(0), mask=t.mask.at[3].set(False)) for t in batch.texts
    )
    objective = ContrastiveObjective(make_model(heads=(Part("Normalize"),)))
    value, gradients = run(objective, batch.replace(texts=texts), gradient=True)
    assert np.isfinite(value) and all(np.isfinite(g).all() for g in gradients.values())


def test_columns_may_differ_in_length():
    long, short = make_batch(4, 1, length=9), make_batch(4, 1, length=4, seed=1)
    batch = make_batch(4, 2).replace(texts=(*short.texts, *long.texts))
    assert run(ContrastiveObjective(make_model(), chunk_size=2), batch).total() > 0


def test_a_learned_temperature_starts_where_it_is_told_and_is_reported():
    objective = ContrastiveObjective(make_model(), temperature=0.07, learn_temperature=True)
    terms = run(objective, make_batch())
    fixed = run(ContrastiveObjective(objective.model, temperature=0.07), make_batch())
    np.testing.assert_allclose(terms.metrics["temperature"].value(), 0.07, rtol=1e-6)
    np.testing.assert_allclose(terms.total(), fixed.total(), rtol=1e-5)
    assert "temperature" not in fixed.metrics
    _, gradients = run(objective, make_batch(), gradient=True)
    assert gradients["log_scale"] != 0


def test_duplicates_are_masked_by_the_keys_of_the_batch():
    batch = make_batch(3, 2)
    equal = batch.replace(keys=batch.keys.at[1, 1].set(batch.keys[0, 1]))
    objective = ContrastiveObjective(make_model(), temperature=1.0)
    assert run(objective, equal).total() < run(objective, batch).total() - 0.05


def test_orthogonality_is_a_term_of_its_own_for_anchors_and_positives():
    objective = ContrastiveObjective(make_model(), orthogonality_weights=(1.0, 0.5))
    terms = run(objective, make_batch())
    assert set(terms.terms) == {
        "contrastive", "orthogonality_anchors", "orthogonality_positives"
    }  # fmt: skip
    assert terms.terms["orthogonality_anchors"].ratio.value() > 0


def test_dropout_is_on_in_training_only():
    objective = ContrastiveObjective(make_model(dropout=0.5))
    still = [run(objective, make_batch(), seed=seed).total() for seed in (0, 1)]
    moving = [run(training(objective), make_batch(), seed=seed).total() for seed in (0, 0, 1)]
    assert still[0] == still[1]
    assert moving[0] == moving[1] != moving[2]


def test_the_model_alone_is_exported():
    model = make_model()
    assert ContrastiveObjective(model, learn_temperature=True).export() is model


@pytest.mark.parametrize(
    ("options", "fields", "message"),
    [
        ({}, {"keys": None}, "mask_duplicates=False"),
        ({"guide_margin": 0.0}, {}, "guide_margin=None"),
    ],
)
def test_what_the_batch_lacks_is_named(options, fields, message):
    with pytest.raises(ConfigError, match=message):
        run(ContrastiveObjective(make_model(), **options), make_batch(**fields))


def test_one_column_of_texts_is_refused():
    with pytest.raises(ConfigError, match="1 text column, this objective needs 2 or more"):
        run(ContrastiveObjective(make_model()), make_batch(3, 1))


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.0}, {"temperature": 0.001, "learn_temperature": True},
        {"chunk_size": 0}, {"loss_block": 0}, {"similarity": "euclidean"},
    ],
)  # fmt: skip
def test_bad_options_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        ContrastiveObjective(make_model(), **options)


def test_the_width_of_vectors_is_found_or_given():
    model = make_model()
    assert vector_width(model) == 8
    assert vector_width(model, 5) == 5
    model.pooling = None
    with pytest.raises(ConfigError, match="no pooling"):
        vector_width(model)
