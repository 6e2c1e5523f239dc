"""``textzoo list`` and ``textzoo info``."""

from typing import Annotated, Any

import tyro
from rich.markup import escape
from rich.table import Table

from textzoo.cli.models import Flag
from textzoo.cli.terminal import print_json, stdout

_WIDE = 110


def list_models(
    pattern: Annotated[
        str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[PATTERN]", help_behavior_hint="")
    ] = None,
    /,
    *,
    kind: Annotated[str | None, tyro.conf.arg(metavar="KIND", help_behavior_hint="")] = None,
    pretrained: Flag = False,
    json: Flag = False,
) -> int:
    """Lists the models textzoo knows by name.

    A model with weights can be used at once (textzoo encode --model NAME); one without is an
    architecture to train, or to fill with published weights from a directory.

    Examples:
      textzoo list
      textzoo list "bert*"
      textzoo list --pretrained

    Args:
        pattern: only names like this; * and ? are wildcards (put it in quotes).
        kind: only models that read this: subword, word, char, byte, ...
        pretrained: only models that come with weights.
        json: print JSON instead of a table.
    """
    import textzoo

    names = textzoo.list_models(pattern, kind=kind, pretrained=pretrained or None)
    specs = [textzoo.get_spec(name) for name in names]
    if json:
        print_json([spec.to_dict() for spec in specs])
        return 0
    console = stdout()
    if not specs:
        console.print("no model fits; textzoo list without options has all of them")
        return 0
    # A narrow terminal shows less rather than everything in columns of three letters.
    is_wide = console.width >= _WIDE
    table = Table(show_edge=False, pad_edge=False)
    # Only the last column gives way: half a name cannot be typed.
    longest = max(len(spec.name) for spec in specs)
    table.add_column("model", no_wrap=True, min_width=longest)
    table.add_column("weights", no_wrap=True, min_width=7)
    for title in ("parameters", "vector", "tokens"):
        table.add_column(title, justify="right", no_wrap=True, min_width=len(title))
    if is_wide:
        table.add_column("reads", no_wrap=True, min_width=max(len(spec.kind) for spec in specs))
        table.add_column("what it is", overflow="ellipsis", no_wrap=True)
    for spec in specs:
        weights = "[dim]-[/]" if spec.weights is None else f"[green]{where(spec.weights)}[/]"
        numbers = (count(spec.parameters), str(spec.dimension), str(spec.max_length))
        more = (spec.kind, escape(spec.summary)) if is_wide else ()
        table.add_row(f"[cyan]{spec.name}[/]", weights, *numbers, *more)
    console.print(table)
    return 0


def info(
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")],
    /,
    *,
    json: Flag = False,
) -> int:
    """Shows what is known about a model: size, paper, weights, license, measured results.

    Examples:
      textzoo info bert_base_uncased
      textzoo info bert_base_uncased --json

    Args:
        name: see "textzoo list".
        json: print JSON instead of a card.
    """
    import textzoo

    spec = textzoo.get_spec(name)
    data = spec.to_dict()
    if json:
        print_json(data)
        return 0
    console = stdout()
    console.print(f"[bold cyan]{spec.name}[/]  {escape(spec.summary)}\n")
    card = Table.grid(padding=(0, 2))
    card.add_column(style="dim")
    for label, value in card_rows(spec):
        card.add_row(label, escape(value))
    console.print(card)
    if spec.results:
        results = Table(show_edge=False, pad_edge=False)
        for title in ("task", "metric", "value", "measured", "with"):
            results.add_column(title)
        for result in spec.results:
            results.add_row(
                escape(result.task),
                escape(result.metric),
                f"{result.value:g}",
                result.date,
                escape(result.command),
            )
        console.print()
        console.print(results)
    return 0


def card_rows(spec: Any) -> list[tuple[str, str]]:
    """The lines of a card, without the empty ones."""
    prompts = ", ".join(f"{name}={text!r}" for name, text in spec.prompts.items())
    rows = [
        ("reads", spec.kind),
        ("parameters", f"{spec.parameters:,}"),
        ("width", str(spec.width)),
        ("vector", f"{spec.dimension} dimensions, compared by {spec.similarity}"),
        ("longest text", f"{spec.max_length} tokens"),
        ("prompts", prompts),
        ("default prompt", spec.default_prompt or ""),
        ("status", spec.status),
        ("weights", "" if spec.weights is None else spec.weights.hub or where(spec.weights)),
        ("published as", spec.published or ""),
        ("license", spec.license),
        ("trained on", spec.training_data),
        ("paper", spec.paper),
    ]
    return [(label, value) for label, value in rows if value]


def where(weights: Any) -> str:
    """Where weights come from, in a word."""
    return "bundled" if weights.bundled is not None else "hub"


def count(parameters: int) -> str:
    """A number of parameters in at most five characters: 22.7M."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if parameters >= size:
            value = parameters / size
            return f"{value:.0f}{unit}" if value >= 100 else f"{value:.1f}{unit}"
    return str(parameters)
