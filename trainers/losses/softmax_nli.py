"""Sentence-BERT's classifier of pairs."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from textzoo.trainers.losses.classification import classification
from textzoo.trainers.losses.rows import HIGHEST
from textzoo.trainers.ratio import Ratio


def softmax_nli(
    first: Float[Array, "B E"], second: Float[Array, "B E"], kernel: Float[Array, "N D C"],
    bias: Float[Array, "C"], labels: Int[Array, "B"], *, label_smoothing: float = 0.0,
    row_mask: Shaped[Array, "B"] | None = None,
) -> Ratio:  # fmt: skip
    """Cross-entropy of the classes of pairs, from :func:`pair_logits`.

    (Sentence-BERT, Reimers and Gurevych 2019, section 3.) Use it where pairs have classes and no
    order; pairs of NLI train better as triplets with InfoNCE.

    Args:
        first: vectors u of one text of each pair.
        second: vectors v of the other.
        kernel: W, of each kind of feature its rows.
        bias: b.
        labels: numbers of classes from zero.
        label_smoothing: see :func:`textzoo.trainers.losses.classification.classification`.
        row_mask: False for rows that only fill the batch up.
    """
    logits = pair_logits(first, second, kernel, bias)
    return classification(logits, labels, label_smoothing=label_smoothing, row_mask=row_mask)


def pair_logits(
    first: Float[Array, "B E"], second: Float[Array, "B E"], kernel: Float[Array, "N D C"],
    bias: Float[Array, "C"],
) -> Float[Array, "B C"]:  # fmt: skip
    """``[u ; v ; |u - v|] W + b``; with four kinds of features in W also ``u * v``.

    Vectors that are narrower than W was made for (E below D) meet the first rows of each kind.
    """
    u, v = first.astype(jnp.float32), second.astype(jnp.float32)
    features = jnp.stack([u, v, jnp.abs(u - v), u * v][: kernel.shape[0]])
    rows = kernel[:, : u.shape[1]].astype(jnp.float32)
    return jnp.einsum("nbe,nec->bc", features, rows, precision=HIGHEST) + bias
