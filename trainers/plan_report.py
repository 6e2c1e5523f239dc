"""Plans as tables for a terminal, as Markdown, and as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from textzoo.trainers.mesh_choice import mesh_name
from textzoo.trainers.plan import Plan

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GIB = 2**30
_COLORS = {"compute": "#3066be", "memory": "#2a9d5c", "communication": "#d1495b"}
_STATE, _OTHER = "#7b4ea3", "#e09f1f"
_INK, _FAINT = "#22262e", "#8a919c"


def plan_card(plan: Plan) -> Table:
    """Everything about one plan, a line for each quantity."""
    card = Table.grid(padding=(0, 2))
    card.add_column(style="dim")
    card.add_column()
    for label, value in plan_lines(plan):
        card.add_row(label, value)
    return card


def plan_lines(plan: Plan) -> list[tuple[str, str]]:
    """Label and value of every line of a card."""
    memory, times = plan.memory, plan.times
    lines = [
        ("step", plan.name),
        ("devices", f"{plan.topology}: {plan.num_chips}, mesh {mesh_name(plan.mesh)}"),
        ("parameters", f"{plan.parameters:,}"),
        (
            "memory of a chip",
            f"{_gib(memory.total)}: {_gib(memory.arguments)} state and batch, "
            f"{_gib(memory.outputs - memory.reused)} new outputs, {_gib(memory.temporaries)} "
            f"temporary, {_gib(memory.code)} program",
        ),
        ("arithmetic", f"{plan.flops / 1e12:,.2f} TFLOP in matrix products" + _share(plan)),
        ("main memory", f"{plan.traffic / 1e9:,.1f} GB read and written"),
        ("sent", f"{plan.sent_bytes / 1e6:,.1f} MB"),
    ]
    lines += [
        ("", f"{size / 1e6:,.1f} MB by {kind} over {axes}")
        for (kind, axes), size in plan.sent_by("kind", "axes").items()
        if size >= 50_000
    ]
    if times is not None:
        lines.append((
            "time of a step",
            f"at least {_ms(times.seconds)}: compute {_ms(times.compute)}, memory "
            f"{_ms(times.memory)}, communication {_ms(times.communication)}; without any overlap "
            f"{_ms(times.seconds_without_overlap)}",
        ))  # fmt: skip
        if plan.utilization is not None:
            lines.append(("model-FLOP utilization", f"at most {plan.utilization:.0%}"))
    if plan.unknown_loops:
        lines.append(("counted once", "loops of unknown length: " + ", ".join(plan.unknown_loops)))
    lines.append(("compiled in", f"{plan.compile_seconds:.1f} s"))
    lines.append(("verdict", plan.verdict()))
    return lines


COLUMNS = (
    "chips", "mesh", "memory (GiB)", "of it state", "TFLOP", "GB read and written", "MB sent",
    "compute (ms)", "memory (ms)", "communication (ms)", "step at least (ms)", "limited by",
)  # fmt: skip
"""What :func:`plans_table` and :func:`plans_markdown` show of each plan."""


def plan_cells(plan: Plan) -> tuple[str, ...]:
    """The values of :data:`COLUMNS`; all are of one chip and one step."""
    times = plan.times
    seconds: tuple[str, ...] = ("-",) * 5
    if times is not None:
        parts = (times.compute, times.memory, times.communication, times.seconds)
        seconds = (*(f"{part * 1e3:,.1f}" for part in parts), times.limit)
    return (
        str(plan.num_chips), mesh_name(plan.mesh), f"{plan.memory.total / _GIB:.2f}",
        f"{plan.memory.arguments / _GIB:.2f}", f"{plan.flops / 1e12:,.2f}",
        f"{plan.traffic / 1e9:,.1f}", f"{plan.sent_bytes / 1e6:,.1f}", *seconds,
    )  # fmt: skip


def plans_table(plans: Sequence[Plan]) -> Table:
    """Plans side by side, one to a row."""
    table = Table(show_edge=False, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in ("mesh", "limited by") else "right")
    for plan in plans:
        table.add_row(*plan_cells(plan), style="red" if plan.fits is False else None)
    return table


def plans_markdown(plans: Sequence[Plan]) -> str:
    """The same as a Markdown table, and below it what is sent, by kind and mesh axis."""
    lines = [_row(COLUMNS), _row("---" for _ in COLUMNS)]
    lines += [_row(plan_cells(plan)) for plan in plans]
    keys: dict[tuple[str, ...], None] = {}
    for plan in plans:
        keys.update(dict.fromkeys(plan.sent_by("kind", "axes")))
    keys = {
        key: None
        for key in keys
        if max(plan.sent_by("kind", "axes").get(key, 0) for plan in plans) >= 50_000
    }
    lines += ["", "MB that a chip sends in a step, by kind and mesh axis:", ""]
    lines += [_row(("chips", *(f"{kind} over {axes}" for kind, axes in keys)))]
    lines += [_row("---" for _ in range(len(keys) + 1))]
    for plan in plans:
        sent = plan.sent_by("kind", "axes")
        sizes = (f"{sent.get(key, 0) / 1e6:,.1f}" for key in keys)
        lines.append(_row((str(plan.num_chips), *sizes)))
    return "\n".join(lines) + "\n"


def draw_scaling(path: str | Path, plans: Sequence[Plan], *, title: str = "") -> None:
    """Draws memory of a chip, and the three times of a step, against the number of chips.

    Args:
        path: where to write; the suffix decides the format.
        plans: of the same work for a chip, on more and more chips.
        title: above the picture.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    times = [plan.times for plan in plans if plan.times is not None]
    panels = 2 if len(times) == len(plans) else 1
    figure = Figure(figsize=(5.5 * panels, 4.4), facecolor="white")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.06, y=0.97, ha="left", fontsize=14, weight="bold", color=_INK)
    figure.subplots_adjust(left=0.12 / panels, right=0.98, top=0.8, bottom=0.12, wspace=0.18)
    left, *right = figure.subplots(1, panels, squeeze=False)[0]
    chips = [str(plan.num_chips) for plan in plans]
    state = [plan.memory.arguments / _GIB for plan in plans]
    other = [plan.memory.total / _GIB - held for plan, held in zip(plans, state, strict=True)]
    left.bar(chips, state, 0.6, color=_STATE, label="state and batch")
    left.bar(chips, other, 0.6, bottom=state, color=_OTHER, label="temporary, program")
    capacity = plans[0].capacity
    if capacity is not None:
        left.axhline(capacity / _GIB, color=_INK, linewidth=1, linestyle="--")
        left.text(
            0, capacity / _GIB, "what a chip has", ha="left", va="bottom", fontsize=9, color=_INK
        )
        left.set_ylim(0, capacity / _GIB * 1.12)
    _finish(left, "memory of a chip, GiB")
    for panel in right:
        for name, color in _COLORS.items():
            milliseconds = [getattr(found, name) * 1e3 for found in times]
            label = {"memory": "main memory"}.get(name, name)
            panel.plot(chips, milliseconds, color=color, linewidth=2, marker="o", label=label)
        panel.set_ylim(bottom=0)
        _finish(panel, "times of a step at full speed, ms")
    figure.savefig(path, dpi=130)


def _finish(panel: "Axes", title: str) -> None:
    panel.set_title(title, loc="left", fontsize=10, color=_INK, pad=24)
    panel.set_xlabel("chips", fontsize=9, color=_FAINT)
    panel.tick_params(colors=_FAINT, labelsize=9)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
    panel.legend(
        loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncol=3, frameon=False, fontsize=9,
        borderaxespad=0.2,
    )  # fmt: skip


def _row(cells: Any) -> str:
    return "| " + " | ".join(cells) + " |"


def _gib(size: float) -> str:
    return f"{size / _GIB:.2f} GiB"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:,.1f} ms"


def _share(plan: Plan) -> str:
    if plan.model_flops is None or not plan.flops:
        return ""
    share = plan.model_flops / plan.flops
    if share > 0.995:
        return ", all of it the model's"
    return f", {share:.0%} of it the model's, the rest computed again"
