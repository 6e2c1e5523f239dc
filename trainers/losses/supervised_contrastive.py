"""Contrast of items with classes: several positives each, and everything else a negative."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from textzoo.trainers.losses.rows import HIGHEST, NOTHING, mean_where, real_rows, unit
from textzoo.trainers.ratio import Ratio


class ClassContrast(NamedTuple):
    """The loss of a batch and what tells how it is going.

    Attributes:
        loss: what is minimized.
        accuracy: share of items with positives whose nearest other item is one.
        positive_similarity: mean cosine of items to their positives.
        group_similarity: mean cosine of items to others of their group that are no positives.
    """

    loss: Ratio
    accuracy: Ratio
    positive_similarity: Ratio
    group_similarity: Ratio


def supervised_contrastive(
    vectors: Float[Array, "N E"], labels: Int[Array, "N"], *,
    temperature: float | Float[Array, ""] = 0.1, mask: Shaped[Array, "N"] | None = None,
) -> Ratio:  # fmt: skip
    """Every item shall be nearer to the items of its class than to all others.

    With ``s_ij`` the cosine of items i and j over the temperature, and ``P(i)`` the other items
    with the label of i::

        L_i = - 1/|P(i)| sum_{p in P(i)} log( exp s_ip / sum_{a != i} exp s_ia )

    mean over the items with a positive (SupCon, Khosla et al. 2020, equation 2; the loss of the
    Sub-Sentence Encoder, Chen et al. 2023). With one positive each it is NT-Xent, the loss of
    PEARL (temperature 0.07). Use it where several items belong together; for pairs, InfoNCE
    compares one side with the other only.

    Args:
        vectors: one per item.
        labels: class of each item; only equality counts.
        temperature: 0.1 is what the code of the Sub-Sentence Encoder trains with: its option,
            0.01 by default, never reaches the loss.
        mask: False for items that are not there: neither anchors nor candidates.

    Notes:
        The reference averages over the losses that are not zero; here an anchor counts when it has
        a positive, which is the same but for losses that are exactly zero.
    """
    return class_contrast(vectors, labels, temperature=temperature, mask=mask).loss


def class_contrast(
    vectors: Float[Array, "N E"], labels: Int[Array, "N"], *,
    temperature: float | Float[Array, ""] = 0.1, mask: Shaped[Array, "N"] | None = None,
    groups: Int[Array, "N"] | None = None, group_negatives: bool = True,
) -> ClassContrast:  # fmt: skip
    """The loss and metrics of :func:`supervised_contrastive`.

    Args:
        vectors: one per item.
        labels: class of each item.
        temperature: see there.
        mask: see there.
        groups: what each item stands in, such as its sentence.
        group_negatives: whether items of the same group are negatives of one another.
    """
    count = vectors.shape[0]
    here = real_rows(mask, count)
    groups = jnp.arange(count) if groups is None else groups
    x = unit(vectors)
    cosines = jnp.matmul(x, x.T, precision=HIGHEST, preferred_element_type=jnp.float32)
    others = here[:, None] & here[None, :] & ~jnp.eye(count, dtype=bool)
    positive = others & (labels[:, None] == labels[None, :])
    sibling = others & (groups[:, None] == groups[None, :]) & ~positive
    candidate = others if group_negatives else others & ~sibling
    logits = cosines / temperature
    log_total = jax.nn.logsumexp(jnp.where(candidate, logits, NOTHING), axis=1)
    positives = positive.sum(axis=1)
    has_positive = positives > 0
    mean_positive = jnp.where(positive, logits, 0).sum(axis=1) / jnp.maximum(positives, 1)
    losses = jnp.where(has_positive, log_total, 0) - mean_positive
    fixed = jax.lax.stop_gradient(cosines)
    nearest = jnp.where(candidate, fixed, NOTHING).argmax(axis=1)
    is_right = jnp.take_along_axis(positive, nearest[:, None], axis=1)[:, 0]
    return ClassContrast(
        loss=mean_where(losses, has_positive),
        accuracy=mean_where(is_right.astype(jnp.float32), has_positive),
        positive_similarity=mean_where(fixed, positive),
        group_similarity=mean_where(fixed, sibling),
    )
