"""Cross-entropy of classes."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from textzoo.trainers.losses.rows import row_mean
from textzoo.trainers.ratio import Ratio


def classification(
    logits: Float[Array, "B C"], labels: Int[Array, "B"], *, label_smoothing: float = 0.0,
    row_mask: Shaped[Array, "B"] | None = None,
) -> Ratio:  # fmt: skip
    """``L_i = - sum_c t_ic log softmax(logits_i)_c``, mean over rows.

    The target has ``1 - smoothing`` on the label and ``smoothing / C`` on every class (Szegedy et
    al. 2016, section 7).

    Args:
        logits: scores of classes.
        labels: numbers of classes from zero. One that is no class makes the loss NaN, which stops
            a run, where it would otherwise be ignored.
        label_smoothing: share of the target that is spread over the classes.
        row_mask: False for rows that only fill the batch up; their label may be anything.
    """
    log_probabilities = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
    count = logits.shape[1]
    chosen = jnp.take_along_axis(
        log_probabilities, jnp.clip(labels, 0, count - 1)[:, None], axis=1
    )[:, 0]
    losses = -(1 - label_smoothing) * chosen - label_smoothing * log_probabilities.mean(axis=-1)
    is_class = (labels >= 0) & (labels < count)
    return row_mean(jnp.where(is_class, losses, jnp.nan), row_mask)


def accuracy(
    logits: Float[Array, "B C"], labels: Int[Array, "B"], row_mask: Shaped[Array, "B"] | None
) -> Ratio:
    """Share of rows whose label has the largest logit."""
    return row_mean((jnp.argmax(logits, axis=-1) == labels).astype(jnp.float32), row_mask)
