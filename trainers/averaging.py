r"""Averages of parameters: over the steps of one run, and over checkpoints.

- Moving average, started as a copy of the first parameters (Polyak and Juditsky 1992)::

      a <- d_t a + (1 - d_t) p        d_t = min(decay, (1 + t) / (10 + t))

  The second argument lets the average forget its beginning while the run is young; there is no
  bias to correct, because the average starts at the parameters and not at zero.
- Model soup (Wortsman et al. 2022): the mean of checkpoints that were trained from one beginning.
  The greedy soup adds them from the best to the worst and keeps those that do not make it worse.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from textzoo.checkpoints.weights import check_fit
from textzoo.errors import WeightsError

Arrays = Mapping[str, np.ndarray]


def update_average(
    average: Mapping[str, Float[Array, "..."]],
    params: Mapping[str, Float[Array, "..."]],
    *,
    decay: float,
    step: Int[Array, ""] | int,
) -> dict[str, Float[Array, "..."]]:
    """The moving average after one more step; pure, made to be called inside the step.

    Args:
        average: by dotted path, float32 even where parameters are not: at a decay of 0.999 the
            changes are smaller than bfloat16 resolves.
        params: the parameters after the step.
        decay: share of the old average that stays, once the run is old enough.
        step: t, averages taken before.
    """
    count = jnp.asarray(step, jnp.float32)
    kept = jnp.minimum(decay, (1 + count) / (10 + count))
    return {
        path: (value + (1 - kept) * (params[path].astype(value.dtype) - value)).astype(value.dtype)
        for path, value in average.items()
    }


def average_checkpoints(
    checkpoints: Sequence[Arrays], weights: Sequence[float] | None = None
) -> dict[str, np.ndarray]:
    """The (weighted) mean of checkpoints, by dotted path, in their dtypes.

    Args:
        checkpoints: dicts with the same paths and shapes, e.g. of
            :func:`textzoo.checkpoints.weights.read_safetensors`.
        weights: one per checkpoint; equal when absent.

    Raises:
        WeightsError: there are none, they do not fit together, or the weights do not.
    """
    if not checkpoints:
        raise WeightsError("there are no checkpoints to average; give one or more")
    shares = [1.0] * len(checkpoints) if weights is None else list(weights)
    if (
        len(shares) != len(checkpoints)
        or not sum(shares) > 0
        or not all(0 <= share < math.inf for share in shares)
    ):
        raise WeightsError(
            f"{len(checkpoints)} checkpoints have the weights {shares}; give each a number from "
            "0, not all of them 0"
        )
    expected = {path: tuple(value.shape) for path, value in checkpoints[0].items()}
    for number, checkpoint in enumerate(checkpoints[1:], start=2):
        check_fit(expected, checkpoint, source=f"checkpoint {number}")
    means = {}
    for path, first in checkpoints[0].items():
        total = np.zeros(first.shape, np.float64)
        for share, checkpoint in zip(shares, checkpoints, strict=True):
            total += share / sum(shares) * np.asarray(checkpoint[path], np.float64)
        means[path] = total.astype(first.dtype)
    return means


@dataclasses.dataclass(frozen=True, kw_only=True)
class Soup:
    """What a greedy soup is made of.

    Attributes:
        params: the mean, by dotted path.
        members: numbers of the checkpoints that are in it, the best first.
        score: of the mean.
        scores: of each checkpoint alone, in the order they were given in.
    """

    params: dict[str, np.ndarray]
    members: tuple[int, ...]
    score: float
    scores: tuple[float, ...]


def greedy_soup(checkpoints: Sequence[Arrays], evaluate: Callable[[Arrays], float]) -> Soup:
    """Adds checkpoints to a mean, from the best on, as long as its score does not fall.

    Args:
        checkpoints: see :func:`average_checkpoints`.
        evaluate: the score of parameters on held-out data; larger is better.

    Raises:
        WeightsError: see :func:`average_checkpoints`; or no score is a number.
    """
    if not checkpoints:
        raise WeightsError("there are no checkpoints to average; give one or more")
    scores = tuple(float(evaluate(checkpoint)) for checkpoint in checkpoints)
    ranked = [i for i in np.argsort([-s for s in scores], kind="stable") if scores[i] == scores[i]]
    if not ranked:
        raise WeightsError(f"evaluate gave {scores}, no number among them")
    members = [int(ranked[0])]
    params, score = average_checkpoints([checkpoints[members[0]]]), scores[members[0]]
    for index in ranked[1:]:
        tried = average_checkpoints([checkpoints[i] for i in (*members, index)])
        found = float(evaluate(tried))
        if found >= score:
            members.append(int(index))
            params, score = tried, found
    return Soup(params=params, members=tuple(members), score=score, scores=scores)
