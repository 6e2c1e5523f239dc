"""Pair probe: can a small network tell from two vectors whether texts are paraphrases?"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from textzoo.errors import DataError
from textzoo.evaluation.metrics import Interval, wilson_interval
from textzoo.evaluation.results import Result
from textzoo.evaluation.scoring import SupportsEncode, encode_texts

_HIDDEN, _RATE, _BATCH = 256, 1e-4, 200
_LEAST_EPOCHS, _MOST_EPOCHS, _PATIENCE = 3, 100, 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabeledPairs:
    """Pairs of texts, and whether they say the same."""

    first: Sequence[str]
    second: Sequence[str]
    labels: Bool[np.ndarray, " N"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairProbeResult(Result):
    """How well a probe tells paraphrases.

    Attributes:
        accuracy: share of test pairs.
        accuracy_interval: 95%, Wilson.
        majority: accuracy of always giving the more frequent answer.
        pairs: test pairs.
        epochs: of the probe's training.
    """

    accuracy: float
    accuracy_interval: Interval
    majority: float
    pairs: int
    epochs: int


def pair_probe(
    encoder: SupportsEncode, data: LabeledPairs, *, seed: int = 42, prompt: str | None = None,
    truncate_dim: int | None = None,
) -> PairProbeResult:  # fmt: skip
    """Trains a network on frozen vectors of pairs, side by side, and tests it.

    ``sigmoid(w relu([u; v] W + b) + c)`` with 256 hidden units, binary cross-entropy, Adam at
    1e-4, batches of 200, until the accuracy on a validation part has not grown for five epochs;
    the pairs are cut 70 : 15 : 15 at random (Phrase-BERT, Wang et al. 2021, in its code).

    Args:
        encoder: anything with ``encode(list[str]) -> [N, E]``.
        data: pairs.
        seed: of the cut, the initial values and the order of batches.
        prompt: given to ``encode`` when not ``None``.
        truncate_dim: the same.

    Notes:
        The cut is not the one of the reference, whose generator is Python's. The probe of the last
        epoch is tested, as there.
    """
    count = len(data.labels)
    texts = [*data.first, *data.second]
    vectors = encode_texts(encoder, texts, prompt=prompt, truncate_dim=truncate_dim)
    return score_pairs(vectors[:count], vectors[count:], data.labels, seed=seed)


def score_pairs(
    first: Float[np.ndarray, "N E"], second: Float[np.ndarray, "N E"],
    labels: Bool[np.ndarray, " N"], *, seed: int = 42,
) -> PairProbeResult:  # fmt: skip
    """The same as :func:`pair_probe` for vectors that exist already."""
    count = len(labels)
    if count < 20:
        raise DataError(f"a probe of pairs needs 20 or more, to train and to test on; got {count}")
    rng = np.random.default_rng(seed)
    order = rng.permutation(count)
    ends = [int(np.ceil(share * count)) for share in (0.7, 0.85)]
    x = np.concatenate([first, second], axis=1).astype(np.float32)[order]
    y = labels.astype(np.float32)[order]
    probe = _Probe(x.shape[1], rng)
    best, waited, epochs = -1.0, 0, 0
    while epochs < _MOST_EPOCHS:
        epochs += 1
        for rows in np.array_split(rng.permutation(ends[0]), max(1, -(-ends[0] // _BATCH))):
            probe.step(x[rows], y[rows])
        right = float((probe.predict(x[ends[0] : ends[1]]) == y[ends[0] : ends[1]]).mean())
        best, waited = (right, 0) if right > best else (best, waited + 1)
        if waited >= _PATIENCE and epochs >= _LEAST_EPOCHS:
            break
    wanted = y[ends[1] :]
    hits = int((probe.predict(x[ends[1] :]) == wanted).sum())
    return PairProbeResult(
        accuracy=hits / len(wanted), accuracy_interval=wilson_interval(hits, len(wanted)),
        majority=float(max(wanted.mean(), 1 - wanted.mean())), pairs=len(wanted), epochs=epochs,
    )  # fmt: skip


class _Probe:
    """Two linear maps with a relu between them, and Adam."""

    def __init__(self, width: int, rng: np.random.Generator) -> None:
        def uniform(inputs: int, *shape: int) -> np.ndarray:
            limit = inputs**-0.5  # torch's initial values of a linear map
            return rng.uniform(-limit, limit, shape).astype(np.float32)

        self.parameters = [
            uniform(width, width, _HIDDEN), uniform(width, _HIDDEN),
            uniform(_HIDDEN, _HIDDEN), uniform(_HIDDEN, 1),
        ]  # fmt: skip
        self._first = [np.zeros_like(p) for p in self.parameters]
        self._second = [np.zeros_like(p) for p in self.parameters]
        self._steps = 0

    def logits(self, x: Float[np.ndarray, "N W"]) -> Float[np.ndarray, " N"]:
        """Before the sigmoid."""
        w, b, v, c = self.parameters
        return np.maximum(x @ w + b, 0) @ v + c

    def predict(self, x: Float[np.ndarray, "N W"]) -> Bool[np.ndarray, " N"]:
        """Whether a pair is one."""
        return self.logits(x) >= 0

    def gradients(
        self, x: Float[np.ndarray, "N W"], y: Float[np.ndarray, " N"]
    ) -> list[np.ndarray]:
        """Of the mean binary cross-entropy."""
        w, b, v, c = self.parameters
        hidden = np.maximum(x @ w + b, 0)
        error = (1 / (1 + np.exp(-(hidden @ v + c))) - y) / len(y)
        back = np.outer(error, v) * (hidden > 0)
        return [x.T @ back, back.sum(axis=0), hidden.T @ error, error.sum(keepdims=True)]

    def step(self, x: Float[np.ndarray, "N W"], y: Float[np.ndarray, " N"]) -> None:
        """One step of Adam (0.9, 0.999, 1e-8)."""
        self._steps += 1
        for place, gradient in enumerate(self.gradients(x, y)):
            first, second = self._first[place], self._second[place]
            first += 0.1 * (gradient - first)
            second += 0.001 * (gradient**2 - second)
            mean = first / (1 - 0.9**self._steps)
            spread = np.sqrt(second / (1 - 0.999**self._steps)) + 1e-8
            self.parameters[place] -= _RATE * mean / spread
