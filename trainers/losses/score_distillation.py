"""Scores of candidates shall be distributed, spaced, or valued as a teacher's are."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from textzoo.trainers.losses.rows import row_mean
from textzoo.trainers.ratio import Ratio


def listwise_kl(
    student: Float[Array, "B N"], teacher: Float[Array, "B N"], *,
    student_temperature: float = 1.0, teacher_temperature: float = 1.0,
    row_mask: Shaped[Array, "B"] | None = None,
) -> Ratio:  # fmt: skip
    """``mean_i KL(softmax(t_i / T_t) || softmax(s_i / T_s)) T_s^2`` over each row's candidates.

    (Lin et al. 2020, "Distilling Dense Representations for Ranking using Tightly-Coupled
    Teachers"; the factor keeps gradients of one size whatever ``T_s`` is, Hinton et al. 2015.) Use
    it for teachers whose scores have no fixed scale; with two candidates MarginMSE is as good.

    Args:
        student: scores of the candidates of each query.
        teacher: the teacher's scores of the same; no gradient reaches them.
        student_temperature: T_s; about 0.05 for cosines.
        teacher_temperature: T_t; 0.3 to 1 for the logits of a cross-encoder.
        row_mask: False for rows that only fill the batch up.
    """
    view = jax.nn.log_softmax(student.astype(jnp.float32) / student_temperature, axis=-1)
    scores = jax.lax.stop_gradient(teacher.astype(jnp.float32)) / teacher_temperature
    target = jax.nn.log_softmax(scores, axis=-1)
    divergence = (jnp.exp(target) * (target - view)).sum(axis=-1)
    return row_mean(divergence * student_temperature**2, row_mask)


def margin_mse(
    student: Float[Array, "B N"], teacher: Float[Array, "B N"], *,
    row_mask: Shaped[Array, "B"] | None = None,
) -> Ratio:  # fmt: skip
    """``mean ((s_0 - s_n) - (t_0 - t_n))^2`` over rows and negatives n (Hofstaetter et al. 2020).

    The first candidate is the positive. Only differences count, so the student's scores may lie
    elsewhere than the teacher's, but on the same scale: use dot products of vectors as they are.

    Args:
        student: scores of positive and negatives.
        teacher: the teacher's scores of the same; no gradient reaches them.
        row_mask: False for rows that only fill the batch up.
    """
    student, teacher = student.astype(jnp.float32), jax.lax.stop_gradient(teacher)
    errors = (student[:, :1] - student[:, 1:]) - (teacher[:, :1] - teacher[:, 1:])
    return row_mean(jnp.square(errors), row_mask)


def score_mse(
    student: Float[Array, "B N"], teacher: Float[Array, "B N"], *,
    row_mask: Shaped[Array, "B"] | None = None,
) -> Ratio:  # fmt: skip
    """``mean (s - t)^2`` over rows and candidates, for scores on one scale, such as cosines."""
    errors = student.astype(jnp.float32) - jax.lax.stop_gradient(teacher.astype(jnp.float32))
    return row_mean(jnp.square(errors), row_mask)
