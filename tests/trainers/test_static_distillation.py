import jax
import jax.numpy as jnp
import numpy as np
import pytest

from textzoo.modules.tokenizers import Tokenized
from textzoo.trainers.static_distillation import (
    DistillationConfig,
    Texts,
    carry_over,
    distill,
    embed_flat,
    flatten,
    initial_table,
    principal_components,
    relational_loss,
    token_weights,
)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def tokenized(lists):
    starts = np.concatenate([[0], np.cumsum([len(ids) for ids in lists])])
    ids = np.array([i for ids in lists for i in ids], np.int32)
    return Tokenized(ids=ids, starts=starts, truncated=np.zeros(len(lists), bool))


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    return rng.normal(size=(300, 8)) @ rng.normal(size=(8, 8)) + 5


def test_projections_on_principal_components_are_uncorrelated_and_fall_in_variance(vectors):
    mean, components = principal_components(vectors)
    covariance = np.cov((vectors - mean) @ components, rowvar=False)
    variances = np.diag(covariance)
    assert np.all(np.diff(variances) < 0)
    np.testing.assert_allclose(covariance, np.diag(variances), atol=1e-9 * variances[0])
    np.testing.assert_allclose(components.T @ components, np.eye(8), atol=1e-12)


def test_principal_components_ignore_an_offset_and_have_a_fixed_sign(vectors):
    _, components = principal_components(vectors)
    _, of_shifted = principal_components(vectors[::-1] + 100.0)
    np.testing.assert_allclose(of_shifted, components, atol=1e-9)


def test_removed_components_leave_the_table(vectors):
    config = DistillationConfig(width=4, removed_components=2)
    table = initial_table(vectors, np.zeros(300, np.int64), config)
    mean, components = principal_components(vectors)
    expected = (vectors - mean) @ components[:, 2:6]
    np.testing.assert_allclose(unit(table.ravel()), unit(expected.ravel()), atol=1e-6)


def test_rows_of_the_first_table_have_the_scale_of_the_config(vectors):
    table = initial_table(
        vectors, np.arange(300), DistillationConfig(width=8, removed_components=0, row_scale=0.3)
    )
    assert table.dtype == np.float32
    assert np.sqrt(np.square(table).mean()) == pytest.approx(0.3, rel=1e-5)


def test_frequent_tokens_weigh_less():
    # Two tokens with 1.5 and 98.5 smoothed occurrences: p = 0.015 and 0.985.
    weights = token_weights(np.array([1, 98]), smoothing=0.1)
    np.testing.assert_allclose(weights, [0.1 / 0.115, 0.1 / 1.085])


def test_a_width_beyond_the_teacher_is_refused_with_the_widest_possible(vectors):
    with pytest.raises(ValueError, match="use width=5 or less"):
        initial_table(vectors, np.zeros(300, np.int64), DistillationConfig(width=6))


def test_the_loss_is_zero_for_a_rotated_teacher():
    rng = np.random.default_rng(0)
    teacher = unit(rng.normal(size=(6, 4)))
    rotation, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    total, count = relational_loss(jnp.array(teacher @ rotation), jnp.array(teacher), 0.1)
    assert count == 6
    assert abs(total) < 1e-4
    gradient = jax.grad(lambda s: relational_loss(s, jnp.array(teacher), 0.1)[0])(
        jnp.array(teacher @ rotation)
    )
    assert np.abs(gradient).max() < 1e-4


def test_the_loss_of_three_texts_is_the_divergence_worked_out_by_hand():
    # Teacher: texts 0 and 1 are equal, 2 is orthogonal. Student: all are equal, so every text sees
    # the two others alike. With temperature 1 text 0 should see (1, 0): P = (e, 1) / (e + 1); text
    # 2 should see (0, 0), which it does.
    teacher = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    student = jnp.ones((3, 2)) / np.sqrt(2)
    p = np.e / (np.e + 1)
    divergence = p * np.log(2 * p) + (1 - p) * np.log(2 * (1 - p))
    total, _ = relational_loss(student, teacher, 1.0)
    assert total == pytest.approx(2 * divergence, abs=1e-6)


def test_the_loss_does_not_move_the_teacher():
    rng = np.random.default_rng(0)
    student, teacher = (jnp.array(unit(rng.normal(size=(5, 3)))) for _ in range(2))
    gradient = jax.grad(lambda t: relational_loss(student, t, 0.1)[0])(teacher)
    assert not gradient.any()


