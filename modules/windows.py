"""Long texts in windows that overlap: cutting them, and putting their tokens together again."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

MERGES = ("center", "first", "mean")


def check_windows(window: int, stride: int) -> None:
    """Raises ``ValueError`` unless windows of that size cover every token."""
    if window < 1:
        raise ValueError(f"window={window}; use 1 or more tokens")
    if not 1 <= stride <= window:
        raise ValueError(
            f"stride={stride} with window={window}; use 1 to {window}, so that windows leave no "
            "token out"
        )


def count_windows(length: int, window: int, stride: int) -> int:
    """How many windows, each ``stride`` tokens after the one before, a text needs."""
    return 1 + max(0, -(-(length - window) // stride))


def cut_windows(
    x: Shaped[Array, "B L ..."], window: int, stride: int
) -> Shaped[Array, "B S W ..."]:
    """The windows of every row; beyond its end stand zeros."""
    count = count_windows(x.shape[1], window, stride)
    places = jnp.arange(count)[:, None] * stride + jnp.arange(window)
    extra = (count - 1) * stride + window - x.shape[1]
    padded = jnp.pad(x, ((0, 0), (0, max(0, extra)), *((0, 0),) * (x.ndim - 2)))
    return padded[:, places]


def needed_windows(mask: Bool[Array, "B L"], window: int, stride: int) -> Bool[Array, "B S"]:
    """Which windows a text needs: as many as if its row ended with its last real token.

    The windows behind them hold nothing, or nothing but the end of the last one again.
    """
    lengths = _lengths(mask)
    starts = jnp.arange(count_windows(mask.shape[1], window, stride)) * stride
    # The window before reaches up to start - stride + window.
    reached = starts - stride + window
    return jnp.where(starts == 0, lengths[:, None] > 0, lengths[:, None] > reached)


def choose_windows(
    mask: Bool[Array, "B L"], window: int, stride: int, rule: str = "center"
) -> Int[Array, "B L"]:
    """The window each token is taken from.

    Args:
        mask: True where a token is real.
        window: as in :func:`cut_windows`.
        stride: as in :func:`cut_windows`.
        rule: ``"center"``: where the token stands farthest from the nearer end of the window, the
            earlier one of two that are equal (BERT's "maximum context" for questions on long
            documents, Devlin et al. 2019, ``run_squad``).
            ``"first"``: the earliest window that has the token (late chunking, Guenther et al.
            2024).
    """
    place = jnp.arange(mask.shape[1])
    # Earliest first, so that it wins among equals.
    candidates = _candidates(mask, window, stride)
    start = candidates * stride
    offset = place[:, None] - start
    # That the last window ends with its text makes no difference: whatever it shares with the one
    # before is farther from that end than from the other's.
    distance = jnp.minimum(offset, window - 1 - offset)
    possible = _holds(mask, candidates, window, stride)
    if rule == "first":
        distance = jnp.zeros_like(distance)
    best = jnp.where(possible, distance, -1).argmax(axis=-1)
    chosen = jnp.take_along_axis(jnp.broadcast_to(candidates, possible.shape), best[..., None], 2)
    return jnp.maximum(chosen[..., 0], 0)


def merge_windows(
    x: Float[Array, "B S W D"], mask: Bool[Array, "B L"], stride: int, rule: str = "center"
) -> Float[Array, "B L D"]:
    """One vector for each token, from those that the windows have of it; zero for padding.

    Args:
        x: states of the tokens of every window.
        mask: of the rows that the windows were cut from.
        stride: as in :func:`cut_windows`.
        rule: one of :data:`MERGES`: a rule of :func:`choose_windows`, or ``"mean"``: the mean of
            all windows that have the token.
    """
    window = x.shape[2]
    flat = x.reshape(x.shape[0], -1, x.shape[3])
    place = jnp.arange(mask.shape[1])
    if rule != "mean":
        chosen = choose_windows(mask, window, stride, rule)
        index = chosen * window + place - chosen * stride
        states = jnp.take_along_axis(flat, index[..., None], axis=1)
        return jnp.where(mask[..., None], states, 0)
    candidates = _candidates(mask, window, stride)
    holds = _holds(mask, candidates, window, stride)
    total = jnp.zeros((*mask.shape, x.shape[3]), jnp.float32)
    for number in range(candidates.shape[1]):
        window_of = jnp.maximum(candidates[:, number], 0)
        index = jnp.clip(window_of * window + place - window_of * stride, 0, flat.shape[1] - 1)
        total = total + jnp.where(holds[..., number, None], flat[:, index].astype(jnp.float32), 0)
    count = jnp.maximum(holds.sum(axis=-1, keepdims=True), 1)
    return jnp.where(mask[..., None], total / count, 0).astype(x.dtype)


def _lengths(mask: Bool[Array, "B L"]) -> Int[Array, "B"]:
    return jnp.where(mask, jnp.arange(1, mask.shape[1] + 1), 0).max(axis=1)


def _candidates(mask: Bool[Array, "B L"], window: int, stride: int) -> Int[Array, "L N"]:
    """Numbers of the windows that may hold each token, from the earliest to the latest."""
    latest = jnp.arange(mask.shape[1]) // stride
    return latest[:, None] - jnp.arange(-(-window // stride))[::-1]


def _holds(
    mask: Bool[Array, "B L"], candidates: Int[Array, "L N"], window: int, stride: int
) -> Bool[Array, "B L N"]:
    """Which of the candidates exist, are needed, and reach as far as the token."""
    needed = needed_windows(mask, window, stride)
    known = (candidates >= 0) & (candidates < needed.shape[1])
    reach = jnp.arange(mask.shape[1])[:, None] - candidates * stride < window
    return needed[:, jnp.clip(candidates, 0, needed.shape[1] - 1)] & known & reach
