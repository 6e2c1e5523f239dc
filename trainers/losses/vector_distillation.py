"""Vectors of a student shall be those of a teacher, or relate to one another as those do."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from textzoo.errors import ConfigError, closest
from textzoo.trainers.losses.rows import (
    HIGHEST,
    NOTHING,
    mean_where,
    pair_cosines,
    real_rows,
    row_mean,
    unit,
)
from textzoo.trainers.ratio import Ratio

METRICS = ("cosine", "mse")


def vector_distillation(
    student: Float[Array, "B E"], teacher: Float[Array, "B E"], *, metric: str = "cosine",
    row_mask: Shaped[Array, "B"] | None = None,
) -> Ratio:  # fmt: skip
    """``mean (1 - cos(s, t))``, or ``mean (s - t)^2`` over rows and features.

    The squared error makes one language's vectors another's (Reimers and Gurevych 2020), lengths
    included; the cosine leaves lengths alone (EmbedDistill, Kim et al. 2023, has both kinds). Where
    the widths differ, map the student's vectors first, or use :func:`relational_distillation`.

    Args:
        student: vectors, of the teacher's width.
        teacher: vectors of the same texts; no gradient reaches them.
        metric: ``"cosine"`` or ``"mse"``.
        row_mask: False for rows that only fill the batch up.
    """
    teacher = jax.lax.stop_gradient(teacher.astype(jnp.float32))
    if metric == "cosine":
        return row_mean(1 - pair_cosines(student, teacher), row_mask)
    if metric != "mse":
        raise ConfigError(f"metric={metric!r}; {closest(metric, METRICS)}")
    return row_mean(jnp.square(student.astype(jnp.float32) - teacher), row_mask)


def relational_distillation(
    student: Float[Array, "B E"], teacher: Float[Array, "B W"], *, temperature: float = 0.05,
    row_mask: Shaped[Array, "B"] | None = None,
) -> Ratio:  # fmt: skip
    """Every text shall see the others of the batch as the teacher sees them.

    ``L = mean_i KL(P_i || Q_i)``, ``P_i = softmax_{j != i}(cos(t_i, t_j) / temperature)`` and
    ``Q`` the same of the student (Wada et al. 2025, step 3a). Only similarities enter, so the
    widths may differ. :func:`textzoo.trainers.static_distillation.relational_loss` is the same for
    a batch without filler.

    Args:
        student: vectors.
        teacher: vectors of the same texts; no gradient reaches them.
        temperature: smaller looks at the nearest texts only.
        row_mask: False for rows that only fill the batch up: neither seeing nor seen.

    Notes:
        The entropy of ``P`` is subtracted, which changes no gradient and makes zero the optimum.
    """
    real = real_rows(row_mask, student.shape[0])
    seen = real[None, :] & ~jnp.eye(student.shape[0], dtype=bool)

    def log_view(vectors: Array) -> Array:
        directions = unit(vectors)
        cosines = jnp.matmul(directions, directions.T, precision=HIGHEST)
        return jax.nn.log_softmax(jnp.where(seen, cosines / temperature, NOTHING), axis=-1)

    target = jax.lax.stop_gradient(log_view(teacher))
    divergence = jnp.where(seen, jnp.exp(target) * (target - log_view(student)), 0.0).sum(axis=-1)
    return mean_where(divergence, real & seen.any(axis=-1))
