"""Objectives on vectors: what they compute, what they export, and what they have in common."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from vector_batches import WIDTH, make_batch, make_model, run, training

from textzoo import Part
from textzoo.checkpoints.weights import get_parameters
from textzoo.errors import ConfigError
from textzoo.parts import build
from textzoo.trainers.losses.angle import angle
from textzoo.trainers.losses.classification import classification
from textzoo.trainers.losses.cosent import cosent
from textzoo.trainers.losses.info_nce import info_nce
from textzoo.trainers.losses.regression import cosine_regression, regression
from textzoo.trainers.losses.score_distillation import listwise_kl, margin_mse
from textzoo.trainers.losses.softmax_nli import softmax_nli
from textzoo.trainers.losses.triplet import triplet
from textzoo.trainers.losses.vector_distillation import vector_distillation
from textzoo.trainers.objectives.classification import (
    ClassificationObjective,
    RegressionObjective,
)
from textzoo.trainers.objectives.contrastive import ContrastiveObjective
from textzoo.trainers.objectives.distillation import (
    LogitDistillationObjective,
    ScoreDistillationObjective,
    VectorDistillationObjective,
)
from textzoo.trainers.objectives.matryoshka import MatryoshkaObjective
from textzoo.trainers.objectives.nli import NLIObjective
from textzoo.trainers.objectives.pair_scores import PairScoreObjective
from textzoo.trainers.objectives.simcse import SimCSEObjective
from textzoo.trainers.objectives.triplet import TripletObjective

ROWS = 5
NAMES = ("bad", "fair", "good")


def normal(*shape, seed=0):
    return jnp.array(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def start():
    return nnx.Rngs(3)


CLASSES = jnp.array([0, 2, 1, 1, 0])
SCORES = jnp.array([0.2, 1.0, 0.5, 0.5, 0.0])

# Objective, its number of columns, and what else its batch has.
CASES = {
    "contrastive": (lambda m, **o: ContrastiveObjective(m, **o), 3, {}),
    "simcse": (lambda m, **o: SimCSEObjective(m, rngs=start(), **o), 1, {}),
    "simcse_supervised": (
        lambda m, **o: SimCSEObjective(m, supervised=True, rngs=start(), **o), 3, {},
    ),
    "pair_scores": (
        lambda m, **o: PairScoreObjective(
            m, losses={"cosent": 1.0, "angle": 0.5, "cosine_regression": 2.0}, **o
        ), 2, {"labels": SCORES},
    ),
    "triplet": (lambda m, **o: TripletObjective(m, margin=1.0, **o), 4, {}),
    "nli": (
        lambda m, **o: NLIObjective(m, use_product=True, rngs=start(), **o), 2, {"labels": CLASSES},
    ),
    "classification": (
        lambda m, **o: ClassificationObjective(m, labels=NAMES, rngs=start(), **o), 1,
        {"labels": CLASSES},
    ),
    "regression": (
        lambda m, **o: RegressionObjective(m, rngs=start(), **o), 1, {"labels": SCORES},
    ),
    "vectors": (
        lambda m, **o: VectorDistillationObjective(m, metric="mse", **o), 2,
        {"targets": normal(ROWS, 2, WIDTH)},
    ),
    "vectors_mapped": (
        lambda m, **o: VectorDistillationObjective(m, teacher_width=5, rngs=start(), **o), 1,
        {"targets": normal(ROWS, 5)},
    ),
    "relations": (
        lambda m, **o: VectorDistillationObjective(m, metric="relations", **o), 1,
        {"targets": normal(ROWS, 5)},
    ),
    "scores": (lambda m, **o: ScoreDistillationObjective(m, **o), 4, {"targets": normal(ROWS, 3)}),
    "logits": (
        lambda m, **o: LogitDistillationObjective(
            m, labels=NAMES, label_weight=0.25, rngs=start(), **o
        ), 1, {"targets": normal(ROWS, 3) + 6 * jnp.eye(3)[CLASSES], "labels": CLASSES},
    ),
}  # fmt: skip
every_objective = pytest.mark.parametrize("name", CASES)


def make(name, **options):
    factory, columns, fields = CASES[name]
    return factory(make_model(layers=0), **options), make_batch(ROWS, columns, **fields)


@functools.cache
def plain_run(name):
    """Loss and gradients as they are without anything special."""
    return run(*make(name), gradient=True)


def near(one, other, limit=1e-6):
    return np.linalg.norm(one - other) <= limit * max(np.linalg.norm(other), 1e-2)


@every_objective
def test_chunks_change_neither_the_loss_nor_a_gradient(name):
    plain = plain_run(name)
    chunked = run(*make(name, chunk_size=2), gradient=True)
    np.testing.assert_allclose(chunked[0], plain[0], rtol=2e-6)
    assert set(chunked[1]) == set(plain[1])
    for path, gradient in plain[1].items():
        assert near(chunked[1][path], gradient, 2e-6), path
        assert np.isfinite(gradient).all()
    trained = [path for path in plain[1] if not path.startswith("model.")]
    assert all(plain[1][path].any() for path in trained)
    assert plain[1]["model.embedding.table"].any()


@every_objective
def test_filler_rows_change_nothing(name):
    objective, batch = make(name)
    rows = jnp.array([0, 1, 0, 2, 3, 4])  # row 2 is row 0 again, with other targets
    mask = jnp.array([True, True, False, True, True, True])

    def spread(array):
        array = array[rows]
        return array.at[2].set(1 - array[0]) if array.dtype == jnp.float32 else array

    filled = jax.tree.map(spread, batch).replace(row_mask=mask)
    value, gradients = run(objective, filled, gradient=True)
    expected, plain = plain_run(name)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    for path, gradient in plain.items():
        assert near(gradients[path], gradient, 1e-5), path


@every_objective
def test_matryoshka_at_the_full_width_is_the_objective(name):
    objective, batch = make(name)
    wrapped = MatryoshkaObjective(objective, dims=(WIDTH,), weights=(2.0,))
    value, gradients = run(wrapped, batch, gradient=True)
    expected, plain = plain_run(name)
    np.testing.assert_allclose(value, 2 * expected, rtol=1e-6)
    # Parameters keep their paths, for groups of parameters are chosen by them.
    assert {path.removeprefix("objective.") for path in gradients} == set(plain)
    assert all(f"model.{p}" in gradients for p in get_parameters(objective.model))
    for path, gradient in gradients.items():
        assert near(gradient, 2 * plain[path.removeprefix("objective.")], 2e-6), path


@every_objective
def test_matryoshka_works_on_prefixes_in_chunks(name):
    objective, batch = make(name, chunk_size=2)
    terms = run(MatryoshkaObjective(objective, dims=(3, WIDTH)), batch)
    single = run(objective, batch)
    assert set(terms.terms) == {f"{t}_{dim}" for t in single.terms for dim in (3, WIDTH)}
    for term, found in single.terms.items():
        np.testing.assert_allclose(
            terms.terms[f"{term}_{WIDTH}"].ratio.value(), found.ratio.value(), rtol=1e-5
        )
        prefix = terms.terms[f"{term}_3"].ratio.value()
        assert np.isfinite(prefix) and prefix != found.ratio.value()


def vectors_of(objective, batch):
    return [objective.model(texts).vectors for texts in batch.texts]


def assert_term(terms, name, expected):
    np.testing.assert_allclose(terms.terms[name].ratio.value(), expected.value(), rtol=1e-5)


def test_prefixes_are_of_length_one_again_where_cosines_are_compared():
    objective, batch = make("contrastive")
    a, *documents = (x[:, :3] for x in vectors_of(objective, batch))
    expected = info_nce(a, jnp.stack(documents, 1))
    terms = run(MatryoshkaObjective(objective, dims=(3,)), batch)
    assert_term(terms, "contrastive_3", expected)


def test_a_teachers_vectors_are_cut_with_the_students():
    objective, batch = make("vectors")
    first, _ = vectors_of(objective, batch)
    terms = run(MatryoshkaObjective(objective, dims=(3,)), batch)
    expected = vector_distillation(first[:, :3], batch.targets[:, 0, :3], metric="mse")
    assert_term(terms, "distillation_0_3", expected)


def test_a_classifier_meets_cut_vectors_with_its_first_rows():
    objective, batch = make("classification")
    cut = vectors_of(objective, batch)[0].at[:, 3:].set(0.0)
    terms = run(MatryoshkaObjective(objective, dims=(3,)), batch)
    logits = cut @ objective.classifier.linear.kernel[...]
    assert_term(terms, "classification_3", classification(logits, CLASSES))


def test_pair_scores_are_weighed_losses():
    objective, batch = make("pair_scores")
    u, v = vectors_of(objective, batch)
    terms = run(objective, batch)
    assert_term(terms, "cosent", cosent(u, v, SCORES))
    assert_term(terms, "angle", angle(u, v, SCORES))
    assert_term(terms, "cosine_regression", cosine_regression(u, v, SCORES))
    expected = cosent(u, v, SCORES).value() + 0.5 * angle(u, v, SCORES).value()
    expected += 2 * cosine_regression(u, v, SCORES).value()
    np.testing.assert_allclose(terms.total(), expected, rtol=1e-5)


def test_triplets_have_all_their_negatives_and_metrics():
    objective, batch = make("triplet")
    a, p, *negatives = vectors_of(objective, batch)
    terms = run(objective, batch)
    assert_term(terms, "triplet", triplet(a, p, jnp.stack(negatives, 1), margin=1.0))
    x, y, *z = (v / jnp.linalg.norm(v, axis=1, keepdims=True) for v in (a, p, *negatives))
    hardest = np.max([(x * n).sum(1) for n in z], axis=0)
    positive = (x * y).sum(1)
    metrics = {name: ratio.value() for name, ratio in terms.metrics.items()}
    np.testing.assert_allclose(metrics["positive_similarity"], positive.mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["hardest_negative_similarity"], hardest.mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["accuracy"], (positive > hardest).mean())


def test_nli_classifies_pairs_and_exports_the_model_alone():
    objective, batch = make("nli")
    u, v = vectors_of(objective, batch)
    expected = softmax_nli(u, v, objective.kernel[...], objective.bias[...], CLASSES)
    assert_term(run(objective, batch), "classification", expected)
    assert objective.export() is objective.model


def test_a_classifier_is_the_last_head_of_the_exported_model():
    objective, batch = make("classification")
    exported = objective.export()
    logits = exported(batch.texts[0]).vectors
    assert logits.shape == (ROWS, 3)
    terms = run(objective, batch)
    assert_term(terms, "classification", classification(logits, CLASSES))
    right = (np.argmax(logits, 1) == np.asarray(CLASSES)).mean()
    np.testing.assert_allclose(terms.metrics["accuracy"].value(), right)
    assert exported.config.heads[-1].options["labels"] == NAMES
    # The config describes the model that is exported, and the trained one is as it was.
    rebuilt = build(exported.config, rngs=nnx.Rngs(0))
    assert get_parameters(rebuilt).keys() == get_parameters(exported).keys()
    assert len(objective.model.heads) == 0


def test_a_saved_classifier_predicts_the_same_classes(tmp_path):
    from tiny_models import write_tiny_model

    import textzoo
    from textzoo.checkpoints.bundle import Bundle
    from textzoo.checkpoints.directory import write_directory

    encoder = textzoo.load(write_tiny_model(tmp_path / "base"))
    objective = ClassificationObjective(encoder.model, labels=NAMES, rngs=start())
    bundle = Bundle(
        model=objective.export(), tokenizer=encoder.tokenizer, settings=encoder.settings,
        name="classes",
    )  # fmt: skip
    write_directory(tmp_path / "saved", bundle)
    loaded = textzoo.load(tmp_path / "saved")
    texts = ["the cat sat", "red truck"]
    kernel = objective.classifier.linear.kernel[...]
    np.testing.assert_allclose(loaded.encode(texts), encoder.encode(texts) @ kernel, atol=1e-6)
    assert loaded.model.config.heads[-1].options["labels"] == NAMES


def test_regression_exports_a_model_that_gives_the_numbers():
    objective, batch = make("regression")
    numbers = objective.export()(batch.texts[0]).vectors
    assert numbers.shape == (ROWS, 1)
    assert_term(run(objective, batch), "regression", regression(numbers[:, 0], SCORES))


def test_one_teacher_vector_serves_every_column():
    objective, batch = make("vectors")
    shared = batch.replace(targets=batch.targets[:, 0])
    terms = run(objective, shared)
    _, second = vectors_of(objective, batch)
    expected = vector_distillation(second, shared.targets, metric="mse")
    assert_term(terms, "distillation_1", expected)
    assert terms.terms["distillation_1"].weight == 0.5


def test_scores_are_distilled_from_cosines_or_products():
    objective, batch = make("scores")
    q, *d = vectors_of(objective, batch)
    products = jnp.stack([(q * x).sum(1) for x in d], 1)
    lengths = jnp.stack([jnp.linalg.norm(q, axis=1) * jnp.linalg.norm(x, axis=1) for x in d], 1)
    expected = listwise_kl(products / lengths, batch.targets, student_temperature=0.05)
    assert_term(run(objective, batch), "distillation", expected)
    dot = ScoreDistillationObjective(objective.model, loss="margin_mse", similarity="dot")
    assert_term(run(dot, batch), "distillation", margin_mse(products, batch.targets))


def test_logits_and_labels_share_the_loss():
    objective, batch = make("logits")
    terms = run(objective, batch)
    assert {name: term.weight for name, term in terms.terms.items()} == {
        "distillation": 0.75, "classification": 0.25
    }  # fmt: skip
    logits = objective.export()(batch.texts[0]).vectors
    assert_term(terms, "classification", classification(logits, CLASSES))


def test_the_views_of_simcse_differ_by_dropout_alone():
    model = make_model(dropout=0.2)
    objective = training(SimCSEObjective(model, use_head=False, rngs=start()))
    batch = make_batch(4, 1)
    first, second = jax.jit(lambda: objective.vectors(batch, nnx.Rngs(dropout=1)))()
    assert np.abs(first - second).max() > 1e-3
    still = SimCSEObjective(model, use_head=False, rngs=start())
    first, second = still.vectors(batch, nnx.Rngs(dropout=1))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, model(batch.texts[0]).vectors, atol=1e-6)


def test_each_text_of_simcse_is_the_positive_of_itself():
    # Equal views are each other's nearest: the loss is that of the vectors against themselves.
    objective, batch = make("simcse")
    z = jnp.tanh(
        vectors_of(objective, batch)[0] @ objective.head.linear.kernel[...]
        + objective.head.linear.bias[...]
    )
    terms = run(objective, batch)
    assert_term(terms, "contrastive", info_nce(z, z[:, None]))
    np.testing.assert_allclose(terms.metrics["positive_similarity"].value(), 1, rtol=1e-5)


def test_duplicate_texts_are_no_negatives_in_simcse():
    objective, batch = make("simcse")
    batch = batch.replace(keys=jnp.array([[0], [1], [0], [3], [4]], jnp.uint32))
    z = objective.vectors(batch, nnx.Rngs(0))[0]
    expected = info_nce(z, z[:, None], keys=jnp.repeat(batch.keys, 2, axis=1))
    assert_term(run(objective, batch), "contrastive", expected)


def test_supervised_simcse_keeps_its_layer_and_unsupervised_drops_it():
    plain, batch = make("simcse")
    assert plain.export() is plain.model
    supervised, batch = make("simcse_supervised")
    exported = supervised.export()
    assert exported.config.heads[-1] == Part(
        "Dense", in_features=WIDTH, out_features=WIDTH, activation="tanh"
    )
    vectors = supervised.vectors(batch, nnx.Rngs(0))
    np.testing.assert_allclose(exported(batch.texts[0]).vectors, vectors[0], atol=1e-6)
    kept = SimCSEObjective(make_model(layers=0), keep_head=True, rngs=start())
    assert len(kept.export().heads) == 1


@pytest.mark.parametrize(
    ("name", "columns", "message"),
    [
        ("simcse", 2, "unsupervised SimCSE takes one column"),
        ("simcse_supervised", 1, "supervised takes two"),
        ("pair_scores", 3, "needs 2: the two texts"),
        ("triplet", 2, "needs 3 or more"),
        ("nli", 1, "needs 2"),
        ("classification", 2, "for pairs use NLIObjective"),
        ("scores", 2, "needs 3 or more"),
    ],
)
def test_a_wrong_number_of_columns_is_refused(name, columns, message):
    objective, batch = make(name)
    texts = make_batch(ROWS, columns)
    with pytest.raises(ConfigError, match=message):
        run(objective, batch.replace(texts=texts.texts, keys=texts.keys))


@pytest.mark.parametrize(
    "name", [name for name, case in CASES.items() if {"labels", "targets"} & set(case[2])]
)
def test_labels_and_targets_that_are_missing_are_named(name):
    objective, batch = make(name)
    with pytest.raises(ConfigError, match="has no (labels|targets)"):
        run(objective, batch.replace(labels=None, targets=None))


@pytest.mark.parametrize(
    ("name", "targets", "message"),
    [
        ("vectors", normal(ROWS, 3, WIDTH), "the 2 columns"),
        ("vectors", normal(ROWS, 2, 9), "teacher_width=9"),
        ("scores", normal(ROWS, 2), "each of the 3 candidates"),
        ("logits", normal(ROWS, 2), "each of the 3 classes"),
    ],
)
def test_targets_of_the_wrong_shape_are_refused(name, targets, message):
    objective, batch = make(name)
    with pytest.raises(ConfigError, match=message):
        run(objective, batch.replace(targets=targets))


def logits(model, **options):
    return LogitDistillationObjective(model, labels=NAMES, rngs=start(), **options)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (lambda m: PairScoreObjective(m, losses={"cosine": 1.0}), "cosine_regression"),
        (lambda m: PairScoreObjective(m, losses={"angle": 0.0}), "a weight"),
        (lambda m: PairScoreObjective(m, temperature=0.0), "temperature=0"),
        (lambda m: TripletObjective(m, distance="cos"), "cosine"),
        (lambda m: TripletObjective(m, margin=0.0), "margin=0"),
        (lambda m: NLIObjective(m, num_classes=1, rngs=start()), "num_classes=1"),
        (lambda m: NLIObjective(m, label_smoothing=1.0, rngs=start()), "label_smoothing=1"),
        (lambda m: ClassificationObjective(m, labels=("a",), rngs=start()), "two classes"),
        (lambda m: ClassificationObjective(m, labels=("a", "a"), rngs=start()), "different"),
        (lambda m: ClassificationObjective(m, labels="ab", rngs=start()), "names of two"),
        (lambda m: VectorDistillationObjective(m, teacher_width=3), "give rngs"),
        (lambda m: VectorDistillationObjective(m, metric="l2"), "metric='l2'"),
        (lambda m: ScoreDistillationObjective(m, loss="margin"), "margin_mse"),
        (lambda m: ScoreDistillationObjective(m, teacher_temperature=0), "teacher_temperature=0"),
        (lambda m: logits(m, temperature=0), "temperature=0"),
        (lambda m: logits(m, label_weight=1), "a share from 0"),
        (lambda m: MatryoshkaObjective(TripletObjective(m), dims=()), "dims="),
        (lambda m: MatryoshkaObjective(TripletObjective(m), dims=(4, 4)), "all different"),
        (lambda m: MatryoshkaObjective(TripletObjective(m), dims=(4,), weights=(1, 2)), "weights="),
    ],
)  # fmt: skip
def test_bad_options_are_refused(factory, message):
    with pytest.raises(ConfigError, match=message):
        factory(make_model(layers=0))


def test_a_width_beyond_the_vectors_is_refused():
    objective, batch = make("triplet")
    with pytest.raises(ConfigError, match="8 wide"):
        run(MatryoshkaObjective(objective, dims=(9,)), batch)


@every_objective
def test_training_drives_the_loss_down(name):
    objective, batch = make(name)
    graph, params, others = nnx.split(objective, nnx.Param, ...)
    optimizer = optax.adam(0.02)

    def loss(params):
        step = jnp.zeros((), int)
        return nnx.merge(graph, params, others)(batch, step=step, rngs=nnx.Rngs(0)).total()

    def update(carry, _):
        params, state = carry
        value, gradient = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(params, updates), state), value

    start = (params, optimizer.init(params))
    _, losses = jax.jit(lambda carry: jax.lax.scan(update, carry, length=150))(start)
    assert losses[-1] < 0.3 * losses[0] or losses[-1] < 0.02
