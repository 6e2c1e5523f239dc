"""Documents in two steps: vectors of segments, and an encoder that relates these."""

from typing import Any

import jax
from flax import nnx

from textzoo.modules.encoders.windowed import windows_of
from textzoo.modules.pooling.basic import MeanPooling
from textzoo.modules.types import Hidden
from textzoo.modules.windows import check_windows


class HierarchicalEncoder(nnx.Module):
    """Segments are encoded and pooled by themselves; then an encoder relates their vectors.

    ``s_k = pool(segment_encoder(x[k stride : k stride + window]))``, ``h = top_encoder(s)``. It
    returns one state for each segment of a document, and poolings behind it pool segments. With a
    transformer below and an LSTM or a transformer above, this is RoBERT or ToBERT (Pappagari et
    al. 2019, "Hierarchical Transformers for Long Document Classification", arXiv 1910.10781); with
    a ``NextLevelEncoder`` above, NextLevelBERT.

    Args:
        segment_encoder: a part that relates the tokens of a segment.
        top_encoder: a part that relates segments; its ``width`` is that of their vectors.
        window: tokens of a segment.
        stride: tokens from the beginning of one segment to that of the next; ``None``: a window,
            so that segments do not overlap.
        segment_pooling: a part that pools the tokens of a segment; ``None``: their mean.
        freeze_segments: whether gradients end at the vectors of segments, as when the top is
            trained over vectors that were computed before.

    Notes:
        RoBERT and ToBERT put ``[CLS]`` and ``[SEP]`` around every segment and take what the pooler
        makes of ``[CLS]``; here, segments are cut from the embedded document, whose special tokens
        stand at its ends only. So segments are pooled by their mean, unless told otherwise. The
        paper trains in two steps: the segment encoder on segments that have the label of their
        document, then the top over frozen vectors; those of a frozen encoder are without noise only
        if its dropout is 0.
    """

    def __init__(
        self, segment_encoder: Any, top_encoder: Any, *, window: int, stride: int | None = None,
        segment_pooling: Any = None, freeze_segments: bool = False,
    ) -> None:  # fmt: skip
        stride = window if stride is None else stride
        check_windows(window, stride)
        inner = getattr(segment_encoder, "max_length", None)
        if inner is not None and inner < window:
            raise ValueError(
                f"window={window}, but the segment encoder takes at most {inner} tokens; use "
                f"window={inner}, or build it with max_length={window}"
            )
        self.segment_encoder = segment_encoder
        self.segment_pooling = MeanPooling() if segment_pooling is None else segment_pooling
        self.top_encoder = top_encoder
        self.window = window
        self.stride = stride
        self.freeze_segments = freeze_segments

    def __call__(
        self,
        hidden: Hidden,
        *,
        return_layers: bool = False,
        return_attention_diagonal: bool = False,
        rngs: nnx.Rngs | None = None,
    ) -> Hidden:
        """Returns a state for each segment.

        Args:
            hidden: what the embedding returned.
            return_layers: also return the layers of the top encoder.
            return_attention_diagonal: the same of each segment's attention to itself.
            rngs: for dropout.

        Raises:
            ValueError: rows are packed, or bring positions.
        """
        return self.top_encoder(
            self.segments(hidden, rngs=rngs), return_layers=return_layers,
            return_attention_diagonal=return_attention_diagonal, rngs=rngs,
        )  # fmt: skip

    def segments(self, hidden: Hidden, *, rngs: nnx.Rngs | None = None) -> Hidden:
        """The vectors of segments, as the top encoder reads them.

        Args:
            hidden: what the embedding returned.
            rngs: for dropout.
        """
        windows = windows_of(hidden, self.window, self.stride)
        pooling = self.segment_pooling
        out = self.segment_encoder(
            windows, return_layers=getattr(pooling, "needs_layers", False),
            return_attention_diagonal=getattr(pooling, "needs_attention_diagonal", False),
            rngs=rngs,
        )  # fmt: skip
        vectors = pooling(out).astype(out.states.dtype)
        if self.freeze_segments:
            vectors = jax.lax.stop_gradient(vectors)
        mask = windows.mask.any(axis=1).reshape(hidden.mask.shape[0], -1)
        return Hidden(states=vectors.reshape(*mask.shape, -1), mask=mask)
