"""Pictures of vectors: how alike texts are, and where they lie on a plane."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

_COLORS = ("#d1495b", "#3066be", "#2a9d5c", "#e09f1f", "#7b4ea3", "#2b9eb3", "#8c6239", "#5c677d")
_INK, _FAINT = "#22262e", "#8a919c"


def project(vectors: Float[np.ndarray, "N E"]) -> Float[np.ndarray, "N 2"]:
    """The two directions in which vectors of unit length differ most (principal components)."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    centered = (unit - unit.mean(axis=0)).astype(np.float64)
    left, sizes, directions = np.linalg.svd(centered, full_matrices=False)
    if len(sizes) < 2:
        return np.zeros((len(vectors), 2))
    # The sign of a direction is arbitrary; this makes the picture the same everywhere.
    signs = np.sign(directions[[0, 1], np.abs(directions[:2]).argmax(axis=1)])
    return left[:, :2] * sizes[:2] * signs


def neighbor_map(
    vectors: Float[np.ndarray, "N E"], *, perplexity: float = 20.0, steps: int = 400
) -> Float[np.ndarray, "N 2"]:
    """Places vectors on a plane so that neighbors stay neighbors (t-SNE).

    Exact, for up to a few thousand vectors; begins at :func:`project`, so there is no chance in
    it. Distances across the map mean little.

    Reference: van der Maaten and Hinton, 2008, Visualizing Data using t-SNE.

    Args:
        vectors: compared by their angle.
        perplexity: about how many neighbors each vector should keep.
        steps: of gradient descent.
    """
    count = len(vectors)
    start = project(vectors)
    if count < 5 or not start.any():
        return start
    wanted = _affinities(vectors, min(perplexity, (count - 1) / 3))
    places = start / start.std() * 1e-2
    speed = np.zeros_like(places)
    for step in range(steps):
        early = step < steps // 3
        closeness = 1 / (1 + _squared_distances(places))
        np.fill_diagonal(closeness, 0)
        pull = ((4.0 if early else 1.0) * wanted - closeness / closeness.sum()) * closeness
        gradient = 4 * (pull.sum(axis=1, keepdims=True) * places - pull @ places)
        speed = (0.5 if early else 0.8) * speed - count / 4 * gradient
        places = places + speed
        places -= places.mean(axis=0)
    return places


def _squared_distances(points: np.ndarray) -> np.ndarray:
    squares = (points**2).sum(axis=1)
    return np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0)


def _affinities(vectors: np.ndarray, perplexity: float) -> np.ndarray:
    """Symmetric neighbor probabilities; each width is searched to give the perplexity."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    distances = _squared_distances(unit.astype(np.float64))
    np.fill_diagonal(distances, np.inf)
    low, high = np.zeros((len(unit), 1)), np.full((len(unit), 1), 1e4)
    for _ in range(60):
        width = (low + high) / 2
        shares = np.exp(-width * (distances - distances.min(axis=1, keepdims=True)))
        shares /= shares.sum(axis=1, keepdims=True)
        entropy = -(shares * np.log(np.maximum(shares, 1e-300))).sum(axis=1, keepdims=True)
        too_wide = entropy > np.log(perplexity)
        low, high = np.where(too_wide, width, low), np.where(too_wide, high, width)
    return (shares + shares.T) / (2 * len(unit))


def draw_overview(
    path: str | Path,
    texts: Sequence[str],
    groups: Sequence[str],
    vectors: Float[np.ndarray, "N E"],
    *,
    title: str,
) -> None:
    """Draws a heat map of all similarities beside a map on which neighbors are near.

    Args:
        path: where to write; the suffix decides the format (``.png``, ``.svg``, ``.pdf``).
        texts: one per vector, best in the order of their groups.
        groups: what each text belongs to: a color on the map, a block of the heat map.
        vectors: one per text.
        title: above the picture.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Figures made without pyplot touch no global state and need no display.
    figure = Figure(figsize=(19, 9.6), facecolor="white")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.15))
    figure.subplots_adjust(left=0.185, right=0.985, top=0.88, bottom=0.045, wspace=0.07)
    figure.text(0.016, 0.955, title, fontsize=19, weight="bold", color=_INK, va="center")
    colors = dict(zip(dict.fromkeys(groups), _COLORS * len(texts), strict=False))
    _draw_similarities(left, texts, groups, vectors, colors)
    _draw_map(right, texts, groups, vectors, colors)
    figure.savefig(path, dpi=120)


