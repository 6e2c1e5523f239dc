"""``textzoo evaluate MODEL noise``: how much mistakes in texts cost a model."""

import dataclasses
import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from textzoo.cli.models import load_model
from textzoo.cli.terminal import status, stdout
from textzoo.errors import ConfigError, DataError

if TYPE_CHECKING:
    from textzoo.evaluation import NoiseCurve, NoisePoint
    from textzoo.evaluation.tasks import TaskData
    from textzoo.noise import Noise

TASK = "noise"
_USUAL_TASKS = ("stsb", "ag_news", "scifact")
_TABLES = "misspellings"


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoiseOptions:
    """Of the task noise."""

    rates: tuple[float, ...] = (0.05, 0.1, 0.2)
    """Shares of the characters (misspellings: of the words) that are changed."""
    sides: tuple[str, ...] = ("one", "two")
    """one: sentence 2, queries, texts to classify; two: also sentence 1, documents, train texts."""
    edits: tuple[str, ...] = ("drop", "add", "swap", "keyboard", "case")
    """What may happen to a character."""
    misspellings: Annotated[
        tuple[Path, ...], tyro.conf.arg(metavar="[FILE ...]", help_behavior_hint="")
    ] = ()
    """TSV files of correct and misspelling; those in DATA/misspellings if absent."""
    tasks: Annotated[
        tuple[str, ...], tyro.conf.arg(metavar="[TASK ...]", help_behavior_hint="")
    ] = ()
    """Other tasks; those of stsb, ag_news and scifact that DATA has if absent."""
    limit: int = 2000
    """At most so many texts on each side, drawn by chance; 0 for all."""
    seed: int = 0
    """Of the mistakes and the draw."""


def evaluate_noise(
    model: str, data: Path, split: str, options: NoiseOptions, *, prompt: str | None,
    truncate_dim: int | None, dtype: str, output: Path | None,
) -> int:  # fmt: skip
    """Prints a table per task, and writes JSON and a picture beside it."""
    tasks = _read_tasks(data, split, options)
    noises = _noises(data, options)
    if output is not None and output.suffix == ".png":
        raise ConfigError(f"--output {output}: give the name of the JSON file; the picture lies "
                          "beside it")  # fmt: skip
    encoder: Any = load_model(model, dtype)
    name = encoder.name or model
    curves = {}
    for task, loaded in tasks.items():
        curves[task] = _measure(
            encoder, task, loaded, noises, options, prompt=prompt, truncate_dim=truncate_dim
        )
        _print(stdout(), f"[bold]{escape(name)}[/] on {task} ({escape(split)})", curves[task])
    if output is not None:
        record = {
            "model": model, "task": TASK, "split": split, "limit": options.limit or None,
            "noises": {noise: made.describe() for noise, made in noises.items()},
            "tasks": {task: curve.to_dict() for task, curve in curves.items()},
        }  # fmt: skip
        output.write_text(json_format.dumps(record, indent=2) + "\n", encoding="utf-8")
        from textzoo.evaluation.noise_plot import draw_noise_curves

        draw_noise_curves(
            output.with_suffix(".png"), {task: {name: curve} for task, curve in curves.items()},
            title=f"{name}: what mistakes in texts cost",
        )  # fmt: skip
    return 0


def _read_tasks(data: Path, split: str, options: NoiseOptions) -> "dict[str, TaskData]":
    """The data of every task; read first, because a wrong path should not cost a model."""
    from textzoo.evaluation.noise import take_some
    from textzoo.evaluation.tasks import read_task

    names = options.tasks or tuple(name for name in _USUAL_TASKS if (data / name).is_dir())
    if not names:
        raise DataError(
            f"{data} has none of the folders {', '.join(_USUAL_TASKS)}; give the folder they are "
            "in, or name another task: --noise.tasks sts"
        )
    if options.limit < 0:
        raise ConfigError(f"--noise.limit {options.limit}; use 1 or more, or 0 for all texts")
    found = {}
    for name in names:
        loaded = read_task(name, data, split)
        found[name] = (
            take_some(loaded, options.limit, seed=options.seed) if options.limit else loaded
        )
    return found


def _noises(data: Path, options: NoiseOptions) -> "dict[str, Noise]":
    from textzoo.noise import EDITS, CharacterNoise, MisspellingNoise, read_misspellings

    edits = options.edits
    characters = CharacterNoise(edits=edits, seed=options.seed)
    name = "edits" if set(edits) == set(EDITS) else " + ".join(edits)
    noises: dict[str, Noise] = {name: characters}
    folder = data / _TABLES
    tables = options.misspellings or tuple(sorted(folder.glob("*.tsv")))
    if tables:
        table = read_misspellings(*tables)
        noises["misspellings"] = MisspellingNoise(table=table, seed=options.seed)
    return noises


def _measure(
    encoder: Any, task: str, loaded: "TaskData", noises: "dict[str, Noise]",
    options: NoiseOptions, **encoding: Any,
) -> "NoiseCurve":  # fmt: skip
    from textzoo.evaluation.noise import noise_curve

    total = 1 + len(noises) * len(set(options.rates) - {0}) * len(options.sides)
    with status(f"{task}: encoding clean texts") as spinner:
        done = 0

        def told(point: "NoisePoint") -> None:
            nonlocal done
            done += 1
            if isinstance(spinner, Status):  # in a pipe there is none
                spinner.update(f"{task}: {done} of {total} measured")

        return noise_curve(
            encoder, loaded, noises, rates=options.rates, sides=options.sides, on_point=told,
            **encoding,
        )  # fmt: skip


def _print(console: Console, heading: str, curve: "NoiseCurve") -> None:
    labels = {"spearman": "Spearman", "ndcg_at_10": "nDCG@10", "accuracy": "accuracy"}
    table = Table(show_edge=False, pad_edge=False)
    for column in ("mistakes", "sides"):
        table.add_column(column)
    for column in ("rate", "changed", labels[curve.measure], "95%", "kept"):
        table.add_column(column, justify="right", style="dim" if column == "95%" else None)
    for point in curve.points:
        table.add_row(
            point.noise, point.sides, f"{point.rate:.0%}", f"{point.changed:.1%}",
            f"{100 * point.score:.2f}", " to ".join(f"{100 * end:.2f}" for end in point.interval),
            f"{point.kept:.1%}",
        )  # fmt: skip
    console.print(f"{heading}, {curve.asked:,} texts asked, {curve.stored:,} stored\n")
    console.print(table)
    console.print()
