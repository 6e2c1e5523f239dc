"""Small tables that are near to a large one: codebooks, low rank, tensor trains. On the host."""

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float, Int

from textzoo.modules.postprocessing.covariance import components
from textzoo.modules.types import AnyArray

Table = Float[np.ndarray, "V D"]

_MOST_STEPS = 15
_POINTS_AT_ONCE = 4096  # whose scores stay in the processor's cache


def checked_rows(embedding: Any, rows: Float[AnyArray, "V D"]) -> Table:
    """Rows that an embedding is to give, as float64; one for each of its ids.

    Raises:
        ValueError: they are not as many or as wide as the embedding's, or not finite.
    """
    found = np.asarray(rows, np.float64)
    wanted = (embedding.vocab_size, embedding.width)
    if found.shape != wanted:
        raise ValueError(
            f"the rows to fit have shape {found.shape}; expected [vocab_size, width] = {wanted}"
        )
    if not np.isfinite(found).all():
        raise ValueError("the rows to fit are not all finite; leave NaN and infinity out of them")
    return found


def put(parameter: nnx.Variable, values: np.ndarray) -> None:
    """Sets a parameter, in its own type."""
    parameter.set_value(jnp.asarray(values, parameter.dtype))


def low_rank_factors(
    table: Table, rank: int
) -> tuple[Float[np.ndarray, "V E"], Float[np.ndarray, "E D"]]:
    """``A [V, E]`` and ``B [E, D]`` whose product is the nearest to a table that rank E allows.

    Both have the same scale. A rank above that of the table leaves columns of zeros.

    Args:
        table: any.
        rank: E.
    """
    left, sizes, right = _truncated_svd(table, rank)
    left, right = left * np.sqrt(sizes), np.sqrt(sizes)[:, None] * right
    missing = rank - len(sizes)
    return np.pad(left, ((0, 0), (0, missing))), np.pad(right, ((0, missing), (0, 0)))


def product_codes(
    table: Table, num_parts: int, num_codes: int, *, seed: int = 0, steps: int = _MOST_STEPS
) -> tuple[Float[np.ndarray, "N C W"], Int[np.ndarray, "V N"]]:
    """Product quantization: the columns in parts, the parts of all rows in clusters.

    Args:
        table: whose rows are taken apart.
        num_parts: N, parts of a row; D is a multiple of it.
        num_codes: C, clusters of each part.
        seed: of the first centers.
        steps: most rounds of k-means.

    Returns:
        The centers of each part, and the center that is nearest to each part of each row.
    """
    parts = np.split(np.asarray(table, np.float32), num_parts, axis=1)
    rng = np.random.default_rng(seed)
    found = [k_means(part, num_codes, rng=rng, steps=steps) for part in parts]
    return np.stack([centers for centers, _ in found]), np.stack([c for _, c in found], axis=1)


def k_means(
    points: Float[np.ndarray, "V W"], count: int, *, rng: np.random.Generator,
    steps: int = _MOST_STEPS,
) -> tuple[Float[np.ndarray, "C W"], Int[np.ndarray, "V"]]:  # fmt: skip
    """Lloyd's k-means; a center without points moves to the point that is farthest from its own.

    Args:
        points: at least one.
        count: C; where there are fewer different points, some centers are equal.
        rng: chooses the points that the centers begin at.
        steps: most rounds; fewer, when no point changes its center.

    Returns:
        The centers, and the nearest center of each point.
    """
    different = np.unique(points, axis=0)
    if len(different) <= count:
        centers = different[np.arange(count) % len(different)]
        return centers, nearest_centers(points, centers)
    centers = different[rng.choice(len(different), count, replace=False)]
    codes = nearest_centers(points, centers)
    for _ in range(steps):
        sizes = np.bincount(codes, minlength=count)
        sums = np.stack([np.bincount(codes, column, count) for column in points.T], axis=1)
        empty = np.flatnonzero(sizes == 0)
        if len(empty):
            errors = np.square(points - centers[codes]).sum(axis=1)
        centers = (sums / np.maximum(sizes, 1)[:, None]).astype(points.dtype)
        if len(empty):
            centers[empty] = points[np.argsort(-errors, kind="stable")[: len(empty)]]
        last, codes = codes, nearest_centers(points, centers)
        if np.array_equal(last, codes):
            break
    return centers, codes


