import jax
import jax.numpy as jnp
import numpy as np
import pytest

from textzoo.errors import ConfigError
from textzoo.trainers.losses.logit_distillation import logit_distillation
from textzoo.trainers.losses.score_distillation import listwise_kl, margin_mse, score_mse
from textzoo.trainers.losses.vector_distillation import (
    relational_distillation,
    vector_distillation,
)
from textzoo.trainers.static_distillation import relational_loss


def normal(*shape, seed=0):
    return jnp.array(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def test_vector_losses_by_hand():
    student, teacher = jnp.array([[1.0, 0.0], [0.0, 2.0]]), jnp.array([[2.0, 0.0], [3.0, 0.0]])
    cosine = vector_distillation(student, teacher)
    np.testing.assert_allclose(cosine.value(), (0 + 1) / 2, atol=1e-6)
    squared = vector_distillation(student, teacher, metric="mse")
    assert squared.value() == (1 + 0 + 9 + 4) / 4


def test_relations_are_those_of_static_distillation():
    student, teacher = normal(6, 4), normal(6, 7, seed=1)
    student /= jnp.linalg.norm(student, axis=1, keepdims=True)
    teacher /= jnp.linalg.norm(teacher, axis=1, keepdims=True)
    total, count = relational_loss(student, teacher, 0.1)
    found = relational_distillation(student, teacher, temperature=0.1)
    np.testing.assert_allclose(found, (total, count), rtol=1e-5)


def test_relations_ignore_filler_rows():
    student, teacher = normal(6, 4), normal(6, 7, seed=1)
    mask = jnp.array([True, True, False, True, True, False])

    def loss(s, t, m):
        return relational_distillation(s, t, row_mask=m).value()

    value, gradient = jax.value_and_grad(loss)(student, teacher, mask)
    expected, plain = jax.value_and_grad(loss)(student[mask], teacher[mask], None)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient[mask], plain, atol=1e-5)
    assert not gradient[~mask].any()
    nothing = jax.grad(loss)(student, teacher, jnp.zeros(6, bool))
    assert not nothing.any()


def test_the_divergence_of_two_candidates_by_hand():
    # Teacher odds 3 to 1 at T_t = 2 (scores 2 log 3), student even: log 2 - H(1/4), times 0.5^2.
    teacher, student = jnp.array([[2 * np.log(3.0), 0.0]]), jnp.zeros((1, 2))
    entropy = -0.75 * np.log(0.75) - 0.25 * np.log(0.25)
    loss = listwise_kl(student, teacher, student_temperature=0.5, teacher_temperature=2.0)
    np.testing.assert_allclose(loss.value(), 0.25 * (np.log(2) - entropy), rtol=1e-5)


def test_a_student_that_agrees_has_no_divergence():
    teacher = normal(4, 3)
    # Scores may differ by a constant and the quotient of temperatures.
    loss, gradient = jax.value_and_grad(
        lambda s: listwise_kl(s, teacher, student_temperature=0.5).value()
    )(0.5 * teacher + 7)
    assert abs(loss) < 1e-6 and np.abs(gradient).max() < 1e-6


def test_margins_and_scores_by_hand():
    # Margins of the student 1 and 3, of the teacher 2 and 2.
    student, teacher = jnp.array([[4.0, 3.0, 1.0]]), jnp.array([[2.0, 0.0, 0.0]])
    assert margin_mse(student, teacher).value() == (1 + 1) / 2
    assert margin_mse(student + 5, teacher).value() == 1
    np.testing.assert_allclose(score_mse(student, teacher).value(), (4 + 9 + 1) / 3, rtol=1e-6)


def test_logits_are_distilled_at_one_temperature():
    student, teacher = normal(5, 3), normal(5, 3, seed=1)
    loss = logit_distillation(student, teacher, temperature=4.0)
    p, q = (jax.nn.softmax(x / 4, axis=1) for x in (teacher, student))
    expected = 16 * (p * (jnp.log(p) - jnp.log(q))).sum(1).mean()
    np.testing.assert_allclose(loss.value(), expected, rtol=1e-4)


LOSSES = {
    "cosine": vector_distillation,
    "mse": lambda s, t, row_mask: vector_distillation(s, t, metric="mse", row_mask=row_mask),
    "relations": relational_distillation,
    "kl": listwise_kl,
    "margin_mse": margin_mse,
    "score_mse": score_mse,
    "logits": logit_distillation,
}


@pytest.mark.parametrize("name", LOSSES)
def test_the_teacher_gets_no_gradient_and_filler_rows_do_not_count(name):
    student, teacher = normal(4, 3), normal(4, 3, seed=1)
    mask = jnp.array([True, True, True, False])

    def loss(s, t, m):
        return LOSSES[name](s, t, row_mask=m).value()

    gradients = jax.jit(jax.value_and_grad(loss, (0, 1)))
    value, (of_student, of_teacher) = gradients(student.at[3].set(0), teacher, mask)
    expected, (plain, _) = gradients(student[:3], teacher[:3], None)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(of_student[:3], plain, rtol=1e-4, atol=1e-6)
    assert plain.any() and not of_student[3].any() and not of_teacher.any()


def test_an_unknown_metric_is_refused():
    with pytest.raises(ConfigError, match="metric='cos'; did you mean 'cosine'"):
        vector_distillation(normal(2, 3), normal(2, 3), metric="cos")
