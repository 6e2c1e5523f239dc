"""A picture of a comparison: every run, and the mean of each contestant."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from textzoo.recipes.comparison import RunScore, Summary

_COLORS = ("#3066be", "#d1495b", "#2a9d5c", "#e09f1f", "#7b4ea3")
_INK, _FAINT, _PANEL = "#22262e", "#8a919c", "#f7f8fa"


def draw_comparison(
    path: str | Path, summaries: Sequence[Summary], scores: Sequence[RunScore], *,
    groups: Mapping[str, str], title: str, references: Mapping[str, float] | None = None,
) -> None:  # fmt: skip
    """Draws test accuracies, a line per contestant.

    Args:
        path: where to write; the suffix decides the format (``.png``, ``.svg``, ``.pdf``).
        summaries: of the contestants, drawn from the top down.
        scores: of their runs; those at the chosen rate are drawn.
        groups: of contestants by name; a group has a color.
        title: above the picture.
        references: accuracies of others by name, drawn as vertical lines.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Figures made without pyplot touch no global state and need no display.
    figure = Figure(figsize=(10, 1.9 + 0.42 * len(summaries)), facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    figure.subplots_adjust(left=0.25, right=0.86, top=0.84, bottom=0.15)
    figure.suptitle(title, x=0.03, y=0.97, ha="left", fontsize=14, weight="bold", color=_INK)
    names = dict.fromkeys(groups.get(s.contestant, "") for s in summaries)
    colors = dict(zip(names, _COLORS * len(summaries), strict=False))
    for line, summary in enumerate(summaries):
        color = colors[groups.get(summary.contestant, "")]
        chosen = (summary.contestant, summary.rate)
        found = [100 * score.test for score in scores if (score.contestant, score.rate) == chosen]
        axes.plot([min(found), max(found)], [line, line], color=color, alpha=0.35, linewidth=3)
        axes.plot(found, [line] * len(found), "o", color=color, alpha=0.55, markersize=5)
        axes.plot(100 * summary.test, line, "D", color=color, markersize=8, markeredgecolor="white")
        axes.annotate(
            f"{100 * summary.test:.2f}", (1, line), xycoords=("axes fraction", "data"),
            xytext=(8, 0), textcoords="offset points", va="center", color=color, fontsize=10,
        )  # fmt: skip
    for place, (name, value) in enumerate((references or {}).items()):
        axes.axvline(value, color=_FAINT, linewidth=1, linestyle="--")
        axes.annotate(
            name, (value, 1), xycoords=("data", "axes fraction"), xytext=(-2, 3 + 11 * place),
            textcoords="offset points", ha="right", color=_FAINT, fontsize=8.5,
        )  # fmt: skip
    axes.set_yticks(range(len(summaries)), [s.contestant for s in summaries], fontsize=10)
    axes.invert_yaxis()
    axes.set_xlabel(
        "test accuracy, %; dots: runs, diamonds: their mean; dashed: published", color=_FAINT
    )
    axes.set_facecolor(_PANEL)
    axes.spines[:].set_visible(False)
    axes.grid(axis="x", color="white", linewidth=1.6)
    axes.tick_params(length=0, labelcolor=_INK)
    axes.margins(x=0.06)
    figure.savefig(path, dpi=120)
