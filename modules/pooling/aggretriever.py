"""A semantic vector beside what a masked language head would say, folded into a short one."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from textzoo.modules.functional import masked_sum
from textzoo.modules.heads.masked_language import MaskedLanguageHead
from textzoo.modules.parameters import DtypeName, linear
from textzoo.modules.pooling.basic import Spans, Vectors, pooling_mask
from textzoo.modules.types import Hidden

# Probabilities of one step are kept to about this many numbers.
_CELLS = 1 << 24
# Rows at the start of BERT's vocabulary that stand for no word.
_UNUSED_ROWS = 1000


class AggretrieverPooling(nnx.Module):
    """``[aggregate(v); W h_1 + b]`` with ``v_k = max_t p_tk w_t`` (Lin, Li and Lin 2022).

    ``p_t = softmax(MLM(h_t))`` over the vocabulary and ``w_t`` is a linear map of ``h_t`` to one
    number. Vectors are compared by their dot product, which is the sum of a lexical and a semantic
    score.

    :func:`aggregate` folds ``v`` into ``lexical_dim`` numbers. The first token of the text stands
    for it (``[CLS]``) in the semantic part and takes no part in the lexical one; so a span should
    be a whole text, as in packed rows.

    Args:
        width: D, width of the states.
        vocab_size: V.
        lexical_dim: width of the folded ``v``; 640 in the paper.
        semantic_dim: width of ``W h_1 + b``; 128 in the paper, 0 for none.
        full: fold into signed numbers, from twice as many slots; otherwise plain maxima.
        activation, norm_eps: of the masked language head.
        dtype, param_dtype: computation and storage types; probabilities and maxima are float32.
        rngs: source of initial values.

    Notes:
        - The lexical part stands first, as in the code; the paper writes it second.
        - In the code, padding takes part in the maximum with a zero, so a text in a batch with
          longer ones cannot have negative ``v`` and one without padding can. Here ``v`` is never
          negative: what the code gives for a text with padding.
        - The table of the masked language head is the pooling's own. A pooling does not see the
          embedding; copy the embedding's table into ``language.output`` to start from it.
        - The variant without a masked language head needs token ids, which ``Hidden`` has not.
    """

    def __init__(
        self, width: int, vocab_size: int, *, lexical_dim: int = 640, semantic_dim: int = 128,
        full: bool = True, activation: str = "gelu", norm_eps: float = 1e-12,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        sizes = (("width", width), ("vocab_size", vocab_size), ("lexical_dim", lexical_dim))
        for name, size in sizes:
            if size < 1:
                raise ValueError(f"{name}={size}; use 1 or more")
        if semantic_dim < 0:
            raise ValueError(f"semantic_dim={semantic_dim}; use 1 or more, or 0 for none")
        options: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.lexical_dim, self.full = lexical_dim, full
        self.language = MaskedLanguageHead(
            width, vocab_size, tied=False, activation=activation, norm_eps=norm_eps, **options
        )
        self.term_weight = linear(width, 1, axes=("embed", None), use_bias=True, **options)
        self.semantic = (
            linear(width, semantic_dim, axes=("embed", None), use_bias=True, **options)
            if semantic_dim
            else None
        )

    def __call__(self, hidden: Hidden, spans: Spans | None = None) -> Vectors:
        """Pools each text ``[B, E]``, or each of its spans ``[B, S, E]``; float32."""
        mask = pooling_mask(hidden, spans)
        is_single = mask.ndim == 2
        masks = mask[:, None] if is_single else mask
        first = masks & (jnp.cumsum(masks, axis=-1) == 1)
        lexical = self._lexical(hidden.states, masks & ~first)
        parts = [aggregate(lexical, self.lexical_dim, full=self.full)]
        if self.semantic is not None:
            token = masked_sum(hidden.states, first).astype(hidden.states.dtype)
            mapped = self.semantic(token).astype(jnp.float32)
            parts.append(jnp.where(first.any(axis=-1, keepdims=True), mapped, 0))
        vectors = jnp.concatenate(parts, axis=-1)
        return vectors[:, 0] if is_single else vectors

    def _lexical(
        self, states: Float[Array, "B L D"], masks: Bool[Array, "B S L"]
    ) -> Float[Array, "B S V"]:
        """The largest weighted probability of every token of the vocabulary, at least 0."""
        rows, count, length = masks.shape
        graph, arrays = nnx.split(self.language)
        size = self.language.output.kernel.shape[-1]  # type: ignore[union-attr]
        chunk = max(1, min(length, _CELLS // (rows * count * size)))
        steps = -(-length // chunk)
        extra = steps * chunk - length
        # Whole chunks of tokens, so that [B, L, V] never exists at once.
        weights = self.term_weight(states).astype(jnp.float32)
        tokens, weights = (
            jnp.moveaxis(
                jnp.pad(x, ((0, 0), (0, extra), (0, 0))).reshape(rows, steps, chunk, -1), 1, 0
            )
            for x in (states, weights)
        )
        seen = jnp.pad(masks, ((0, 0), (0, 0), (0, extra)))
        seen = jnp.moveaxis(seen.reshape(rows, count, steps, chunk), 2, 0)

        @jax.checkpoint
        def step(
            best: Float[Array, "B S V"], part: tuple[Array, ...]
        ) -> tuple[Float[Array, "B S V"], None]:
            scores = nnx.merge(graph, arrays)(part[0])
            weighted = jax.nn.softmax(scores, axis=-1) * part[1]
            weighted = jnp.where(part[2][..., None], weighted[:, None], 0)
            return jnp.maximum(best, weighted.max(axis=2)), None

        start = jnp.zeros((rows, count, size), jnp.float32)
        return jax.lax.scan(step, start, (tokens, weights, seen))[0]


def aggregate(
    lexical: Float[Array, "*B V"], width: int, *, full: bool = True
) -> Float[Array, "*B E"]:
    """Folds scores of V tokens into few numbers without parameters (section 3.2 of the paper).

    The vocabulary is cut into slices of 2E (full) or E tokens; ``a`` is the maximum over slices.
    Plain folding returns ``a``. Full folding pairs neighbors ``x = a_0, a_2, ...`` and
    ``y = a_1, a_3, ...`` and returns ``x`` where ``x > y`` and ``-y`` elsewhere.

    What is left over by whole slices is dropped at the start of the vocabulary, where BERT has
    tokens that stand for no word; where that would be more than 1,000 tokens, zeros are added at
    the end instead. (The code adds none in plain folding, and fails there.)

    Args:
        lexical: scores of all tokens.
        width: E.
        full: signed, from twice as many slots.
    """
    slots = 2 * width if full else width
    surplus = lexical.shape[-1] % slots
    if surplus > _UNUSED_ROWS or surplus == lexical.shape[-1]:
        lexical = jnp.concatenate(
            [lexical, jnp.zeros((*lexical.shape[:-1], slots - surplus), lexical.dtype)], axis=-1
        )
    else:
        lexical = lexical[..., surplus:]
    top = lexical.reshape(*lexical.shape[:-1], -1, slots).max(axis=-2)
    if not full:
        return top
    x, y = top[..., 0::2], top[..., 1::2]
    return jnp.where(x > y, x, -y)