def test_flat_texts_are_the_direction_of_the_sum_of_their_rows_and_empty_ones_are_zero():
    table = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    lists = [[1, 2], [], [3, 3, 6]]
    ids, segments = flatten(tokenized([[5], *lists]), np.array([1, 2, 3]), step=4)
    assert len(ids) == len(segments) == 8
    vectors = embed_flat(jnp.array(table), jnp.array(ids), jnp.array(segments), 3)
    expected = [unit(table[[1, 2]].sum(0)), np.zeros(3), unit(table[[3, 3, 6]].sum(0))]
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


@pytest.fixture(scope="module")
def corpus():
    """Texts of eight tokens whose teacher is a bag of hidden token vectors."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(40, 6))
    lists = rng.integers(40, size=(1088, 8))
    teacher = unit(hidden[lists].sum(axis=1)).astype(np.float32)
    train = Texts(tokenized=tokenized(lists[:1024].tolist()), teacher=teacher[:1024])
    held_out = Texts(tokenized=tokenized(lists[1024:].tolist()), teacher=teacher[1024:])
    table = rng.normal(size=(40, 6)).astype(np.float32) * 0.1
    return table, train, held_out


CONFIG = DistillationConfig(batch_size=64, num_epochs=15, learning_rate=0.05, temperature=0.1)


@pytest.fixture(scope="module")
def distilled(corpus):
    return distill(*corpus, CONFIG)


def test_distillation_agrees_with_the_teacher_on_texts_it_has_not_seen(corpus, distilled):
    table, _, held_out = corpus
    pairs = np.triu_indices(len(held_out.teacher), 1)

    def agreement(table):
        lists = held_out.tokenized.ids.reshape(-1, 8)
        student = unit(table[lists].sum(axis=1))
        views = [(vectors @ vectors.T)[pairs] for vectors in (student, held_out.teacher)]
        return np.corrcoef(*views)[0, 1]

    assert agreement(table) < 0.5
    assert agreement(distilled.table) > 0.95


def test_the_same_seed_gives_the_same_table_and_another_seed_another(corpus, distilled):
    assert np.array_equal(distill(*corpus, CONFIG).table, distilled.table)
    other = distill(*corpus, DistillationConfig(**{**_options(), "seed": 1}))
    assert not np.array_equal(other.table, distilled.table)


def _options():
    return {name: getattr(CONFIG, name) for name in CONFIG.__dataclass_fields__}


def test_training_stops_without_progress_and_returns_the_best_epoch(corpus):
    table, train, held_out = corpus
    noise = unit(np.random.default_rng(1).normal(size=train.teacher.shape)).astype(np.float32)
    tables = []
    result = distill(
        table,
        Texts(tokenized=train.tokenized, teacher=noise),
        held_out,
        CONFIG,
        on_epoch=lambda epoch, table: tables.append(np.array(table)),
    )
    best = min(range(len(tables)), key=lambda i: result.history[i].held_out)
    assert len(result.history) == best + 1 + CONFIG.patience < CONFIG.num_epochs
    assert np.array_equal(result.table, tables[best])


def test_fewer_texts_than_a_batch_are_refused(corpus):
    table, train, held_out = corpus
    with pytest.raises(ValueError, match="held_out has 64 texts, fewer than batch_size=100"):
        distill(table, train, held_out, DistillationConfig(batch_size=100))


@pytest.mark.parametrize(
    "options", [{"width": 0}, {"temperature": 0.0}, {"batch_size": 1}, {"warmup": 1.0}]
)
def test_impossible_settings_are_refused_by_name(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        DistillationConfig(**options)


def test_rows_of_unseen_tokens_are_turned_and_stretched_like_those_of_rare_ones():
    rng = np.random.default_rng(0)
    first = rng.normal(size=(50, 4)).astype(np.float32)
    rotation, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    counts = np.arange(50) % 10  # every tenth token is unseen
    trained = np.where(counts[:, None] > 0, 3 * first @ rotation, first).astype(np.float32)
    carried = carry_over(first, trained, counts)
    np.testing.assert_allclose(carried, 3 * first @ rotation, atol=1e-5)
    assert np.array_equal(carried[counts > 0], trained[counts > 0])
