"""Heads with statistics of a collection of vectors: fitted once, never trained."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from textzoo.modules.postprocessing.covariance import Moments, components, moments
from textzoo.modules.types import AnyArray

Fitted = Mapping[str, np.ndarray]

# Eigenvalues below this share of the largest are rounding errors of float32 vectors.
_NOISE = 1e-10


class Statistic(nnx.Variable):
    """A fitted number: saved with the model, and reached by no gradient and no optimizer."""


class FittedHead(nnx.Module):
    """Maps vectors by statistics of other vectors.

    ``fit(vectors)`` gives the statistics, ``assign`` puts them into the head, a call applies them.
    Before that the head leaves vectors as they are, but for the features it drops. Statistics are
    float64 on the host while they are fitted, float32 in the head, and so is the result.

    A zero vector, which stands for a text without tokens, stays a zero vector.

    Attributes:
        mean: of the fitted vectors, ``[D]``.
    """

    mean: Statistic

    def fit(self, vectors: Float[np.ndarray, "N D"]) -> Fitted:
        """Statistics of vectors by name, as :meth:`assign` takes them.

        Args:
            vectors: of any float type; may be memory-mapped, is read block by block.

        Raises:
            ValueError: too few vectors, or not as many directions as are wanted.
        """
        wanted = self.mean.shape[0]
        if vectors.ndim != 2 or vectors.shape[1] != wanted:
            raise ValueError(f"vectors have shape {vectors.shape}; expected [N, {wanted}]")
        found = moments(vectors)
        return {"mean": found.mean, **self._solve(found)}

    def assign(self, fitted: Fitted) -> None:
        """Puts statistics into the head."""
        for name, value in fitted.items():
            getattr(self, name).set_value(jnp.asarray(value, jnp.float32))

    def __call__(self, vectors: Float[AnyArray, "*B D"]) -> Float[Array, "*B E"]:
        """Maps every vector; float32."""
        x = jnp.asarray(vectors, jnp.float32)
        mapped = self._map(x - _constant(self.mean))
        return jnp.where((x == 0).all(axis=-1, keepdims=True), 0, mapped)

    def affine(self) -> tuple[Float[np.ndarray, "D E"], Float[np.ndarray, "E"]]:
        """``W`` and ``b`` with ``x W + b`` the result for every vector but zero ones."""
        mean = np.asarray(self.mean[...], np.float64)
        matrix = np.asarray(self._map(jnp.eye(len(mean), dtype=jnp.float32)), np.float64)
        return matrix.astype(np.float32), (-mean @ matrix).astype(np.float32)

    def _solve(self, found: Moments) -> Fitted:
        """The statistics besides the mean."""
        raise NotImplementedError

    def _map(self, centered: Float[Array, "*B D"]) -> Float[Array, "*B E"]:
        """What becomes of a vector without the mean."""
        raise NotImplementedError


class Centering(FittedHead):
    """``x - mu``: takes away the direction that all vectors share.

    With a ``Normalize`` head behind it, the simplest reduction of hubness (Nielsen and Hansen
    2023).

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        self.mean = _mean(width)

    def _solve(self, found: Moments) -> Fitted:
        return {}

    def _map(self, centered: Float[Array, "*B D"]) -> Float[Array, "*B E"]:
        return centered


