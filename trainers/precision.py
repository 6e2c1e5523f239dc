"""Parameters wide enough to be trained."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from textzoo.checkpoints import weights
from textzoo.config import Part
from textzoo.errors import ConfigError
from textzoo.model import TextModel
from textzoo.parts import accepts_option


def in_single_precision(model: TextModel) -> TextModel:
    """The model with parameters in float32; what it computes in stays as it is.

    Released models may be stored in float16 to be small. Training needs more: squares of gradients
    fall below its smallest number, and small steps are lost. A model that has float32 parameters
    already is returned as it is; another one is copied.

    Args:
        model: with a config.

    Raises:
        ConfigError: the model has no config.
    """
    config = model.config
    if config is None:
        raise ConfigError(
            "the model has no config, so it cannot be built again in float32; make it with "
            "textzoo.build(ModelConfig(...), rngs=...)"
        )

    def widened(part: Part) -> Part:
        is_wide = part.options.get("param_dtype", "float32") == "float32"
        takes_it = accepts_option(part, "param_dtype")
        return part if is_wide or not takes_it else part.replace(param_dtype="float32")

    slots: dict[str, Any] = {
        slot: widened(part) for slot, part in config.slots() if not slot.startswith("heads")
    }
    wide = config.replace(**slots, heads=tuple(map(widened, config.heads)))
    if wide.to_dict() == config.to_dict():
        return model
    arrays: dict[str, np.ndarray] = weights.get_parameters(model)
    return weights.fill(weights.abstract_model(wide), arrays, source="the model to train")


def check_precision(shapes: Mapping[str, Any]) -> None:
    """Raises :class:`ConfigError` for float16 parameters, whose training gives NaN.

    Args:
        shapes: of the trained parameters, by dotted path.
    """
    for name, shape in shapes.items():
        if shape.dtype == jnp.float16:
            raise ConfigError(
                f"{name} is held in float16, in which training fails; make the objective with "
                "textzoo.trainers.precision.in_single_precision(model)"
            )
