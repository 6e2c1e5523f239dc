"""Classification probe: can a linear classifier read labels off frozen vectors?"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from textzoo.errors import DataError
from textzoo.evaluation.metrics import Interval, wilson_interval
from textzoo.evaluation.results import Result
from textzoo.evaluation.scoring import SupportsEncode, encode_texts

STRENGTHS = (0.1, 1.0, 10.0, 100.0, 1000.0)
"""Candidates for C, the inverse weight of the penalty."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabeledTexts:
    """Texts and their labels."""

    texts: Sequence[str]
    labels: Sequence[str]

    def __post_init__(self) -> None:
        if len(self.texts) != len(self.labels) or not self.texts:
            raise ValueError(
                f"need as many labels as texts, at least one; got {len(self.texts)} texts and "
                f"{len(self.labels)} labels"
            )

    def __len__(self) -> int:
        return len(self.texts)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassificationResult(Result):
    """How well a linear probe predicts labels.

    Attributes:
        accuracy: share of test texts with the right label.
        accuracy_interval: 95%, Wilson.
        majority: accuracy of always answering the most frequent label of the test texts.
        examples: how many texts were predicted.
        classes: how many labels the training texts have.
        strength: the chosen C; one per fold.
        folds: cross-validation folds, 0 for a fixed test split.
    """

    accuracy: float
    accuracy_interval: Interval
    majority: float
    examples: int
    classes: int
    strength: tuple[float, ...]
    folds: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinearProbe:
    """A fitted classifier: ``argmax(((x - center) / scale) @ weights + bias)``."""

    weights: Float[np.ndarray, "E K"]
    bias: Float[np.ndarray, " K"]
    center: Float[np.ndarray, " E"]
    scale: float

    def predict(self, vectors: Float[np.ndarray, "N E"]) -> Int[np.ndarray, " N"]:
        """Class number of every vector."""
        return np.argmax((vectors - self.center) / self.scale @ self.weights + self.bias, axis=1)


def classification_probe(
    encoder: SupportsEncode,
    train: LabeledTexts,
    test: LabeledTexts | None = None,
    *,
    folds: int = 10,
    seed: int = 0,
    prompt: str | None = None,
    truncate_dim: int | None = None,
) -> ClassificationResult:
    """Trains an L2-penalized logistic regression on frozen vectors and tests it.

    The strength C of the penalty is chosen on a fifth of the training texts, then the probe is
    fitted again on all of them; test texts take no part in either.

    Args:
        encoder: anything with ``encode(list[str]) -> [N, E]``.
        train: texts to fit on.
        test: texts to predict; ``None`` for cross-validation over ``train``.
        folds: of the cross-validation; every fold has about the same share of each label.
        seed: of the splits.
        prompt: given to ``encode`` when not ``None``.
        truncate_dim: the same.
    """
    texts = [*train.texts, *(test.texts if test else ())]
    vectors = encode_texts(encoder, texts, prompt=prompt, truncate_dim=truncate_dim)
    if test is None:
        return score_folds(vectors, train.labels, folds=folds, seed=seed)
    return score_probe(
        vectors[: len(train)], train.labels, vectors[len(train) :], test.labels, seed=seed
    )


def score_probe(
    train_vectors: Float[np.ndarray, "N E"],
    train_labels: Sequence[str],
    test_vectors: Float[np.ndarray, "M E"],
    test_labels: Sequence[str],
    *,
    seed: int = 0,
) -> ClassificationResult:
    """Fits and tests a probe on vectors; a test label never seen in training counts as wrong."""
    names, numbers = _number(train_labels)
    probe, strength = fit_best_probe(train_vectors, numbers, len(names), seed=seed)
    right = sum(
        names[guess] == label
        for guess, label in zip(probe.predict(test_vectors), test_labels, strict=True)
    )
    return _result(right, test_labels, len(names), (strength,), folds=0)


def score_folds(
    vectors: Float[np.ndarray, "N E"], labels: Sequence[str], *, folds: int = 10, seed: int = 0
) -> ClassificationResult:
    """Cross-validates a probe on vectors."""
    names, numbers = _number(labels)
    if not 2 <= folds <= len(labels):
        raise ValueError(f"folds={folds} with {len(labels)} texts; use 2 to {len(labels)}")
    fold_of = _deal(numbers, folds, seed)
    right, strengths = 0, []
    for fold in range(folds):
        test = fold_of == fold
        probe, strength = fit_best_probe(vectors[~test], numbers[~test], len(names), seed=seed)
        right += int((probe.predict(vectors[test]) == numbers[test]).sum())
        strengths.append(strength)
    return _result(right, labels, len(names), tuple(strengths), folds=folds)


