"""An encoder of short texts over long ones, in windows that overlap."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool

from textzoo.modules.partitioning import keep_rows_apart
from textzoo.modules.types import Hidden
from textzoo.modules.windows import (
    MERGES,
    check_windows,
    cut_windows,
    merge_windows,
    needed_windows,
)


class WindowedEncoder(nnx.Module):
    """Reads a document of any length in windows, and returns one state for each of its tokens.

    Windows begin every ``stride`` tokens. Each is read by the encoder inside as if it were a text
    by itself, its positions counted from zero; then every token gets the state it has in one of
    the windows that hold it, or the mean of them. Spans pooled from these states are late chunks
    (Guenther et al. 2024, "Late Chunking: Contextual Chunk Embeddings Using Long-Context Embedding
    Models", section 3.2): their tokens know what stands around them, up to the ends of a window.
    A text that fits into one window is read as without windows.

    Args:
        encoder: a part that relates tokens, such as ``Part("TransformerEncoder", ...)``, and
            returns as many states as it is given.
        window: tokens of a window; at most what the encoder inside takes.
        stride: tokens from the beginning of one window to that of the next; ``None``: half of a
            window.
        merge: whose state a token gets. ``"center"``: of the window in which it stands farthest
            from the nearer end, the earlier one of two that are equal; ``"first"``: of the
            earliest window, as in long late chunking; ``"mean"``: the mean of all.

    Notes:
        Special tokens stand at the ends of the document only, not of every window. Which windows a
        text has follows from its last real token, so that padding makes no difference.
    """

    def __init__(
        self, encoder: Any, *, window: int, stride: int | None = None, merge: str = "center"
    ) -> None:
        stride = max(1, window // 2) if stride is None else stride
        check_windows(window, stride)
        if merge not in MERGES:
            raise ValueError(f"merge={merge!r} is unknown; use one of {', '.join(MERGES)}")
        inner = getattr(encoder, "max_length", None)
        if inner is not None and inner < window:
            raise ValueError(
                f"window={window}, but the encoder inside takes at most {inner} tokens; use "
                f"window={inner}, or build it with max_length={window}"
            )
        self.encoder = encoder
        self.window = window
        self.stride = stride
        self.merge = merge

    def __call__(
        self,
        hidden: Hidden,
        *,
        return_layers: bool = False,
        return_attention_diagonal: bool = False,
        rngs: nnx.Rngs | None = None,
    ) -> Hidden:
        """Relates the tokens of each window to one another.

        Args:
            hidden: what the embedding returned.
            return_layers: also return the layers of the encoder inside, merged like its states.
            return_attention_diagonal: the same of each token's attention to itself.
            rngs: for dropout.

        Raises:
            ValueError: rows are packed, or bring positions.
        """
        windows = windows_of(hidden, self.window, self.stride)
        out = self.encoder(
            windows, return_layers=return_layers,
            return_attention_diagonal=return_attention_diagonal, rngs=rngs,
        )  # fmt: skip
        if out.states.shape[:2] != windows.states.shape[:2]:
            raise ValueError(
                f"the encoder inside returned {out.states.shape[1]} states for the {self.window} "
                "tokens of a window; use one that returns a state for each token"
            )
        diagonal = out.attention_diagonal
        if diagonal is not None:
            flat = jnp.moveaxis(diagonal, 3, 1).reshape(*out.states.shape[:2], -1)
            merged = self._merge(flat, hidden.mask)
            merged = merged.reshape(*hidden.mask.shape, *diagonal.shape[1:3])
            diagonal = jnp.moveaxis(merged, 1, 3)
        return hidden.replace(
            states=keep_rows_apart(self._merge(out.states, hidden.mask)),
            layers=None if out.layers is None else tuple(
                self._merge(layer, hidden.mask) for layer in out.layers
            ),
            attention_diagonal=diagonal,
        )  # fmt: skip

    def _merge(self, x: Array, mask: Bool[Array, "B L"]) -> Array:
        by_row = x.reshape(mask.shape[0], -1, self.window, x.shape[-1])
        return merge_windows(by_row, mask, self.stride, self.merge)


def windows_of(hidden: Hidden, window: int, stride: int) -> Hidden:
    """All windows of all texts as texts of their own, ``[B S, W, D]``.

    Raises:
        ValueError: rows are packed, or bring positions.
    """
    if hidden.segment_ids is not None:
        raise ValueError(
            "windows are cut from documents of one row each, and these rows hold several texts; "
            "give it one text to a row"
        )
    if hidden.positions is not None:
        raise ValueError(
            "positions are counted anew in every window, and the batch brings some; leave "
            "TextBatch.positions out"
        )

    def flat(x: Array) -> Array:
        cut = cut_windows(x, window, stride)
        return keep_rows_apart(cut.reshape(-1, *cut.shape[2:]))

    needed = needed_windows(hidden.mask, window, stride).reshape(-1, 1)
    return Hidden(
        states=flat(hidden.states),
        mask=flat(hidden.mask) & needed,
        type_ids=None if hidden.type_ids is None else flat(hidden.type_ids),
    )
