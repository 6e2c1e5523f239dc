"""Building a bundle from tensors that come in another library's names and shapes."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from textzoo.checkpoints import weights
from textzoo.checkpoints.bundle import Bundle
from textzoo.checkpoints.conversion.table import Rule, convert
from textzoo.config import ModelConfig
from textzoo.modules import Tokenizer
from textzoo.settings import EncoderSettings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """Tensors for some parts of a model.

    Attributes:
        directory: where they come from, for messages.
        tensors: by their names.
        rules: the table that converts them.
        ignore: patterns of names without a place.
        fills: prefixes of the parameters they must fill, all of them.
    """

    directory: Path
    tensors: Mapping[str, np.ndarray]
    rules: Sequence[Rule]
    ignore: Sequence[str] = ()
    fills: tuple[str, ...]


def assemble(
    config: ModelConfig,
    sources: Sequence[Source],
    *,
    tokenizer: Tokenizer | None,
    settings: EncoderSettings,
    name: str,
) -> Bundle:
    """Builds the model and fills it from the sources.

    Raises:
        ConfigError: a part refuses its options.
        WeightsError: the tensors do not fit the model.
    """
    model = weights.abstract_model(config)
    shapes = weights.parameter_shapes(model)
    arrays: dict[str, np.ndarray] = {}
    for source in sources:
        wanted = {path: shape for path, shape in shapes.items() if path.startswith(source.fills)}
        arrays |= convert(
            source.tensors, source.rules, wanted, ignore=source.ignore, source=str(source.directory)
        )
    return Bundle(
        model=weights.fill(model, arrays, source=name),
        tokenizer=tokenizer,
        settings=settings,
        name=name,
    )
