"""Embeddings made of embeddings: sums, concatenations and gates."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from textzoo.modules.embeddings.rows import product
from textzoo.modules.parameters import DtypeName, as_dtype, linear, logical_axes
from textzoo.modules.types import Hidden, TextBatch

Attend = Callable[..., Array]


class SumEmbedding(nnx.Module):
    """``e_t = sum_i a_i e_t^(i)``.

    Args:
        parts: embeddings of the same width, such as a table of subwords and one of hashed n-grams.
        learn_scales: whether the ``a_i`` are trained; otherwise they are one.
        param_dtype: storage type of the ``a_i``.

    Example:
        >>> from flax import nnx
        >>> from textzoo.modules import SubwordEmbedding
        >>> parts = [SubwordEmbedding(100, 8, rngs=nnx.Rngs(seed)) for seed in (0, 1)]
        >>> SumEmbedding(parts).width
        8
    """

    def __init__(
        self, parts: Sequence[Any], *, learn_scales: bool = False, param_dtype: str = "float32"
    ) -> None:
        self.width = common_width(parts, "SumEmbedding")
        self.parts = nnx.List(parts)
        self.scales = (
            nnx.Param(jnp.ones(len(parts), as_dtype(param_dtype)), **logical_axes(None))
            if learn_scales
            else None
        )

    def __call__(self, batch: TextBatch) -> Hidden:
        """Adds up what the parts return."""
        first, *others = states_of(self.parts, [batch] * len(self.parts))
        total = self._scaled(first.states, 0)
        for index, hidden in enumerate(others, start=1):
            total = total + self._scaled(hidden.states, index)
        return first.replace(states=total)

    @property
    def vocab_size(self) -> int:
        """V of the parts that have one, if it is the same."""
        sizes = {part.vocab_size for part in self.parts if hasattr(part, "vocab_size")}
        if len(sizes) != 1:
            # For whoever asks hasattr, this is a class without the attribute.
            raise AttributeError(f"the parts have the vocabularies {sorted(sizes)}, not one")
        return int(sizes.pop())

    @property
    def attend(self) -> Attend:
        """Scores every token, as its vector would; only where all parts can."""
        scorers = scorers_of(self.parts)

        def attend(states: Float[Array, "*B D"], *, dtype: Any = jnp.float32) -> Array:
            scores = [
                self._scaled(score(states, dtype=dtype), index)
                for index, score in enumerate(scorers)
            ]
            return sum(scores[1:], start=scores[0])

        return attend

    def _scaled(self, x: Float[Array, "..."], index: int) -> Float[Array, "..."]:
        return x if self.scales is None else x * self.scales[index].astype(x.dtype)


class ConcatenateEmbedding(nnx.Module):
    """``e_t = [e_t^(1); ...; e_t^(n)]``, or a linear map of that.

    Args:
        parts: embeddings of any widths.
        width: D of the map; ``None`` for no map, and then D is the sum of the widths.
        dtype, param_dtype: computation and storage types of the map.
        rngs: source of its initial values.

    Example:
        >>> from flax import nnx
        >>> from textzoo.modules import SubwordEmbedding
        >>> parts = [SubwordEmbedding(100, width, rngs=nnx.Rngs(0)) for width in (8, 2)]
        >>> ConcatenateEmbedding(parts, rngs=nnx.Rngs(0)).width
        10
    """

    def __init__(
        self, parts: Sequence[Any], *, width: int | None = None,
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        self.widths = tuple(_widths(parts, "ConcatenateEmbedding"))
        self.width = sum(self.widths) if width is None else width
        self.parts = nnx.List(parts)
        self.projection = (
            None
            if width is None
            else linear(
                sum(self.widths), width, axes=(None, "embed"), use_bias=False, dtype=dtype,
                param_dtype=param_dtype, rngs=rngs,
            )
        )  # fmt: skip

    def __call__(self, batch: TextBatch) -> Hidden:
        """Puts what the parts return side by side."""
        found = states_of(self.parts, [batch] * len(self.parts))
        states = jnp.concatenate([hidden.states for hidden in found], axis=-1)
        return found[0].replace(
            states=states if self.projection is None else self.projection(states)
        )

    @property
    def attend(self) -> Attend:
        """Scores every token, as its vector would; only where all parts can."""
        scorers = scorers_of(self.parts)

        def attend(states: Float[Array, "*B D"], *, dtype: Any = jnp.float32) -> Array:
            states = states.astype(dtype)
            if self.projection is not None:
                kernel = self.projection.kernel[...].astype(dtype)
                states = product(states, kernel.T).astype(dtype)
            starts = [sum(self.widths[:index]) for index in range(len(self.widths))]
            scores = [
                score(states[..., start : start + width], dtype=dtype)
                for score, start, width in zip(scorers, starts, self.widths, strict=True)
            ]
            return sum(scores[1:], start=scores[0])

        return attend


class GatedEmbedding(nnx.Module):
    """``e_t = sum_i g_{t,i} e_t^(i)``: each token chooses among embeddings.

    ``g_t = softmax_i(v_i . e_t^(i) + b_i)`` with one number per embedding, the dynamic
    meta-embeddings of Kiela et al. 2018 (section 3.2, without their LSTM); or with a number for
    every feature, ``g_t = softmax_i((W [e_t^(1); ...; e_t^(n)] + b)_i)``, of which two embeddings
    make the fine-grained gate of Yang et al. 2017. The softmax is float32.

    Args:
        parts: two or more embeddings of the same width.
        gate: ``"token"`` for a number per embedding, ``"feature"`` for one per feature.
        dtype, param_dtype: computation and storage types of the gate.
        rngs: source of its initial values.

    Notes:
        There is no ``attend``: the vectors of the whole vocabulary would have to be gated anew at
        every call. Kiela et al. project all embeddings to one width first and have one ``v`` for
        all of them; here each has its own, and widths must agree. The gate of Yang et al. looks at
        other features of a token (its tags, its frequency); here it looks at the embeddings.

    Example:
        >>> from flax import nnx
        >>> from textzoo.modules import SubwordEmbedding
        >>> parts = [SubwordEmbedding(100, 8, rngs=nnx.Rngs(seed)) for seed in (0, 1)]
        >>> GatedEmbedding(parts, rngs=nnx.Rngs(2)).width
        8
    """

    def __init__(
        self, parts: Sequence[Any], *, gate: str = "token",
        dtype: DtypeName = None, param_dtype: str = "float32", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        self.width = common_width(parts, "GatedEmbedding")
        if len(parts) < 2:
            raise ValueError("a gate needs two parts to choose from; add one")
        if gate not in ("token", "feature"):
            raise ValueError(f"gate={gate!r}; use 'token' or 'feature'")
        self.parts = nnx.List(parts)
        self.gate = gate
        options: dict[str, Any] = {
            "use_bias": True, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs,
        }  # fmt: skip
        count = len(parts)
        if gate == "token":
            self.scorers = nnx.List(
                linear(self.width, 1, axes=("embed", None), **options) for _ in parts
            )
        else:
            self.scorers = nnx.List(
                [linear((count, self.width), (count, self.width),
                        axes=(None, "embed", None, None), **options)]
            )  # fmt: skip

    def __call__(self, batch: TextBatch) -> Hidden:
        """Weighs what the parts return, and adds it up."""
        found = states_of(self.parts, [batch] * len(self.parts))
        states = jnp.stack([hidden.states for hidden in found], axis=-2)  # [B, L, N, D]
        if self.gate == "token":
            scores = jnp.stack(
                [score(states[..., i, :]) for i, score in enumerate(self.scorers)], axis=-2
            )
        else:
            scores = self.scorers[0](states)
        gates = jax.nn.softmax(scores.astype(jnp.float32), axis=-2)
        total = (states * gates.astype(states.dtype)).sum(axis=-2)
        return found[0].replace(states=total)


def _widths(parts: Sequence[Any], name: str) -> list[int]:
    if isinstance(parts, str) or not isinstance(parts, Sequence) or not parts:
        raise ValueError(f"{name} needs a list of embeddings, got {parts!r:.60}")
    for index, part in enumerate(parts):
        if not isinstance(getattr(part, "width", None), int):
            raise ValueError(
                f"parts[{index}] of {name} is {type(part).__name__}, which has no width; use "
                "embeddings, which have one"
            )
    return [part.width for part in parts]


def common_width(parts: Sequence[Any], name: str) -> int:
    """The width of all parts of an embedding of that name."""
    widths = _widths(parts, name)
    if len(set(widths)) > 1:
        raise ValueError(
            f"the parts of {name} have the widths {widths}; give them one width, or use "
            "ConcatenateEmbedding"
        )
    return widths[0]


def states_of(parts: Sequence[Any], batches: Sequence[TextBatch]) -> list[Hidden]:
    """What parts return for a batch each, which must be as many states for a text."""
    found = [part(batch) for part, batch in zip(parts, batches, strict=True)]
    lengths = [hidden.states.shape[1] for hidden in found]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"the parts return {lengths} states a text; parts that shorten texts cannot stand "
            "beside others that do not"
        )
    return found


def scorers_of(parts: Sequence[Any]) -> list[Attend]:
    """``attend`` of every part; without one of them, an AttributeError."""
    for index, part in enumerate(parts):
        if not hasattr(part, "attend"):
            # For whoever asks hasattr, this is a class without the attribute.
            raise AttributeError(
                f"parts[{index}] is {type(part).__name__}, which cannot score its vocabulary"
            )
    return [part.attend for part in parts]
