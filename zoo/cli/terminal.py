"""Consoles: results on stdout, everything else on stderr; plain when piped."""

import json
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from rich.console import Console

_PIPED_WIDTH = 160  # a pipe has no width; tables should not be cut for one of 80


def stdout() -> Console:
    """The console for results. Made anew on each call, because tests exchange ``sys.stdout``."""
    return _console(sys.stdout)


def stderr() -> Console:
    """The console for notes, progress and errors."""
    return _console(sys.stderr)


def note(message: str) -> None:
    """Says something that is not a result."""
    stderr().print(message, style="yellow", markup=False, soft_wrap=True)


def print_json(data: Any) -> None:
    """Prints JSON for another program to read."""
    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def status(message: str) -> AbstractContextManager[object]:
    """A spinner on a terminal, nothing in a pipe."""
    console = stderr()
    return console.status(message) if console.is_terminal else nullcontext()


def shorten(text: str, limit: int) -> str:
    """A text on one line, cut with an ellipsis."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def _console(stream: Any) -> Console:
    width = None if stream.isatty() else _PIPED_WIDTH
    return Console(file=stream, width=width, highlight=False)