class Standardization(FittedHead):
    """``(x - mu) / sigma``, feature by feature.

    Built as the reading of "f-norm" in Nielsen and Hansen 2023, with a ``Normalize`` head behind
    it. A feature that never varies is only centered.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        self.mean = _mean(width)
        self.deviation = Statistic(jnp.ones(width, jnp.float32))

    def _solve(self, found: Moments) -> Fitted:
        variance = np.diag(found.covariance)
        varies = variance > _NOISE * variance.max()
        return {"deviation": np.sqrt(np.where(varies, variance, 1))}

    def _map(self, centered: Float[Array, "*B D"]) -> Float[Array, "*B E"]:
        return centered / _constant(self.deviation)


class Whitening(FittedHead):
    """``(x - mu) U_k diag(s_k)^(-1/2)`` with the covariance ``U diag(s) U^T``.

    The mapped vectors have the unit matrix as covariance (Su et al. 2021, BERT-whitening; Huang
    et al. 2021, WhiteningBERT). It helps encoders that were not trained to compare sentences, and
    costs those that were.

    Args:
        width: D.
        rank: k, the directions that are kept, those of the largest variance; all when absent.
        shrinkage: moves the covariance towards a multiple of the unit matrix, ``(1 - a) C + a
            trace(C) / D I``; 0 is plain whitening, and a little keeps directions of next to no
            variance from being blown up.

    Notes:
        Directions in which the fitted vectors do not vary at all give zeros, not the rounding
        errors that dividing by nothing would give (all-MiniLM-L6-v2 has three of them).

        The covariance is divided by N - 1, as in BERT-whitening; WhiteningBERT does not divide,
        and BERT-whitening's published English figures keep 256 or 384 directions. Cosines see
        neither. In the papers the statistics come from the texts that are evaluated, or from
        NLI; say which.
    """

    def __init__(self, width: int, *, rank: int | None = None, shrinkage: float = 0.0) -> None:
        if not 0 <= shrinkage <= 1:
            raise ValueError(f"shrinkage={shrinkage}; use 0 to 1")
        self.mean = _mean(width)
        self.matrix = _matrix(width, rank)
        self.shrinkage = shrinkage

    def _solve(self, found: Moments) -> Fitted:
        covariance = found.covariance
        width, rank = self.matrix.shape
        level = np.trace(covariance) / width
        shrunk = (1 - self.shrinkage) * covariance + self.shrinkage * level * np.eye(width)
        if found.count <= rank and not self.shrinkage:
            raise ValueError(
                f"{found.count} vectors cannot show how they vary in {rank} directions; fit on "
                f"more, or use rank={found.count - 1} or less, or give shrinkage=0.01"
            )
        values, vectors = (array[..., :rank] for array in components(shrunk))
        varies = values > _NOISE * values[0]
        return {"matrix": vectors * np.where(varies, 1 / np.sqrt(np.where(varies, values, 1)), 0)}

    def _map(self, centered: Float[Array, "*B D"]) -> Float[Array, "*B E"]:
        return _product(centered, _constant(self.matrix))


class PrincipalComponents(FittedHead):
    """``(x - mu) U_k``: the directions of the largest variance, turned to be the axes.

    Keeps distances as well as k directions can; with all of them it is a rotation.

    Args:
        width: D.
        rank: k; all when absent.
    """

    def __init__(self, width: int, *, rank: int | None = None) -> None:
        self.mean = _mean(width)
        self.matrix = _matrix(width, rank)

    def _solve(self, found: Moments) -> Fitted:
        return {"matrix": components(found.covariance)[1][:, : self.matrix.shape[1]]}

    def _map(self, centered: Float[Array, "*B D"]) -> Float[Array, "*B E"]:
        return _product(centered, _constant(self.matrix))


class ComponentRemoval(FittedHead):
    """``c - c U_k U_k^T`` with ``c = x - mu``: without the directions of the largest variance.

    All-but-the-top (Mu and Viswanath 2018, algorithm 1). Built as the reading in which it is the
    centered vectors that are projected, so that the directions are absent from the result.

    Args:
        width: D.
        count: k, the directions that are removed; the paper suggests about D / 100.
        center: whether there is a mean; without one, ``x - x U_k U_k^T`` with the directions of
            the second moment, as in SIF (Arora et al. 2017, with one direction).
    """

    def __init__(self, width: int, *, count: int = 1, center: bool = True) -> None:
        if not 1 <= count < width:
            raise ValueError(f"count={count}; remove 1 to {width - 1} of {width} directions")
        self.mean = _mean(width)
        self.directions = Statistic(jnp.zeros((width, count), jnp.float32))
        self.center = center

    def _solve(self, found: Moments) -> Fitted:
        count = self.directions.shape[1]
        values, vectors = components(found.covariance if self.center else found.second_moment)
        _check_directions(values, count, found.count)
        solved = {"directions": vectors[:, :count]}
        return solved if self.center else {"mean": np.zeros_like(found.mean), **solved}

    def _map(self, centered: Float[Array, "*B D"]) -> Float[Array, "*B E"]:
        directions = _constant(self.directions)
        return centered - _product(_product(centered, directions), directions.T)


def _mean(width: int) -> Statistic:
    if width < 1:
        raise ValueError(f"width={width}; use 1 or more")
    return Statistic(jnp.zeros(width, jnp.float32))


def _matrix(width: int, rank: int | None) -> Statistic:
    if rank is not None and not 1 <= rank <= width:
        raise ValueError(f"rank={rank}; keep 1 to {width} of {width} directions, or None for all")
    return Statistic(jnp.eye(width, rank, dtype=jnp.float32))


def _check_directions(values: Float[np.ndarray, "D"], wanted: int, count: int) -> None:
    """Raises unless the vectors vary in as many directions as are wanted."""
    real = int((values > _NOISE * values[0]).sum())
    if real < wanted:
        raise ValueError(
            f"{count} vectors vary in {real} directions and {wanted} are to be removed; fit on "
            f"more vectors, or use count={max(1, real)}"
        )


def _constant(statistic: Statistic) -> Array:
    return jax.lax.stop_gradient(statistic[...])


def _product(x: Array, matrix: Array) -> Array:
    return jnp.matmul(x, matrix, precision=jax.lax.Precision.HIGHEST)
