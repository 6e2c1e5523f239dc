"""A picture of noise curves: what is left of a score as texts get more mistakes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from textzoo.evaluation.noise import NoiseCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

_COLORS = ("#3066be", "#d1495b", "#2a9d5c", "#e09f1f", "#7b4ea3", "#2b9eb3", "#8c6239", "#5c677d")
Style = Literal["-", "--"]
_INK, _FAINT, _PANEL = "#22262e", "#8a919c", "#f7f8fa"
_MEASURES = {
    "spearman": "Spearman x 100",
    "ndcg_at_10": "nDCG@10, %",
    "accuracy": "accuracy, %",
}


def draw_noise_curves(
    path: str | Path, curves: Mapping[str, Mapping[str, NoiseCurve]], *, title: str
) -> None:
    """Draws a panel per task; solid lines are mistakes on both sides, dashed ones on one.

    Args:
        path: where to write; the suffix decides the format (``.png``, ``.svg``, ``.pdf``).
        curves: by task, then by model. With several models a color is a model and noise, with one
            it is a noise.
        title: above the picture.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Figures made without pyplot touch no global state and need no display.
    figure = Figure(figsize=(1.2 + 4.6 * len(curves), 5.2), facecolor="white")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(curves), squeeze=False)[0]
    figure.suptitle(title, x=0.02, y=0.97, ha="left", fontsize=14, weight="bold", color=_INK)
    models = len({model for by_model in curves.values() for model in by_model})
    names = [
        _label(model, point.noise, models)
        for by_model in curves.values()
        for model, curve in by_model.items()
        for point in curve.points[1:]
    ]
    colors = dict(zip(dict.fromkeys(names), _COLORS * len(names), strict=False))
    styles: dict[str, Style] = {}
    for axes, (task, by_model) in zip(panels, curves.items(), strict=True):
        for model, curve in by_model.items():
            _draw_curve(axes, model, curve, models, colors, styles)
        _finish(axes, task, list(by_model.values()))
    handles = [_handle(color, "-") for color in colors.values()]
    labels = list(colors)
    for side, style in styles.items():
        handles.append(_handle(_INK, style))
        labels.append(f"mistakes on {side} side{'s' * (side == 'two')}")
    columns = min(len(labels), max(2, 2 * len(curves)))
    figure.legend(
        handles, labels, loc="lower center", ncols=columns, frameon=False, fontsize=9.5,
        labelcolor=_INK,
    )  # fmt: skip
    rows = -(-len(labels) // columns)
    figure.subplots_adjust(
        left=0.75 / (1.2 + 4.6 * len(curves)), right=0.985, top=0.85, bottom=0.13 + 0.045 * rows,
        wspace=0.2,
    )  # fmt: skip
    figure.savefig(path, dpi=120)


def _draw_curve(
    axes: "Axes", model: str, curve: NoiseCurve, models: int, colors: Mapping[str, str],
    styles: dict[str, Style],
) -> None:  # fmt: skip
    lines = dict.fromkeys((point.noise, point.sides) for point in curve.points[1:])
    for noise, sides in lines:
        points = [curve.points[0]] + [
            point for point in curve.points if (point.noise, point.sides) == (noise, sides)
        ]
        style = styles.setdefault(sides, "-" if sides == "two" else "--")
        color = colors[_label(model, noise, models)]
        rates = [100 * point.rate for point in points]
        axes.plot(
            rates, [100 * point.score for point in points], style, color=color, marker="o",
            markersize=5, linewidth=1.8,
        )  # fmt: skip
        low, high = ([100 * point.interval[end] for point in points] for end in (0, 1))
        if sides == "two" or len(lines) == 1:
            axes.fill_between(rates, low, high, color=color, alpha=0.1, linewidth=0)


def _finish(axes: "Axes", task: str, curves: Sequence[NoiseCurve]) -> None:
    measure = curves[0].measure
    rates = sorted({100 * point.rate for curve in curves for point in curve.points})
    axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
    axes.set_title(task, loc="left", fontsize=11.5, color=_INK)
    axes.set_xlabel("characters (misspellings: words) changed, %", color=_FAINT, fontsize=9.5)
    axes.set_ylabel(_MEASURES.get(measure, measure), color=_FAINT, fontsize=9.5)
    axes.set_facecolor(_PANEL)
    axes.spines[:].set_visible(False)
    axes.grid(axis="y", color="white", linewidth=1.6)
    axes.tick_params(length=0, labelcolor=_INK)


def _label(model: str, noise: str, models: int) -> str:
    return f"{model}, {noise}" if models > 1 else noise


def _handle(color: str, style: Style) -> "Line2D":
    from matplotlib.lines import Line2D

    return Line2D([], [], color=color, linestyle=style, linewidth=1.8)
