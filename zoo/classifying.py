"""Names of classes, for models that end in a classifier."""

import dataclasses
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

from textzoo.errors import ConfigError
from textzoo.text_encoder import TextEncoder


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predictions:
    """What a classifier says of N texts.

    Attributes:
        labels: the likeliest class of each text.
        probabilities: of every class, ``[N, C]``.
        classes: their names, in the order of the columns.
    """

    labels: list[str]
    probabilities: Float[np.ndarray, "N C"]
    classes: tuple[str, ...]


def classes_of(encoder: TextEncoder) -> tuple[str, ...]:
    """Names of the classes of a model that ends in a classifier.

    Raises:
        ConfigError: it does not.
    """
    config = encoder.model.config
    heads = () if config is None else config.heads
    names = heads[-1].options.get("labels") if heads else None
    if not names:
        raise ConfigError(
            f"{encoder.name or 'the model'} does not end in a classifier; train one with "
            "scripts/train_classifier, or give its last head the option labels"
        )
    return tuple(names)


def predict(
    encoder: TextEncoder, texts: Iterable[str], *, show_progress: bool = False
) -> Predictions:
    """Puts texts into the classes of a model that ends in a classifier.

    Args:
        encoder: with logits as its vectors.
        texts: as for :meth:`textzoo.TextEncoder.encode`, but not a single string.
        show_progress: shows a progress bar on stderr.

    Example::

        encoder = textzoo.load("outputs/classifier/model")
        predict(encoder, ["what a good film"]).labels  # ['positive']
    """
    classes = classes_of(encoder)
    if isinstance(texts, str):
        texts = [texts]
    logits = encoder.encode(texts, show_progress=show_progress)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = shifted / shifted.sum(axis=1, keepdims=True)
    return Predictions(
        labels=[classes[index] for index in probabilities.argmax(axis=1)],
        probabilities=probabilities, classes=classes,
    )  # fmt: skip
