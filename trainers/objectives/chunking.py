"""Encoding a large batch a chunk at a time, so that activations of one chunk are held at most."""

import jax
from flax import nnx
from jaxtyping import Array, Float

from textzoo.errors import ConfigError
from textzoo.model import TextModel
from textzoo.modules.types import TextBatch
from textzoo.trainers.objectives.base import encode
from textzoo.trainers.strides import join, split


def encode_chunked(
    model: TextModel, texts: TextBatch, chunk_size: int | None, rngs: nnx.Rngs
) -> Float[Array, "B *S E"]:
    """Vectors of texts or their spans; the gradient needs activations of ``chunk_size`` texts only.

    This is gradient caching (GradCache, Gao et al. 2021): the forward pass keeps the vectors and no
    activations, the loss is taken of all vectors, and the backward pass encodes each chunk again
    to send the gradient of its vectors on to the parameters. It costs one more forward pass, and
    any loss goes with it. Here it is a loop over chunks of an encoder that is not remembered
    (``jax.checkpoint``), so that ``jax.grad`` of whatever follows does the rest.

    Args:
        model: in a view for training or evaluation.
        texts: a batch, which may be split over devices; every device keeps its rows.
        chunk_size: rows encoded at a time; it need not divide the batch. ``None``, or as many as
            the batch has: all at once, everything remembered.
        rngs: stream ``dropout`` gives one key, from which every chunk has its own. The second time
            a chunk is encoded it has the same key, so the same units are dropped.

    Notes:
        - Without dropout the gradient is that of encoding all at once. With it, what is dropped
          depends on the chunk size, as it does on the batch size.
        - Layers that remember something across rows (batch normalization) do not chunk; what a
          model writes to its variables is lost.
        - Rows are dealt out to chunks in turn (see :mod:`textzoo.trainers.strides`).
    """
    if chunk_size is not None and chunk_size < 1:
        raise ConfigError(f"chunk_size={chunk_size}; use 1 or more rows, or None for all at once")
    size = texts.ids.shape[0]
    if chunk_size is None or chunk_size >= size:
        return encode(model, texts, rngs)
    chunks = -(-size // chunk_size)
    # A loop may not hold the objects of a model, only their arrays.
    graph, arrays = nnx.split(model)

    def encode_one(part: tuple[TextBatch, Array]) -> Float[Array, "C *S E"]:
        chunk, key = part
        return encode(nnx.merge(graph, arrays), chunk, nnx.Rngs(dropout=key))

    remembering_nothing = jax.checkpoint(
        encode_one, prevent_cse=False, policy=jax.checkpoint_policies.nothing_saveable
    )
    # Zeros everywhere fill up: texts without tokens, whose vectors nobody reads.
    parts = jax.tree.map(lambda rows: split(rows, chunks), texts)
    keys = jax.random.split(rngs.dropout(), chunks)
    return join(jax.lax.map(remembering_nothing, (parts, keys)), size)
