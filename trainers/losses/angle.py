"""AnglE: CoSENT's order, of angles in the complex plane instead of cosines."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from textzoo.trainers.losses.cosent import ordered_scores
from textzoo.trainers.losses.rows import unit
from textzoo.trainers.ratio import Ratio


def angle(
    first: Float[Array, "B E"], second: Float[Array, "B E"], labels: Shaped[Array, "B"], *,
    temperature: float = 0.05, row_mask: Shaped[Array, "B"] | None = None,
) -> Ratio:  # fmt: skip
    """Angle scores of pairs shall be in the order of their labels.

    ``L = log(1 + sum_{k, l: y_k < y_l} exp((theta_k - theta_l) / temperature))``

    with ``theta`` from :func:`angle_scores` (AnglE, Li and Li 2023, section 3.4). Where cosines
    near 1 or -1 hardly have a gradient, the angle has one. The paper adds it to CoSENT and an
    in-batch contrastive loss; alone it is weaker.

    Args:
        first: vectors of one text of each pair.
        second: vectors of the other.
        labels: larger is nearer.
        temperature: what the scores are divided by; the authors' code has 0.05.
        row_mask: False for rows that only fill the batch up.

    Notes:
        Equation 3 of the paper subtracts in the other order; this follows the authors' code.
    """
    return ordered_scores(angle_scores(first, second) / temperature, labels, row_mask)


def angle_scores(first: Float[Array, "B E"], second: Float[Array, "B E"]) -> Float[Array, "B"]:
    """``|cos(x, y) + sin(x, y)|`` of vectors read as complex numbers.

    The halves of ``x = (a, b)`` and ``y = (c, d)``, each of length one, are real and imaginary
    parts; the sum of the parts of ``x / y``, with the moduli divided out, is::

        | sum_k (a_k c_k + b_k d_k) + sum_k (b_k c_k - a_k d_k) |

    of which the first sum is the cosine. An odd width gets a column of zeros.
    """
    x, y = unit(first), unit(second)
    if x.shape[1] % 2:
        x, y = (jnp.pad(vectors, ((0, 0), (0, 1))) for vectors in (x, y))
    a, b = jnp.split(x, 2, axis=1)
    c, d = jnp.split(y, 2, axis=1)
    return jnp.abs((a * c + b * d + b * c - a * d).sum(axis=1))
