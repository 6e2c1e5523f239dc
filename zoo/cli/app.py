"""Finds the command, runs it, and turns errors into one line.

Modules of commands are imported when they run, and what needs JAX inside them, so that help is
instant.
"""

import importlib
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Sequence

from rich.markup import escape
from rich.table import Table

import textzoo
from textzoo.cli.terminal import note, stderr, stdout
from textzoo.errors import TextzooError, closest

COMMANDS = {
    "list": ("textzoo.cli.catalog:list_models", "which models there are"),
    "info": ("textzoo.cli.catalog:info", "what is known about one model"),
    "encode": ("textzoo.cli.encode:encode", "texts to vectors"),
    "similarity": ("textzoo.cli.compare:similarity", "how alike a few texts are"),
    "search": ("textzoo.cli.compare:search", "the nearest texts of a file"),
    "evaluate": ("textzoo.cli.evaluate:evaluate", "how good a model is at a task"),
    "plan": ("textzoo.cli.plan:plan", "what a training step will need, before it runs"),
    "export": ("textzoo.cli.export:export", "a model for sentence-transformers"),
    "quickstart": ("textzoo.cli.quickstart:quickstart", "a first look, with a picture"),
}
"""Where each command is, and what it gives."""

_EXAMPLES = (
    ('echo "a cat sat on the mat" | textzoo encode', "vectors as JSON lines"),
    ("textzoo encode news.tsv --column title -o news.npy", "a column to an array"),
    ('textzoo similarity "a cat" "a kitten" "a car"', "a table of similarities"),
    ('textzoo search "stock market" --corpus news.txt', "the nearest lines of a file"),
    ("textzoo encode --help", "all options of one command"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: arguments without the program's name; those of the process when ``None``.

    Returns:
        0 for success, 2 for a wrong call or input, 130 when interrupted, 141 when the reader of
        the output went away.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = _take_flag(arguments, "--debug")
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            code = _run(arguments)
        sys.stdout.flush()
        return code
    except (TextzooError, OSError, ImportError) as error:
        if isinstance(error, BrokenPipeError):
            return _broken_pipe()
        if debug:
            raise
        stderr().print(_message(error), style="red", markup=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        return 130


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        _overview()
        return 0
    if arguments[0] in ("-V", "--version"):
        stdout().print(f"textzoo {textzoo.__version__}")
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        raise TextzooError(f"textzoo has no command {name!r}; {closest(name, COMMANDS)}")
    import tyro

    command = load_command(name)
    try:
        code = tyro.cli(
            command,
            prog=f"textzoo {name}",
            description=describe(command),
            args=rest,
            config=(tyro.conf.FlagCreatePairsOff, tyro.conf.DisallowNone),
        )
    except SystemExit as stop:  # help was asked for (0), or the arguments were wrong (2)
        return stop.code if isinstance(stop.code, int) else 2
    return code or 0


def load_command(name: str) -> Callable[..., int | None]:
    """The function behind a command."""
    module, function = COMMANDS[name][0].split(":")
    return getattr(importlib.import_module(module), function)


def describe(command: Callable[..., object]) -> str:
    """What help says above the options: the docstring up to its arguments."""
    return (inspect.getdoc(command) or "").split("\nArgs:\n")[0]


def _overview() -> None:
    console = stdout()
    console.print("[bold]textzoo[/] turns text into vectors, with models made of parts.\n")
    console.print("usage: textzoo COMMAND [OPTIONS]    (textzoo COMMAND --help explains one)\n")
    console.print(_columns([(f"[cyan]{name}[/]", gives) for name, (_, gives) in COMMANDS.items()]))
    console.print("\nFor example:\n")
    console.print(_columns([(escape(line), f"[dim]{gives}[/]") for line, gives in _EXAMPLES]))
    console.print("\nEvery command takes --debug, which shows where an error comes from.")


def _columns(rows: list[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for first, second in rows:
        table.add_row(f"  {first}", second)
    return table


def _take_flag(arguments: list[str], flag: str) -> bool:
    """Removes a flag that every command has; after ``--`` it is a text."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    if flag in arguments[:end]:
        arguments.remove(flag)
        return True
    return False


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def _show_warning(message: Warning | str, *where: object, **more: object) -> None:
    note(str(message))


def _broken_pipe() -> int:
    # Python flushes stdout once more at exit, which would complain about the closed pipe.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141
