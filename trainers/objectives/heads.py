"""Linear maps that objectives put on vectors, and how a model takes them along."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from textzoo.config import Part
from textzoo.model import TextModel
from textzoo.modules.heads import Dense
from textzoo.trainers.losses.rows import HIGHEST


def apply_to_prefix(head: Dense, vectors: Float[Array, "B D"]) -> Float[Array, "B E"]:
    """``x W + b`` in float32; vectors cut to their first features meet the first rows of W."""
    kernel = head.linear.kernel[...][: vectors.shape[1]].astype(jnp.float32)
    mapped = jnp.matmul(vectors.astype(jnp.float32), kernel, precision=HIGHEST)
    bias = head.linear.bias
    return mapped if bias is None else mapped + bias[...].astype(jnp.float32)


def with_head(model: TextModel, head: Dense, part: Part) -> TextModel:
    """The model with one head more; the parts are shared, not copied.

    Args:
        model: stays as it is.
        head: applied after the model's heads.
        part: what describes it in a config.
    """
    config = model.config
    if config is not None:
        config = config.replace(heads=(*config.heads, part))
    return TextModel(
        embedding=model.embedding, encoder=model.encoder, pooling=model.pooling,
        heads=[*model.heads, head], config=config,
    )  # fmt: skip
