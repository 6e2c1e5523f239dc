"""Matryoshka: the first features of a vector shall do on their own."""

from collections.abc import Sequence

from flax import nnx

from textzoo.errors import ConfigError
from textzoo.model import TextModel
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.objectives.vectors import VectorObjective, Vectors
from textzoo.trainers.ratio import LossTerms, Ratio, Term


class MatryoshkaObjective(VectorObjective):
    """The loss of another objective, at several widths of its vectors.

    ``L = sum_k w_k L_objective(x[:k])`` (Matryoshka representation learning, Kusupati et al. 2022).
    Texts are encoded once, in chunks if ``objective`` says so; the prefixes are cut from the
    vectors that it compares, and a loss of cosines makes each of length one again. Maps that
    belong to the objective (a classifier, a map to the teacher's space) use their first rows, and
    a teacher's vectors, without such a map, are cut as well.

    Terms and metrics are those of the objective at every width, named ``<name>_<width>``.

    Args:
        objective: any objective of vectors; it shares the model, and is exported as it would be
            alone.
        dims: widths, none above the vectors'; the widest is usually all of them.
        weights: of the widths; 1 each when absent.

    Notes:
        - sentence-transformers makes every prefix of length one, whatever the loss; here losses of
          dot products and squared errors see it as it is.
        - The cost is that of the loss for each width; with large batches let the objective compare
          in blocks (``loss_block``).
    """

    def __init__(
        self, objective: VectorObjective, *, dims: Sequence[int],
        weights: Sequence[float] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(objective.model, chunk_size=objective.chunk_size)
        dims = tuple(dims)
        if not dims or min(dims) < 1 or len(set(dims)) < len(dims):
            raise ConfigError(
                f"dims={dims}; give widths from 1, all different, e.g. (64, 128, 384)"
            )
        weights = (1.0,) * len(dims) if weights is None else tuple(weights)
        if len(weights) != len(dims) or min(weights) < 0 or not any(weights):
            raise ConfigError(
                f"weights={weights} for dims={dims}; give one weight from 0 for each width"
            )
        self.objective = objective
        self.dims = dims
        self.weights = weights

    def vectors(self, batch: TrainBatch, rngs: nnx.Rngs) -> Vectors:
        """The vectors that the objective compares."""
        return self.objective.vectors(batch, rngs)

    def vector_loss(self, vectors: Vectors, batch: TrainBatch) -> LossTerms:
        """The objective's terms and metrics at every width."""
        width = min(column.shape[1] for column in vectors)
        if max(self.dims) > width:
            raise ConfigError(
                f"dims={self.dims}, but the vectors are {width} wide; use widths up to that"
            )
        terms: dict[str, Term] = {}
        metrics: dict[str, Ratio] = {}
        for dim, weight in zip(self.dims, self.weights, strict=True):
            found = self.objective.vector_loss(tuple(x[:, :dim] for x in vectors), batch)
            for name, term in found.terms.items():
                terms[f"{name}_{dim}"] = Term(term.ratio, weight * term.weight)
            metrics.update({f"{name}_{dim}": ratio for name, ratio in found.metrics.items()})
        return LossTerms(terms, metrics)

    def export(self) -> TextModel:
        """What the objective exports."""
        return self.objective.export()
