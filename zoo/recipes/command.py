"""The command line that all scripts which run recipes share."""

import dataclasses
import logging
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from textzoo.errors import ConfigError, TextzooError

_WITH_VALUE = ("--output", "--coordinator", "--num-processes", "--process-id")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What is run, and where it is written."""

    recipe: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE")]
    """A TOML file; scripts/recipes has examples. Arguments of the form KEY=VALUE, wherever they
    stand, change what it says: data.sources=train.tsv training.optimizer.schedule.peak=1e-4"""
    output: Path | None = None
    """Directory of the run: checkpoints, metrics, and the model. outputs/NAME if absent."""
    plan_only: bool = False
    """Print what would be done, and write nothing."""
    progress: bool = True
    """Show a progress bar."""
    tensorboard: bool = False
    """Also write TensorBoard events."""
    coordinator: str | None = None
    """Of a run of many processes: HOST:PORT of the first."""
    num_processes: int | None = None
    """How many processes there are."""
    process_id: int | None = None
    """Which one this is, from 0."""
    distributed: bool = False
    """Many processes on a cluster that tells JAX about them by itself (TPU pods, Slurm)."""


def run_script(kind: str, description: str, arguments: Sequence[str] | None = None) -> int:
    """Runs a script: reads its arguments, runs the recipe, returns the exit code.

    Args:
        kind: of the recipes it runs.
        description: for the help.
        arguments: those of the process if absent.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    overrides, rest = take_overrides(arguments)
    options = tyro.cli(Options, description=description, args=rest)
    console = Console(stderr=False, highlight=False, width=None if sys.stdout.isatty() else 120)
    _log_sentences()
    try:
        return _run(kind, options, overrides, console, arguments)
    except (TextzooError, OSError, ImportError) as error:
        Console(stderr=True, highlight=False).print(
            f"error: {error}", style="red", markup=False, soft_wrap=True
        )
        return 2


def _log_sentences() -> None:
    """Shows warnings as sentences, also where a library has set up the log before."""
    logging.basicConfig(level=logging.WARNING)
    for handler in logging.getLogger().handlers:
        if type(handler) is logging.StreamHandler:
            handler.setFormatter(logging.Formatter("%(message)s"))


def take_overrides(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Overrides of a recipe among arguments, and the other arguments."""
    overrides: list[str] = []
    rest: list[str] = []
    for before, argument in zip(("", *arguments), arguments, strict=False):
        is_value = before in _WITH_VALUE
        found = not is_value and re.match(r"[A-Za-z_][\w.]*=", argument)
        (overrides if found else rest).append(argument)
    return overrides, rest


def _run(
    kind: str, options: Options, overrides: Sequence[str], console: Console,
    arguments: Sequence[str],
) -> int:  # fmt: skip
    if options.distributed or options.coordinator is not None or options.process_id is not None:
        from textzoo.trainers.mesh import initialize_distributed

        initialize_distributed(
            coordinator=options.coordinator, num_processes=options.num_processes,
            process_id=options.process_id,
        )  # fmt: skip
    from textzoo.recipes.recipe import Recipe
    from textzoo.recipes.run import run_recipe

    recipe = Recipe.load(options.recipe, overrides)
    if recipe.kind != kind:
        raise ConfigError(
            f"{options.recipe} is a recipe of kind {recipe.kind!r}, and this script runs {kind!r}; "
            f"use scripts/{SCRIPTS[recipe.kind]}"
        )
    result = run_recipe(
        recipe, options.output or Path("outputs") / recipe.name, plan_only=options.plan_only,
        show_progress=options.progress, tensorboard=options.tensorboard, console=console,
        command=shlex.join([f"scripts/{SCRIPTS[kind]}", *arguments]),
    )  # fmt: skip
    return 0 if result.model is not None or options.plan_only else 3


SCRIPTS = {
    "mlm": "pretrain_mlm",
    "contrastive": "train_contrastive",
    "classifier": "train_classifier",
    "distill": "distill",
}
"""The script of each kind of recipe."""
