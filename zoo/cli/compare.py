"""``textzoo similarity`` and ``textzoo search``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from textzoo.cli.inputs import read_texts
from textzoo.cli.models import DEFAULT_MODEL, Column, Dtype, Flag, Model, Prompt, load_model
from textzoo.cli.terminal import print_json, shorten, status, stdout
from textzoo.errors import DataError

if TYPE_CHECKING:
    from textzoo.text_encoder import TextEncoder

_MOST = 40  # texts whose table is still of use in a terminal


def similarity(
    texts: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="[TEXT ...]", help_behavior_hint=""),
    ] = (),
    /,
    *,
    model: Model = DEFAULT_MODEL,
    prompt: Prompt = None,
    json: Flag = False,
    dtype: Dtype = "float32",
) -> int:
    """Prints how alike texts are, each with each, compared the way the model wants it.

    Texts are arguments, or lines of stdin when there are none.

    Examples:
      textzoo similarity "a cat" "a kitten" "a car"
      head -8 lines.txt | textzoo similarity
      textzoo similarity "so happy" "glad" --json

    Args:
        texts: two texts or more.
        model: a name from "textzoo list", or a model directory.
        prompt: name of a prompt of the model, such as query or document.
        json: print JSON instead of a table.
        dtype: what the model computes in.
    """
    compared = list(texts or read_texts(()))
    if not 2 <= len(compared) <= (_MOST if not json else len(compared)):
        raise DataError(
            f"{len(compared)} texts; similarity compares 2 to {_MOST} (more with --json, or use "
            "textzoo search)"
        )
    encoder = load_model(model, dtype)
    vectors = encoder.encode(compared, prompt=prompt)
    scores = encoder.similarity(vectors, vectors)
    if json:
        rows = [[round(float(score), 6) for score in row] for row in scores]
        print_json({"model": encoder.name, "texts": compared, "similarity": rows})
    else:
        print_similarities(stdout(), compared, scores)
    return 0


def search(
    queries: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="[QUERY ...]", help_behavior_hint=""),
    ] = (),
    /,
    *,
    corpus: Annotated[Path, tyro.conf.arg(metavar="FILE")],
    column: Column = None,
    k: Annotated[int, tyro.conf.arg(aliases=["-k"], metavar="INT")] = 5,
    model: Model = DEFAULT_MODEL,
    json: Flag = False,
    dtype: Dtype = "float32",
) -> int:
    """Finds the texts of a file that are nearest to each query.

    Compares with every text of the file. Queries are arguments, or lines of stdin.

    Examples:
      textzoo search "markets fall" --corpus news.txt
      textzoo search "markets fall" "rain" --corpus news.tsv --column title -k 3
      textzoo search --corpus faq.jsonl --json < questions.txt

    Args:
        queries: what to look for.
        corpus: file with one text per line, or a .tsv or .jsonl file (.gz too).
        column: which column of a .tsv or .jsonl file.
        k: how many texts to find for each query.
        model: a name from "textzoo list", or a model directory.
        json: print JSON instead of a table.
        dtype: what the model computes in.
    """
    if k < 1:
        raise DataError(f"-k {k} finds nothing; use 1 or more")
    texts = list(read_texts([corpus], column))
    wanted = list(queries or read_texts(()))
    encoder = load_model(model, dtype)
    with status(f"encoding {len(texts):,} texts"):
        answers = run_search(encoder, wanted, texts, k=k)
    if json:
        print_json(answers)
    else:
        print_answers(stdout(), answers)
    return 0


def run_search(
    encoder: "TextEncoder", queries: Sequence[str], texts: Sequence[str], *, k: int
) -> list[dict[str, Any]]:
    """The nearest texts of every query: ``{"query", "results": [{"row", "score", "text"}]}``."""
    found = encoder.search(list(queries), list(texts), k=min(k, len(texts)))
    return [
        {
            "query": query,
            "results": [
                {"row": int(row), "score": round(float(score), 6), "text": texts[int(row)]}
                for row, score in zip(rows, scores, strict=True)
            ],
        }
        for query, rows, scores in zip(queries, found.indices, found.scores, strict=True)
    ]


def print_similarities(console: Console, texts: list[str], scores: Any) -> None:
    """Prints a square table; columns are numbered like the rows."""
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("", justify="right", style="dim")
    table.add_column("text", no_wrap=True)
    for number in range(1, len(texts) + 1):
        table.add_column(str(number), justify="right")
    room = max(16, console.width - 9 * len(texts) - 6)
    for number, (text, row) in enumerate(zip(texts, scores, strict=True), start=1):
        cells = [
            "[dim]·[/]" if column == number else colored(float(score))
            for column, score in enumerate(row, start=1)
        ]
        table.add_row(str(number), escape(shorten(text, min(room, 60))), *cells)
    console.print(table)


def print_answers(console: Console, answers: list[dict[str, Any]]) -> None:
    """Prints the results of each query."""
    for answer in answers:
        table = Table(show_edge=False, pad_edge=False, show_header=False, box=None)
        table.add_column(justify="right")
        table.add_column()
        for result in answer["results"]:
            text = shorten(result["text"], max(20, console.width - 12))
            table.add_row(colored(result["score"]), escape(text))
        console.print(f"[bold]{escape(shorten(answer['query'], console.width - 2))}[/]")
        console.print(table)
        console.print()


def colored(score: float) -> str:
    """A score, brighter the closer it is to one."""
    style = "bold green" if score >= 0.6 else "green" if score >= 0.4 else "default"
    return f"[{style}]{score:.3f}[/]" if score >= 0.2 else f"[dim]{score:.3f}[/]"
