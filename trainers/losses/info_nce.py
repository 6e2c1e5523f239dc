r"""InfoNCE, the contrastive loss of pairs and of pairs with hard negatives, in all its variants."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped, UInt

from textzoo.errors import ConfigError
from textzoo.trainers.losses.contrast import Comparison, ContrastConfig, Examples, compare
from textzoo.trainers.losses.rows import NOTHING, mean_where, real_rows, row_mean, unit
from textzoo.trainers.ratio import Ratio


class Contrast(NamedTuple):
    """InfoNCE of a batch and what tells how it is going; all from one pass.

    Attributes:
        loss: what is minimized.
        accuracy: share of queries that are nearer to their positive than to any negative.
        positive_similarity: mean over queries.
        hardest_negative_similarity: mean over queries of the largest one. What masks leave out
            is no negative; queries without any do not count, here and for the accuracy.
    """

    loss: Ratio
    accuracy: Ratio
    positive_similarity: Ratio
    hardest_negative_similarity: Ratio


def info_nce(
    queries: Float[Array, "B E"], documents: Float[Array, "B G E"], *,
    temperature: float | Float[Array, ""] = 0.05, config: ContrastConfig | None = None,
    keys: UInt[Array, "B T"] | None = None, guide: Float[Array, "B T W"] | None = None,
    row_mask: Shaped[Array, "B"] | None = None,
) -> Ratio:  # fmt: skip
    r"""Every query shall be nearest to its own document; mean over queries.

    With ``s(x, y)`` the similarity over the temperature, ``q_i`` a query, ``d_i0`` its positive
    and ``d_i1 ...`` its hard negatives::

        query_to_document     forward_i  = sum_jg exp s(q_i, d_jg)
        document_to_query     backward_i = sum_j  exp s(d_i0, q_j)
        query_to_query        queries_i  = sum_{j != i}   exp s(q_i, q_j)
        document_to_document  docs_i     = sum_{j != i,g} exp s(d_i0, d_jg)

        joint          L_i = log(forward_i + backward_i + queries_i + docs_i) - s(q_i, d_i0)
        per_direction  L_i = 1/2 [log forward_i + log backward_i] - s(q_i, d_i0)

    of which only the directions in ``config`` are there. Forward alone is InfoNCE (van den Oord et
    al. 2018), also known as MultipleNegativesRankingLoss; per direction it is Jina's loss (Guenther
    et al. 2023); jointly in all four, GTE's improved contrastive loss (Li et al. 2023).

    Use it for pairs, or pairs with hard negatives, that belong together; for pairs with scores use
    CoSENT or AnglE. With large batches use
    :func:`textzoo.trainers.losses.blocked_info_nce.blocked_info_nce`, which is equal and never
    holds ``[B, B]``.

    Args:
        queries: vectors, as the model gives them.
        documents: of each query its positive, then its hard negatives (as many for every query).
        temperature: what similarities are divided by. sentence-transformers has 0.05, recipes
            with large batches 0.01 to 0.02, vectors compared by dot product 1.
        config: which variant.
        keys: a hash of each text, the query's first: texts equal to a row's query or positive,
            and pairs that share a text with it, are not its negatives.
        guide: vectors of a guide model, the query's first: candidates that the guide finds nearer
            than the positive (less a margin) are not negatives (GISTEmbed, Solatorio 2024).
        row_mask: False for rows that only fill the batch up: neither queries nor candidates.

    Notes:
        - As in the reference (sentence-transformers), backward_i of the joint form contains the
          positive once more.
        - Computed as ``softplus(log(sum without the positive) - s(q_i, d_i0))``, which keeps its
          precision where the positive has nearly all of the probability.
        - Duplicates are masked with explicit keys; the reference leaves them to the sampler.
    """
    return contrast(
        queries, documents, temperature=temperature, config=config, keys=keys, guide=guide,
        row_mask=row_mask,
    ).loss  # fmt: skip


def contrast(
    queries: Float[Array, "B E"], documents: Float[Array, "B G E"], *,
    temperature: float | Float[Array, ""] = 0.05, config: ContrastConfig | None = None,
    keys: UInt[Array, "B T"] | None = None, guide: Float[Array, "B T W"] | None = None,
    row_mask: Shaped[Array, "B"] | None = None,
) -> Contrast:  # fmt: skip
    """The loss and metrics of :func:`info_nce`, which explains the arguments."""
    config = config or ContrastConfig()
    rows = prepare(queries, documents, config, keys=keys, guide=guide, row_mask=row_mask)
    return conclude(rows, compare(rows, rows, temperature, config), temperature, config)


def prepare(
    queries: Float[Array, "B E"], documents: Float[Array, "B G E"], config: ContrastConfig, *,
    keys: UInt[Array, "B T"] | None, guide: Float[Array, "B T W"] | None,
    row_mask: Shaped[Array, "B"] | None,
) -> Examples:  # fmt: skip
    """The batch as it is compared: float32, of length one for cosines."""
    size, texts = queries.shape[0], 1 + documents.shape[1]
    for name, given in (("keys", keys), ("guide", guide)):
        if given is not None and given.shape[1] != texts:
            raise ConfigError(
                f"{name} has shape {given.shape}, expected [B, T, ...] with one entry for each of "
                f"the {texts} texts of a row, the query's first"
            )
    ready = unit if config.similarity == "cosine" else (lambda x: x.astype(jnp.float32))
    return Examples(
        number=jnp.arange(size), is_real=real_rows(row_mask, size),
        queries=ready(queries), documents=ready(documents),
        keys=keys, guide=None if guide is None else jax.lax.stop_gradient(unit(guide)),
    )  # fmt: skip


def conclude(
    rows: Examples, found: Comparison, temperature: float | Float[Array, ""],
    config: ContrastConfig,
) -> Contrast:  # fmt: skip
    """Puts the comparison of all rows with all columns together."""
    similarity = (rows.queries * rows.documents[:, 0]).sum(axis=-1)
    positive = similarity / temperature
    competing = [found.row_negatives]
    if found.column_negatives is not None:
        competing.append(found.column_negatives)
    if config.normalization == "joint":
        competing = [jax.nn.logsumexp(jnp.stack(competing), axis=0)]
    losses = sum(jax.nn.softplus(negatives - positive) for negatives in competing)
    similarity, hardest = jax.lax.stop_gradient((similarity, found.hardest))
    has_negative = rows.is_real & (hardest > NOTHING / 2)
    return Contrast(
        loss=row_mean(jnp.asarray(losses) / len(competing), rows.is_real),
        accuracy=mean_where((similarity > hardest).astype(jnp.float32), has_negative),
        positive_similarity=row_mean(similarity, rows.is_real),
        hardest_negative_similarity=mean_where(hardest, has_negative),
    )
