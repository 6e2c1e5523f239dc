"""The head that guesses the subwords of a word from its state."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from textzoo.modules.functional import activation as get_activation
from textzoo.modules.parameters import (
    DtypeName,
    layer_norm,
    linear,
    logical_axes,
    truncated_normal,
)


class WordPiecesHead(nnx.Module):
    """Scores, for each of S slots, every subword: ``LN(f((h + r_j) W + b)) T^T + c``.

    Byte2Word's output (Lee et al. 2022, arXiv 2211.12677): models of words need no softmax over
    words, since a word is spelled in a small vocabulary of subwords. The slots ``j = 1..S`` differ
    by the learned vectors r_j alone, and are scored at once. Give it the states of the masked words
    alone: the product with T is S times V wide.

    Args:
        width: D, width of the states.
        vocab_size: V, subwords; one of them may say that the word has no more.
        num_pieces: S, the most subwords of a word that are scored.
        activation: name of f.
        norm_eps: of the layer norm.
        dtype, param_dtype: computation and storage types; scores are float32.
        rngs: source of initial values.

    Notes:
        The paper's layers could not be read; these are those of BERT's head, with the slots before
        them. Slots above the number of a word's subwords are left out of the loss, or are to
        predict an end.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> head = nnx.eval_shape(lambda: WordPiecesHead(8, 100, num_pieces=3, rngs=nnx.Rngs(0)))
        >>> nnx.eval_shape(lambda head: head(jnp.ones((2, 8))), head).shape
        (2, 3, 100)
    """

    def __init__(
        self, width: int, vocab_size: int, *, num_pieces: int = 4, activation: str = "gelu",
        norm_eps: float = 1e-12,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        sizes = {"width": width, "vocab_size": vocab_size, "num_pieces": num_pieces}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name}={size}; use 1 or more")
        self._activation = get_activation(activation)
        options: dict[str, Any] = {
            "use_bias": True, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs,
        }  # fmt: skip
        self.slots = nnx.Param(
            truncated_normal(0.02)(rngs.params(), (num_pieces, width), jnp.dtype(param_dtype)),
            **logical_axes(None, "embed"),
        )
        self.dense = linear(width, width, axes=("embed", None), **options)
        self.norm = layer_norm(width, epsilon=norm_eps, **options)
        self.output = linear(width, vocab_size, axes=("embed", "vocab"), **options)

    def __call__(self, states: Float[Array, "*B D"]) -> Float[Array, "*B S V"]:
        """Scores of all subwords in every slot, float32."""
        slots = states[..., None, :] + self.slots[...].astype(states.dtype)
        return self.output(self.norm(self._activation(self.dense(slots)))).astype(jnp.float32)
