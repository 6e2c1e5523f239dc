"""Mean and covariance of a collection of vectors, in float64 on the host."""

import dataclasses

import numpy as np
from jaxtyping import Float

# Rows that are turned to float64 at once hold about this many numbers.
_BLOCK_CELLS = 1 << 22


@dataclasses.dataclass(frozen=True)
class Moments:
    """Count, mean and covariance of vectors.

    Attributes:
        count: vectors that were counted: all but zero vectors.
        mean: ``[D]``.
        covariance: divided by ``count - 1``, ``[D, D]``.
    """

    count: int
    mean: Float[np.ndarray, "D"]
    covariance: Float[np.ndarray, "D D"]

    @property
    def second_moment(self) -> Float[np.ndarray, "D D"]:
        """Mean of ``x x^T``, the covariance around zero."""
        centered = self.covariance * ((self.count - 1) / self.count)
        return centered + np.outer(self.mean, self.mean)


def moments(vectors: Float[np.ndarray, "N D"]) -> Moments:
    """Counts vectors of any float type, block by block; they may be memory-mapped.

    Zero vectors stand for texts without tokens and are passed over.

    Raises:
        ValueError: fewer than two vectors are left, or one has a NaN or infinity.
    """
    if vectors.ndim != 2:
        raise ValueError(f"vectors have shape {vectors.shape}; expected [N, D]")
    width = vectors.shape[1]
    rows = max(1, _BLOCK_CELLS // max(1, width))
    count, mean, scatter = 0, np.zeros(width), np.zeros((width, width))
    for start in range(0, len(vectors), rows):
        block = np.asarray(vectors[start : start + rows], np.float64)
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            raise ValueError(
                f"vector {start + int(np.argmin(finite))} has a NaN or infinity; leave it out"
            )
        block = block[block.any(axis=1)]
        if not len(block):
            continue
        # Chan et al. 1983: moments of two blocks from those of each.
        here = block.mean(axis=0)
        centered, gap, total = block - here, here - mean, count + len(block)
        scatter += centered.T @ centered + np.outer(gap, gap) * (count * len(block) / total)
        mean = mean + gap * (len(block) / total)
        count = total
    if count < 2:
        raise ValueError(
            f"{count} vectors that are not zero; statistics need 2 or more, and some thousands to "
            "be worth anything"
        )
    return Moments(count, mean, scatter / (count - 1))


def components(
    matrix: Float[np.ndarray, "D D"],
) -> tuple[Float[np.ndarray, "D"], Float[np.ndarray, "D D"]]:
    """Eigenvalues of a symmetric matrix, the largest first, and its eigenvectors as columns.

    The largest entry of every eigenvector is positive, so that all machines agree on its sign.
    """
    values, vectors = np.linalg.eigh(matrix)
    values, vectors = values[::-1], vectors[:, ::-1]
    largest = np.abs(vectors).argmax(axis=0)
    signs = np.sign(vectors[largest, np.arange(vectors.shape[1])])
    return np.maximum(values, 0), vectors * signs
