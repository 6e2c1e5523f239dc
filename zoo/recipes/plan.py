"""What a run will do, shown before it begins."""

import math
from pathlib import Path

import jax
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from textzoo.recipes.data import tokens_per_row
from textzoo.recipes.job import Job, batches_per_epoch, device_kind
from textzoo.trainers.flops import TRAINING_FACTOR
from textzoo.trainers.parameter_groups import describe_groups
from textzoo.trainers.plan import Memory

_MIB = 2**20


def show_plan(job: Job, directory: Path, console: Console) -> None:
    """Prints the plan of a run.

    Args:
        job: the run; its step is compiled for batches of the longest texts.
        directory: where it will write.
        console: where to print.
    """
    blueprint = job.trainer.blueprint
    shapes = blueprint.shapes(blueprint.parameters)
    console.print(describe_groups(job.config.optimizer.group(shapes), shapes))
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    for label, value in plan_lines(job, directory):
        table.add_row(label, escape(value))
    console.print(table)


def plan_lines(job: Job, directory: Path) -> list[tuple[str, str]]:
    """Label and value of every line."""
    config = job.config
    lines = [
        ("recipe", f"{job.recipe.name} ({job.recipe.kind}, {job.recipe.objective.type})"),
        ("rows", _rows(job)),
        *_lengths(job),
    ]
    if job.rows.classes:
        shown = ", ".join(job.rows.classes[:8]) + (", ..." if len(job.rows.classes) > 8 else "")
        lines.append(("classes", f"{len(job.rows.classes)}: {shown}"))
    lines += _cost(job)
    mesh = ", ".join(f"{axis}={size}" for axis, size in job.trainer.mesh.shape.items())
    lines.append(("devices", f"{device_kind()}, mesh {mesh}, {_processes()}"))
    if config.best_metric is not None:
        largest = "largest" if config.best_mode == "max" else "smallest"
        lines.append(("best model", f"the one with the {largest} {config.best_metric}"))
    lines.append(("writes", f"{directory}: recipe.json, metrics.jsonl, loss.png, checkpoints/, and "
                            "the best model in model/"))  # fmt: skip
    return lines


def _lengths(job: Job) -> list[tuple[str, str]]:
    """Tokens and steps of the run."""
    section, steps = job.recipe.data, job.config.steps
    size = section.batch_size
    tokens = tokens_per_row(job.recipe, job.rows, job.tokenizer)
    epoch = tokens * job.rows.count
    if section.packing is None:
        total, each = tokens * steps * size, f", {batches_per_epoch(job):,} steps an epoch"
    else:
        length = max(section.lengths or (job.tokenizer.max_length,))
        total, each = float(steps * size * length), f" of {length:,} tokens, packed"
    return [
        ("tokens", f"about {tokens:,.1f} a row, {epoch:,.0f} an epoch, {total:,.0f} in all"),
        ("steps", f"{steps:,} of {size:,} rows{each}: {total / epoch:.3g} epochs"),
    ]


def _cost(job: Job) -> list[tuple[str, str]]:
    """Arithmetic and memory of a step on the longest texts."""
    found = []
    flops = job.trainer.model_flops(job.batch) / jax.process_count()
    if flops:
        total = flops * job.config.steps
        found.append((
            "arithmetic", f"{_power(flops)} a step, at most {_power(total)} in all "
            f"(model FLOPs, {TRAINING_FACTOR:g} times a forward pass, every text at the longest)",
        ))  # fmt: skip
    memory = Memory.of(job.trainer.lower(job.batch).compile())
    found.append((
        "memory", f"{memory.total / _MIB:,.0f} MiB a device: "
        f"{memory.arguments / _MIB:,.0f} state and batch, {memory.temporaries / _MIB:,.0f} "
        "temporary",
    ))  # fmt: skip
    return found


def _rows(job: Job) -> str:
    held_out = sum(len(source) for source in job.rows.held_out)
    files = ", ".join(dict.fromkeys(source.name for source in job.rows.train))
    broken = sum(len(report.broken) for source in job.rows.train for report in source.reports())
    text = f"{job.rows.count:,} of {files}"
    if held_out:
        text += f"; {held_out:,} held out"
    return text + (f"; {broken:,} broken ones left out" if broken else "")


def _processes() -> str:
    count = jax.process_count()
    return "one process" if count == 1 else f"{count} processes"


def _power(flops: float) -> str:
    names = ("", "K", "M", "G", "T", "P", "E", "Z")
    power = min(len(names) - 1, max(0, int(math.log10(flops) // 3))) if flops > 0 else 0
    return f"{flops / 1000**power:,.3g} {names[power]}FLOP"
