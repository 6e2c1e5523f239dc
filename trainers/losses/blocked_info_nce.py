"""InfoNCE that never holds the similarities of a whole batch."""

import jax
from jaxtyping import Array, Float, Shaped, UInt

from textzoo.errors import ConfigError
from textzoo.trainers.losses.contrast import Comparison, ContrastConfig, Examples, compare
from textzoo.trainers.losses.info_nce import Contrast, conclude, prepare
from textzoo.trainers.ratio import Ratio
from textzoo.trainers.strides import join, split


def blocked_info_nce(
    queries: Float[Array, "B E"], documents: Float[Array, "B G E"], *, block: int,
    temperature: float | Float[Array, ""] = 0.05, config: ContrastConfig | None = None,
    keys: UInt[Array, "B T"] | None = None, guide: Float[Array, "B T W"] | None = None,
    row_mask: Shaped[Array, "B"] | None = None,
) -> Ratio:  # fmt: skip
    """:func:`textzoo.trainers.losses.info_nce.info_nce`, every variant, in ``[B, block, G]``.

    Every query meets the documents of ``block`` rows at a time; of each block one number per query
    is kept, the log of the sum of exponentials, and the sums of the blocks are added in the end::

        log sum_j exp s_ij = logsumexp_k ( log sum_{j in block k} exp s_ij )

    The backward pass computes the similarities of a block once more (Inf-CL, Cheng et al. 2024,
    without its ring: over devices the compiler moves the blocks). It takes about a third more
    products than the plain loss, so use it where ``4 B^2 G`` bytes over the number of devices are
    too many (2 GB, say).

    Args:
        queries: vectors, as the model gives them.
        documents: of each query its positive, then its hard negatives.
        block: rows per block; it need not divide the batch.
        temperature: see ``info_nce``.
        config: see ``info_nce``.
        keys: see ``info_nce``.
        guide: see ``info_nce``.
        row_mask: see ``info_nce``.

    Notes:
        Block k of n holds rows k, n + k, 2n + k, ...: of a batch that is split over devices, every
        device then has a share of every block. Consecutive rows would put a whole block on one
        device.
    """
    return blocked_contrast(
        queries, documents, block=block, temperature=temperature, config=config, keys=keys,
        guide=guide, row_mask=row_mask,
    ).loss  # fmt: skip


def blocked_contrast(
    queries: Float[Array, "B E"], documents: Float[Array, "B G E"], *, block: int,
    temperature: float | Float[Array, ""] = 0.05, config: ContrastConfig | None = None,
    keys: UInt[Array, "B T"] | None = None, guide: Float[Array, "B T W"] | None = None,
    row_mask: Shaped[Array, "B"] | None = None,
) -> Contrast:  # fmt: skip
    """The loss and metrics of :func:`blocked_info_nce`, which explains the arguments."""
    if block < 1:
        raise ConfigError(f"block={block}; use 1 or more rows, e.g. 1024")
    config = config or ContrastConfig()
    rows = prepare(queries, documents, config, keys=keys, guide=guide, row_mask=row_mask)
    size = queries.shape[0]
    blocks = -(-size // block)

    def compare_block(columns: Examples) -> Comparison:
        return compare(rows, columns, temperature, config)

    # Inside a loop nothing can be merged with the first computation, so need not be kept apart.
    remembering_nothing = jax.checkpoint(compare_block, prevent_cse=False)
    # What fills the last blocks up is of rows that are not real.
    cut = jax.tree.map(lambda array: split(array, blocks), rows)
    found = jax.lax.map(remembering_nothing, cut)
    backward = found.column_negatives
    whole = Comparison(
        row_negatives=jax.nn.logsumexp(found.row_negatives, axis=0),
        column_negatives=None if backward is None else join(backward, size),
        hardest=found.hardest.max(axis=0),
    )
    return conclude(rows, whole, temperature, config)