def fit_best_probe(
    vectors: Float[np.ndarray, "N E"],
    labels: Int[np.ndarray, " N"],
    num_classes: int,
    *,
    strengths: Sequence[float] = STRENGTHS,
    seed: int = 0,
) -> tuple[LinearProbe, float]:
    """Chooses C by the accuracy on a held-out fifth, then fits on everything.

    Of equally good candidates the smallest, which penalizes most, is taken.
    """
    held_out = _deal(labels, 5, seed) == 0
    if held_out.all() or not held_out.any():
        return fit_probe(vectors, labels, num_classes, strength=1.0), 1.0
    best, best_right, probe = strengths[0], -1, None
    for strength in sorted(strengths):
        probe = fit_probe(
            vectors[~held_out], labels[~held_out], num_classes, strength=strength, start=probe
        )
        right = int((probe.predict(vectors[held_out]) == labels[held_out]).sum())
        if right > best_right:
            best, best_right = strength, right
    return fit_probe(vectors, labels, num_classes, strength=best), best


def fit_probe(
    vectors: Float[np.ndarray, "N E"],
    labels: Int[np.ndarray, " N"],
    num_classes: int,
    *,
    strength: float = 1.0,
    start: LinearProbe | None = None,
) -> LinearProbe:
    """Fits a multinomial logistic regression by L-BFGS in float64.

    Minimizes ``C * sum_n cross_entropy_n + |W|^2 / 2``; the bias is not penalized. Vectors are
    centered and divided by one number, their root mean square norm, so that a C means the same
    for every encoder.

    Args:
        vectors: one row per text.
        labels: class numbers below ``num_classes``.
        num_classes: number of classes.
        strength: C.
        start: where the search begins; the minimum is the same.
    """
    import scipy.optimize  # on first use: it takes a quarter of a second

    center = vectors.mean(axis=0, dtype=np.float64)
    x_ne = vectors - center
    scale = float(np.sqrt((x_ne**2).sum(axis=1).mean())) or 1.0
    x_ne /= scale
    count, width = x_ne.shape
    shrink = 1 / (strength * count)
    # The search runs in coordinates where every direction curves about equally: along the
    # principal axes, each stretched. The problem is the same, solved in tens of steps instead of
    # hundreds.
    variances, axes_ee = np.linalg.eigh(x_ne.T @ x_ne / count)
    curvature = (1 - 1 / num_classes) / num_classes
    stretch = 1 / np.sqrt(curvature * np.maximum(variances, 0) + shrink)[:, None]
    basis_ee = axes_ee * stretch.T
    z_ne = x_ne @ basis_ee
    rows = np.arange(count)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        table = flat.reshape(width + 1, num_classes)
        logits_nk = z_ne @ table[:-1] + table[-1]
        logits_nk -= logits_nk.max(axis=1, keepdims=True)
        log_total = np.log(np.exp(logits_nk).sum(axis=1))
        value = (log_total - logits_nk[rows, labels]).mean()
        error_nk = np.exp(logits_nk - log_total[:, None])
        error_nk[rows, labels] -= 1
        error_nk /= count
        # Divided by C * N, which moves no minimum and lets one tolerance fit any size.
        weights = stretch * table[:-1]
        gradient = z_ne.T @ error_nk + shrink * stretch * weights
        total = value + shrink / 2 * float((weights**2).sum())
        return total, np.concatenate([gradient, error_nk.sum(axis=0)[None]]).ravel()

    first = np.zeros((width + 1, num_classes))
    if start is not None:
        first[:-1] = axes_ee.T @ start.weights / stretch
        first[-1] = start.bias
    found = scipy.optimize.minimize(
        loss, first.ravel(), jac=True, method="L-BFGS-B",
        options={"maxiter": 1000, "ftol": 1e-10, "gtol": 1e-6},
    )  # fmt: skip
    table = found.x.reshape(width + 1, num_classes)
    return LinearProbe(weights=basis_ee @ table[:-1], bias=table[-1], center=center, scale=scale)


def _number(labels: Sequence[str]) -> tuple[list[str], np.ndarray]:
    names = sorted(set(labels))
    if len(names) < 2:
        raise DataError(f"a probe needs texts of two labels or more; all are {names[0]!r}")
    index = {name: number for number, name in enumerate(names)}
    return names, np.array([index[label] for label in labels])


def _deal(labels: np.ndarray, hands: int, seed: int) -> np.ndarray:
    """Deals examples to equal hands, each with about the same share of every label."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_label = shuffled[np.argsort(labels[shuffled], kind="stable")]
    hand = np.empty(len(labels), np.int64)
    hand[by_label] = np.arange(len(labels)) % hands
    return hand


def _result(
    right: int, labels: Sequence[str], classes: int, strength: tuple[float, ...], *, folds: int
) -> ClassificationResult:
    _, counts = np.unique(np.array(labels), return_counts=True)
    return ClassificationResult(
        accuracy=right / len(labels),
        accuracy_interval=wilson_interval(right, len(labels)),
        majority=float(counts.max() / len(labels)),
        examples=len(labels),
        classes=classes,
        strength=strength,
        folds=folds,
    )