def nearest_centers(
    points: Float[np.ndarray, "V W"], centers: Float[np.ndarray, "C W"]
) -> Int[np.ndarray, "V"]:
    """The nearest center of each point, the first of equally near ones."""
    # The largest of x c - |c|^2 / 2, in one product: a 1 stands behind every point.
    scorers = np.concatenate([centers, -np.square(centers).sum(axis=1, keepdims=True) / 2], axis=1)
    found = []
    for start in range(0, len(points), _POINTS_AT_ONCE):
        part = points[start : start + _POINTS_AT_ONCE]
        found.append((np.pad(part, ((0, 0), (0, 1)), constant_values=1) @ scorers.T).argmax(axis=1))
    return np.concatenate(found)


def tensor_train_cores(
    table: Table, vocab_factors: Sequence[int], width_factors: Sequence[int], rank: int
) -> list[np.ndarray]:
    """Cores ``[n_k, r_{k-1}, d_k, r_k]`` of a table, by one singular value decomposition each.

    TT-SVD (Oseledets 2011, algorithm 1) of the table as a tensor whose axis k has the digit k of
    the id and the digit k of the column. The squared error is at most the number of cuts between
    cores times the least one that these ranks allow.

    Args:
        table: has at most as many rows as the product of ``vocab_factors``; those that it lacks
            are taken for zero.
        vocab_factors: n_1, ..., n_K.
        width_factors: d_1, ..., d_K, of product D.
        rank: of every cut, where that is possible.
    """
    order = len(vocab_factors)
    padded = np.zeros((math.prod(vocab_factors), table.shape[1]))
    padded[: len(table)] = table
    rest = padded.reshape(*vocab_factors, *width_factors)
    rest = rest.transpose([axis for k in range(order) for axis in (k, order + k)])
    ranks = tensor_train_ranks(vocab_factors, width_factors, rank)
    cores = []
    for k in range(order - 1):
        n, d = vocab_factors[k], width_factors[k]
        left, sizes, right = _truncated_svd(rest.reshape(ranks[k] * n * d, -1), ranks[k + 1])
        cores.append(left.reshape(ranks[k], n, d, ranks[k + 1]).transpose(1, 0, 2, 3))
        rest = sizes[:, None] * right
    last = rest.reshape(ranks[-2], vocab_factors[-1], width_factors[-1], 1)
    cores.append(last.transpose(1, 0, 2, 3))
    return _equally_large(cores)


def tensor_train_ranks(
    vocab_factors: Sequence[int], width_factors: Sequence[int], rank: int
) -> list[int]:
    """``r_0, ..., r_K``: the wanted rank, or less where a cut has fewer numbers on one side."""
    sizes = [n * d for n, d in zip(vocab_factors, width_factors, strict=True)]
    cuts = range(1, len(sizes))
    return [1, *(min(rank, math.prod(sizes[:k]), math.prod(sizes[k:])) for k in cuts), 1]


def _equally_large(cores: list[np.ndarray]) -> list[np.ndarray]:
    """The same product, of cores whose entries have the same mean square."""
    scales = [float(np.sqrt(np.square(core).mean())) for core in cores]
    if min(scales) == 0:
        return cores
    common = math.prod(scales) ** (1 / len(scales))
    return [core * (common / scale) for core, scale in zip(cores, scales, strict=True)]


def _truncated_svd(matrix: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """U, S and V^T for the largest singular values, at most ``rank`` of them.

    From the eigenvectors of the smaller Gram matrix, in float64: far faster than a decomposition of
    a long matrix, and exact to the square root of float64's precision.
    """
    if matrix.shape[0] < matrix.shape[1]:
        left, sizes, right = _truncated_svd(matrix.T, rank)
        return right.T, sizes, left.T
    right = components(matrix.T @ matrix)[1][:, :rank]
    scaled = matrix @ right
    sizes = np.linalg.norm(scaled, axis=0)
    left = scaled / np.where(sizes > 0, sizes, 1)
    return left, sizes, right.T
