"""A progress bar on stderr, only when it is asked for."""

import contextlib
from collections.abc import Callable, Iterator

Advance = Callable[[int, int], None]
"""Told after every batch how many texts and tokens are done since the last time."""


@contextlib.contextmanager
def progress(show: bool, *, total: int | None, done: int = 0) -> Iterator[Advance]:
    """Shows texts, texts/s and tokens/s while the context is open.

    Args:
        show: without it nothing is shown.
        total: number of texts, ``None`` when it is not known.
        done: texts that were done before.
    """
    if not show:
        yield lambda texts, tokens: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn("encode"), BarColumn(), MofNCompleteColumn(), TextColumn("texts"),
        TextColumn("{task.fields[rates]}"), TimeElapsedColumn(), TimeRemainingColumn(),
        console=Console(stderr=True),
    )  # fmt: skip
    with bar:
        task = bar.add_task("encode", total=total, completed=done, rates="")
        sums = [0, 0]

        def advance(texts: int, tokens: int) -> None:
            sums[0] += texts
            sums[1] += tokens
            elapsed = max(bar.tasks[0].elapsed or 0.0, 1e-9)
            rates = f"{sums[0] / elapsed:,.0f} texts/s, {sums[1] / elapsed:,.0f} tokens/s"
            bar.update(task, advance=texts, rates=rates)

        yield advance
