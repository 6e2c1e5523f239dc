"""A picture of a training run, drawn from its metrics file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from textzoo.errors import DataError
from textzoo.trainers.metrics import read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TRAIN, _EVALUATION, _RATE = "#3066be", "#d1495b", "#e09f1f"
_COLORS = ("#2a9d5c", "#7b4ea3", "#2b9eb3", "#8c6239", "#5c677d")
_LABEL_PIXELS = 34  # height of a label of two lines, at 100 dots per inch
_INK, _FAINT, _PANEL = "#22262e", "#8a919c", "#f7f8fa"


def smooth(values: Float[np.ndarray, "N"], half_life: float) -> Float[np.ndarray, "N"]:
    """Exponentially weighted means of what came before; NaN counts for nothing.

    Args:
        values: in the order of time.
        half_life: after so many values, one counts half.
    """
    decay = 0.5 ** (1 / half_life)
    total = weight = 0.0
    means = np.full(len(values), np.nan)
    for index, value in enumerate(values):
        total, weight = total * decay, weight * decay
        if not np.isnan(value):
            total, weight = total + value, weight + 1
        if weight > 0:
            means[index] = total / weight
    return means


def draw_training(path: str | Path, metrics: str | Path, *, title: str = "") -> None:
    """Draws the loss as it was logged and smoothed, evaluations, and the learning rate.

    Args:
        path: where to write; the suffix decides the format (``.png``, ``.svg``, ``.pdf``).
        metrics: the JSONL file of a run; see :mod:`textzoo.trainers.metrics`.
        title: above the picture.

    Raises:
        DataError: the file has no line about training.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = read_metrics(metrics)
    steps, losses = _series(lines, "loss")
    if not len(steps):
        raise DataError(f"{metrics} has no line with a loss; nothing to draw")
    rates = _series(lines, "learning_rate")
    scores = _evaluations(lines)
    evaluated = scores.pop("loss", None)
    heights = [3.0] + [1.5] * bool(scores) + [0.8] * bool(len(rates[0]))

    # Figures made without pyplot touch no global state and need no display.
    figure = Figure(figsize=(11, 1.2 + 1.45 * sum(heights)), facecolor="white")
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(len(heights), 1, sharex=True, height_ratios=heights,
                                  squeeze=False)[:, 0])  # fmt: skip
    figure.suptitle(title, x=0.07, y=0.985, ha="left", fontsize=15, weight="bold", color=_INK)
    figure.subplots_adjust(left=0.07, right=0.86, top=0.93, bottom=0.09, hspace=0.16)
    _draw_loss(panels[0], steps, losses, evaluated)
    if scores:
        _draw_scores(panels[1], scores)
    if len(rates[0]):
        panels[-1].plot(*rates, color=_RATE, linewidth=1.8)
        panels[-1].set_ylim(bottom=0)
        _name_ends(panels[-1], [("learning rate", rates[1], _RATE)])
        panels[-1].ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    for panel in panels:
        _clean(panel)
    panels[-1].set_xlabel("step", color=_FAINT)
    figure.savefig(path, dpi=120)


def _draw_loss(
    axes: "Axes", steps: np.ndarray, losses: np.ndarray,
    evaluated: tuple[np.ndarray, np.ndarray] | None,
) -> None:  # fmt: skip
    smoothed = smooth(losses, max(1.0, len(losses) / 40))
    axes.plot(steps, losses, color=_TRAIN, alpha=0.25, linewidth=1.0)
    axes.plot(steps, smoothed, color=_TRAIN, linewidth=2.2)
    names = [("training loss", smoothed, _TRAIN)]
    shown = [losses[~np.isnan(losses)]]
    if evaluated is not None:
        axes.plot(*evaluated, "o-", color=_EVALUATION, markersize=6, markeredgecolor="white",
                  linewidth=1.4)  # fmt: skip
        names.append(("evaluation loss", evaluated[1], _EVALUATION))
        shown.append(evaluated[1])
    values = np.concatenate(shown)
    if len(values) > 20:
        # The first steps are often far above all others, which would be a flat line.
        low, high = values.min(), max(np.quantile(values, 0.985), smoothed[~np.isnan(smoothed)][-1])
        margin = 0.06 * (high - low) or 1.0
        axes.set_ylim(low - margin, high + margin)
    _name_ends(axes, names)


def _draw_scores(axes: "Axes", scores: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    colors = dict(zip(scores, _COLORS * len(scores), strict=False))
    for name, series in scores.items():
        axes.plot(*series, "o-", color=colors[name], markersize=5, markeredgecolor="white",
                  linewidth=1.4)  # fmt: skip
    _name_ends(axes, [(name, values, colors[name]) for name, (_, values) in scores.items()])


def _name_ends(axes: "Axes", lines: Sequence[tuple[str, np.ndarray, str]]) -> None:
    """Writes names, and last values, beside the ends of lines instead of a legend.

    Args:
        axes: whose limits are settled.
        lines: name, values and color of each.
    """
    low, high = axes.get_ylim()
    height = axes.get_window_extent().height
    ends = []
    for name, values, color in lines:
        real = values[~np.isnan(values)]
        if len(real):
            place = float(np.clip((real[-1] - low) / (high - low), 0, 1)) * height
            ends.append((place, f"{name}\n{real[-1]:.4g}", color))
    ends.sort(key=lambda end: end[0])
    places = spread([place for place, _, _ in ends], gap=_LABEL_PIXELS, size=height)
    for place, (_, text, color) in zip(places, ends, strict=True):
        axes.annotate(
            text, (1, place / height), xycoords="axes fraction", xytext=(6, 0),
            textcoords="offset points", va="center", fontsize=9.5, color=color,
            annotation_clip=False,
        )  # fmt: skip


def spread(places: Sequence[float], *, gap: float, size: float) -> list[float]:
    """Moves sorted places apart, as little as needed, into a panel if they fit.

    Args:
        places: from the bottom up.
        gap: least distance of neighbors; half of it from the edges.
        size: height of the panel.
    """
    moved: list[float] = []
    for index, place in enumerate(places):
        lowest = moved[-1] + gap if moved else gap / 2
        highest = size - gap / 2 - gap * (len(places) - 1 - index)
        moved.append(max(lowest, min(place, highest)))
    return moved


def _clean(axes: "Axes") -> None:
    axes.set_facecolor(_PANEL)
    axes.spines[:].set_visible(False)
    axes.grid(axis="y", color="white", linewidth=1.6)
    axes.tick_params(length=0, labelsize=9.5, labelcolor=_FAINT)
    axes.yaxis.get_offset_text().set(color=_FAINT, fontsize=8.5)
    axes.margins(x=0.01)


def _series(lines: Sequence[Mapping[str, Any]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of the lines that have ``name``; ``null`` is NaN."""
    found = [(line["step"], line[name]) for line in lines if name in line]
    steps = np.array([step for step, _ in found], np.float64)
    return steps, np.array([np.nan if v is None else v for _, v in found], np.float64)


def _evaluations(
    lines: Sequence[Mapping[str, Any]],
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    flat = [{"step": line["step"], **line["evaluation"]} for line in lines if "evaluation" in line]
    names = dict.fromkeys(name for line in flat for name in line if name != "step")
    found = {name: _series(flat, name) for name in names}
    return {n: series for n, series in found.items() if not np.isnan(series[1]).all()}
