"""What is measured during a run: scores of the model, and losses on rows held out."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from textzoo.errors import DataError
from textzoo.model import TextModel
from textzoo.trainers.batch import LoadedBatch
from textzoo.trainers.blueprint import Arrays
from textzoo.trainers.sharding import place_batch
from textzoo.trainers.step import EvaluationStep

Evaluator = Callable[[TextModel], Mapping[str, float]]
"""Scores of a model by name; larger or smaller is better, as ``best_mode`` says."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Rows that are not trained on.

    Attributes:
        batches: gives the same batches at every call, this process's rows of each; usually
            ``functools.partial`` of a data set's ``evaluation_batches``.
    """

    batches: Callable[[], Iterable[LoadedBatch]]

    def measure(self, evaluate: EvaluationStep, arrays: Arrays, mesh: Mesh) -> dict[str, float]:
        """The loss, its terms and the metrics over all rows.

        Args:
            evaluate: compiled, see :func:`textzoo.trainers.step.make_evaluation_step`.
            arrays: parameters and memory by dotted path.
            mesh: where the arrays are.
        """
        sums: dict[str, np.ndarray] = {}
        for index, loaded in enumerate(self.batches()):
            ratios = evaluate(arrays, place_batch(loaded.batch, mesh), jnp.int32(index))
            for name, ratio in jax.device_get(ratios).items():
                sums[name] = sums.get(name, np.zeros(2)) + np.asarray(ratio, np.float64)
        if not sums:
            raise DataError("there are no rows to evaluate on; give held-out rows, or leave it out")
        found = {name: float(total[0] / (total[1] or 1)) for name, total in sums.items()}
        terms = [name for name in found if name.startswith("loss/")]
        loss = sum(found[name] for name in terms)
        if len(terms) == 1:
            del found[terms[0]]
        return {"loss": loss, **found}


def host_arrays(arrays: Mapping[str, Any]) -> dict[str, jax.Array]:
    """Whole arrays on this process's first device, whatever they were split over."""
    if jax.process_count() == 1:
        whole = jax.device_get(dict(arrays))
    else:
        from jax.experimental import multihost_utils

        # What was read from a file is whole in every process already.
        spread = {
            name: array
            for name, array in arrays.items()
            if isinstance(array, jax.Array) and not array.is_fully_addressable
        }
        whole = {**arrays, **multihost_utils.process_allgather(spread, tiled=True)}
    # A copy: on a CPU the result would share memory with arrays that are donated to the next step.
    return {name: jnp.array(value, copy=True) for name, value in whole.items()}
