"""Global orthogonal regularization: texts of a batch shall spread over all directions."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from textzoo.trainers.losses.rows import HIGHEST, real_rows, unit, whole_batch
from textzoo.trainers.ratio import Ratio


def orthogonal_regularization(
    vectors: Float[Array, "B E"], *, mean_weight: float = 1.0, second_moment_weight: float = 1.0,
    row_mask: Shaped[Array, "B"] | None = None,
) -> Ratio:  # fmt: skip
    r"""Cosines of different texts shall have the moments of random directions.

    With ``c_ij`` the cosines of one column of texts::

        m1 = mean_{i != j} c_ij        m2 = mean_{i != j} c_ij^2
        L = w1 m1^2 + w2 relu(m2 - 1 / E)

    (Zhang et al. 2017, "Learning Spread-out Local Feature Descriptors", section 3.3; used for text
    by EmbeddingGemma, 2025.) Add it to a contrastive loss, once per column.

    Args:
        vectors: of one column of texts.
        mean_weight: w1.
        second_moment_weight: w2.
        row_mask: False for rows that only fill the batch up.

    Notes:
        The sums over pairs come from the sum of the vectors and from their ``[E, E]`` second
        moments: ``sum_ij c_ij = |sum_i x_i|^2`` and ``sum_ij c_ij^2 = |sum_i x_i x_i^T|^2``, less
        the diagonal, so no ``[B, B]`` is held. One text alone has loss zero.
    """
    real = real_rows(row_mask, vectors.shape[0])
    directions = jnp.where(real[:, None], unit(vectors), 0.0)
    count = real.astype(jnp.float32).sum()
    pairs = jnp.maximum(count * (count - 1), 1)
    lengths = jnp.square(directions).sum(axis=-1)
    total = directions.sum(axis=0)
    mean = (jnp.square(total).sum() - lengths.sum()) / pairs
    moments = jnp.matmul(directions.T, directions, precision=HIGHEST)
    second = (jnp.square(moments).sum() - jnp.square(lengths).sum()) / pairs
    excess = jax.nn.relu(second - 1 / vectors.shape[1])
    return whole_batch(mean_weight * jnp.square(mean) + second_moment_weight * excess)
