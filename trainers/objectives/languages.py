"""Language and script, told to an objective and forgotten by the model."""

import re
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Int

from textzoo.config import Part
from textzoo.errors import ConfigError
from textzoo.model import TextModel
from textzoo.modules import SideVectorsEncoder
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.objectives.base import Objective
from textzoo.trainers.ratio import LossTerms

_NAME = re.compile(r"([a-z]{2,8})_([A-Z][a-z]{3})")


class LanguageObjective(Objective):
    """Another objective, whose texts say which language and script they are in.

    With a model whose encoder is a :class:`~textzoo.modules.SideVectorsEncoder` and masked tokens,
    this is LangSAMP (Liu et al. 2025). Rows have a class, ``labels [B]``, and all of their tokens
    get the side ids of that class, ``side_ids [B, L, N]``; an objective of vectors would see the
    same. What is exported has the encoder inside, without the vectors.

    Args:
        objective: any; it shares the model.
        side_ids: of every class, ``[classes, N]``; see :func:`side_table`.
    """

    def __init__(self, objective: Objective, *, side_ids: Sequence[Sequence[int]]) -> None:
        super().__init__(objective.model)
        self.objective = objective
        self.side_ids = tuple(tuple(int(number) for number in row) for row in side_ids)
        if not self.side_ids or len({len(row) for row in self.side_ids}) > 1:
            raise ConfigError("side_ids needs a row for every class, all of the same length")

    def __call__(self, batch: TrainBatch, *, step: Int[Array, ""], rngs: nnx.Rngs) -> LossTerms:
        """The terms and metrics of the objective."""
        if batch.labels is None:
            raise ConfigError("rows have no labels, so their language is not known; name a column")
        table = jnp.asarray(np.array(self.side_ids, np.int32))
        found = jnp.take(table, jnp.asarray(batch.labels), axis=0, mode="clip")
        texts = tuple(texts.with_side_ids(found) for texts in batch.texts)
        return self.objective(batch.replace(texts=texts), step=step, rngs=rngs)

    def export(self) -> TextModel:
        """What the objective exports, without vectors of languages."""
        return without_side_vectors(self.objective.export())


def side_table(
    names: Sequence[str],
) -> tuple[tuple[str, ...], tuple[str, ...], Int[np.ndarray, "V 2"]]:
    """Languages and scripts of classes that are named ``eng_Latn``.

    Args:
        names: an ISO 639 code, a low line, an ISO 15924 code.

    Returns:
        The languages and the scripts, sorted, and the places of both for every name.

    Raises:
        ConfigError: a name is none of that form.

    Example:
        >>> side_table(["srp_Cyrl", "eng_Latn", "srp_Latn"])[:2]
        (('eng', 'srp'), ('Cyrl', 'Latn'))
    """
    pairs = []
    for name in names:
        match = _NAME.fullmatch(name)
        if match is None:
            raise ConfigError(
                f"class {name!r} does not name a language and a script; write an ISO 639 code and "
                "an ISO 15924 code, such as 'eng_Latn'"
            )
        pairs.append(match.groups())
    languages, scripts = (tuple(sorted(set(column))) for column in zip(*pairs, strict=True))
    rows = [(languages.index(language), scripts.index(script)) for language, script in pairs]
    return languages, scripts, np.array(rows, np.int32)


def without_side_vectors(model: TextModel) -> TextModel:
    """The model with the encoder inside its :class:`~textzoo.modules.SideVectorsEncoder`.

    Args:
        model: stays as it is; the parts are shared. One without such vectors is returned.
    """
    if not isinstance(model.encoder, SideVectorsEncoder):
        return model
    config = model.config
    if config is not None:
        inner = config.encoder.options["encoder"]
        assert isinstance(inner, Part)
        config = config.replace(encoder=inner)
    return TextModel(
        embedding=model.embedding, encoder=model.encoder.encoder, pooling=model.pooling,
        heads=list(model.heads), config=config,
    )  # fmt: skip
