"""Exact nearest neighbors: scores in blocks on the device, and the best of all blocks."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from textzoo.errors import TextInputError
from textzoo.modules.nearest import nearest


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """The nearest rows of a corpus.

    Attributes:
        indices: rows of the corpus, the nearest first, int64 ``[Q, k]``; equal scores stand in
            the order of the corpus.
        scores: their similarities, float32 ``[Q, k]``; larger is nearer.
    """

    indices: Int[np.ndarray, "Q k"]
    scores: Float[np.ndarray, "Q k"]

    def __len__(self) -> int:
        return len(self.indices)


def search(
    queries: Float[np.ndarray, "Q E"], corpus: np.ndarray, *, k: int, kind: str
) -> SearchResult:
    """Finds the ``k`` rows of the corpus that are nearest to each query.

    Args:
        queries: float32.
        corpus: ``[N, E]``, of any float type; may be memory-mapped, is read block by block.
        k: results per query; all of them when the corpus is smaller.
        kind: see :func:`textzoo.similarity.similarity_matrix`.

    Raises:
        TextInputError: k is below 1, or widths differ.
    """
    if k < 1:
        raise TextInputError(f"k={k}; ask for 1 or more results")
    if corpus.ndim != 2 or corpus.shape[1] != queries.shape[1]:
        raise TextInputError(
            f"corpus has shape {corpus.shape}, expected [N, {queries.shape[1]}]: encode it with "
            "the same model and truncate_dim as the queries"
        )
    return SearchResult(*nearest(queries, corpus, k=k, kind=kind))