def _draw_similarities(
    axes: "Axes",
    texts: Sequence[str],
    groups: Sequence[str],
    vectors: np.ndarray,
    colors: dict[str, str],
) -> None:
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    cosines = unit @ unit.T
    off_diagonal = cosines[~np.eye(len(cosines), dtype=bool)]
    top = float(np.quantile(off_diagonal, 0.995)) if off_diagonal.size else 1.0
    image = axes.imshow(cosines, cmap="YlGnBu", vmin=0, vmax=max(top, 0.1), aspect="auto")
    size = 8.5 if len(texts) <= 64 else 5.5
    axes.set_yticks(range(len(texts)), [_cut(text, 46) for text in texts], fontsize=size)
    for label, group in zip(axes.get_yticklabels(), groups, strict=True):
        label.set_color(colors[group])
    axes.tick_params(length=0)
    starts = [i for i, group in enumerate(groups) if i == 0 or group != groups[i - 1]]
    for start in starts[1:]:
        axes.axhline(start - 0.5, color="white", linewidth=2)
        axes.axvline(start - 0.5, color="white", linewidth=2)
    middles = [(a + b - 1) / 2 for a, b in zip(starts, [*starts[1:], len(texts)], strict=True)]
    axes.xaxis.tick_top()
    axes.set_xticks(middles, [groups[start] for start in starts], fontsize=11.5, weight="bold")
    for label in axes.get_xticklabels():
        label.set_color(colors[label.get_text()])
    axes.spines[:].set_visible(False)
    assert axes.figure is not None
    bar = axes.figure.colorbar(image, ax=axes, fraction=0.03, pad=0.015, extend="max")
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=8.5, labelcolor=_FAINT)
    bar.ax.set_title("cosine", fontsize=8.5, color=_FAINT)


def _draw_map(
    axes: "Axes",
    texts: Sequence[str],
    groups: Sequence[str],
    vectors: np.ndarray,
    colors: dict[str, str],
) -> None:
    points = neighbor_map(vectors)
    for group, color in colors.items():
        chosen = np.array([name == group for name in groups])
        x, y = points[chosen].T
        axes.scatter(x, y, s=46, color=color, edgecolor="white", zorder=3)
    axes.margins(0.09, 0.05)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_facecolor("#f7f8fa")
    axes.spines[:].set_visible(False)
    axes.set_title("near on this map, near in meaning (t-SNE)", fontsize=10.5, color=_FAINT, pad=8)
    labels = [
        axes.text(x, y, _cut(text, 30), fontsize=8.5, color=colors[group], zorder=4)
        for (x, y), text, group in zip(points, texts, groups, strict=True)
    ]
    _spread(axes, points, labels)


def _spread(axes: "Axes", points: np.ndarray, labels: list["Text"]) -> None:
    """Places labels beside their points, in free places as near as there are."""
    axes.get_xlim(), axes.get_ylim()  # settles the limits, which the transform needs
    to_data = axes.transData.inverted()
    dots = axes.transData.transform(points)
    frame = axes.get_window_extent()
    shifts = [
        (radius, side, 8 + 12 * (radius - abs(step)), step)
        for radius in (0, 1, 2, 3, 4, 6, 8)
        for step in range(-radius, radius + 1)
        for side in (0.0, -1.0, -0.5)
    ]
    radius, side, away, step = np.array(shifts).T
    taken = np.concatenate([dots - 6, dots + 6], axis=1)  # x0, y0, x1, y1
    # From the outside in: where it is crowded, the outer labels leave room.
    for index in np.argsort(-np.abs(dots - dots.mean(axis=0)).sum(axis=1)):
        x, y = dots[index]
        box = labels[index].get_window_extent()
        width, height = box.width + 4, box.height + 1
        x0 = x + np.where(side == 0, away, side * width - (side == -1) * away)
        y0 = y - height / 2 + step * height * 0.8
        places = np.stack([x0, y0, x0 + width, y0 + height], axis=1)
        outside = np.maximum(0, frame.x0 - x0) + np.maximum(0, x0 + width - frame.x1)
        outside += np.maximum(0, frame.y0 - y0) + np.maximum(0, y0 + height - frame.y1)
        best = places[np.argmin(radius * 6 + 40 * outside + _overlaps(places, taken))]
        taken = np.concatenate([taken, best[None]])
        labels[index].set_position(tuple(to_data.transform((best[0], best[1] + height * 0.25))))
        end = np.clip(x, best[0], best[2]), np.clip(y, best[1], best[3])
        if np.hypot(end[0] - x, end[1] - y) > 14:
            line = to_data.transform([(x, y), end])
            axes.plot(*line.T, color=labels[index].get_color(), linewidth=0.6, alpha=0.5, zorder=2)


def _overlaps(places: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Area that each place shares with all taken ones."""
    low = np.maximum(places[:, None, :2], taken[None, :, :2])
    high = np.minimum(places[:, None, 2:], taken[None, :, 2:])
    return np.prod(np.maximum(high - low, 0), axis=2).sum(axis=1)


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return text[: limit - 1].rsplit(" ", 1)[0].rstrip(",;") + " …"
