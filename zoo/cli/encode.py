"""``textzoo encode``: texts to vectors."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from textzoo.cli.inputs import blocks, read_texts
from textzoo.cli.models import DEFAULT_MODEL, Column, Dtype, Model, Prompt, TruncateDim, load_model
from textzoo.cli.terminal import note, stderr
from textzoo.errors import TruncationWarning

if TYPE_CHECKING:
    from textzoo.cli.outputs import VectorFile
    from textzoo.text_encoder import TextEncoder

_BLOCK = 16_384  # texts encoded before they are written: enough to sort by length well


def encode(
    files: Annotated[
        tuple[Path, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="[FILE ...]", help_behavior_hint=""),
    ] = (),
    /,
    *,
    model: Model = DEFAULT_MODEL,
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FILE|DIR")] = Path("-"),
    column: Column = None,
    prompt: Prompt = None,
    truncate_dim: TruncateDim = None,
    dtype: Dtype = "float32",
) -> int:
    """Turns texts into vectors.

    Reads files, or stdin when none is given: one text per line, or one column of a .tsv or .jsonl
    file (.gz too). Writes one vector per text, in order. Large inputs are streamed.

    Examples:
      echo "a cat sat on the mat" | textzoo encode
      textzoo encode lines.txt -o vectors.npy
      textzoo encode news.tsv.gz --column title -o vectors.parquet
      cat rows.jsonl | textzoo encode --column body -o vectors.jsonl
      textzoo encode huge.txt -o shards     # a folder; stopped? the same line continues

    Args:
        files: what to read; "-" is stdin. On stdin, --column means JSON objects, one per line.
        model: a name from "textzoo list", or a model directory.
        output: .npy (one array), .jsonl (text and vector) or .parquet; a folder, where a
            stopped run can be continued; "-" for JSON lines on stdout.
        column: which column of a .tsv or .jsonl file; "text" or "sentence" when not given.
        prompt: name of a prompt of the model, such as query or document.
        truncate_dim: keep only the first dimensions of each vector.
        dtype: what the model computes in; vectors are float32.
    """
    texts = read_texts(files, column)
    if str(output) != "-" and (output.is_dir() or not output.suffix):
        encoder = load_model(model, dtype)
        encoder.encode_to(
            texts, output, prompt=prompt, truncate_dim=truncate_dim,
            show_progress=stderr().is_terminal,
        )  # fmt: skip
        note(f"the vectors are in {output / 'vectors.npy'}")
        return 0
    from textzoo.cli.outputs import VectorFile

    with VectorFile(output) as file:  # opened first: a bad place is known before the work
        encoder = load_model(model, dtype)
        _stream(encoder, texts, file, prompt=prompt, truncate_dim=truncate_dim)
    return 0


def _stream(
    encoder: "TextEncoder",
    texts: Iterator[str],
    file: "VectorFile",
    *,
    prompt: str | None,
    truncate_dim: int | None,
) -> None:
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    done = truncated = 0
    # A warning for every block would be many; one note at the end says it all.
    warnings.simplefilter("ignore", TruncationWarning)
    console = stderr()
    columns = SpinnerColumn(), TextColumn("{task.completed:,} texts"), TimeElapsedColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("encoding", total=None)
        for block in blocks(texts, _BLOCK):
            file.write(block, encoder.encode(block, prompt=prompt, truncate_dim=truncate_dim))
            done += len(block)
            truncated += encoder.last_report.truncated if encoder.last_report else 0
            progress.update(bar, completed=done)
    if truncated:
        note(
            f"{truncated:,} of {done:,} texts were cut to {encoder.max_length} tokens; their "
            "vectors do not show how they end"
        )
    if file.is_named:
        note(f"wrote {done:,} vectors to {file.path}")
