"""``textzoo export``: a model directory that other libraries read."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from textzoo.cli.models import load_model
from textzoo.cli.terminal import note
from textzoo.errors import DataError


def export(
    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")],
    directory: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")],
    /,
    *,
    format: Literal["sentence-transformers", "textzoo"] = "sentence-transformers",
) -> int:
    """Writes a model as a directory: for sentence-transformers, or textzoo's own layout.

    Examples:
      textzoo export MODEL exported
      textzoo export path/to/checkpoint mine --format textzoo

    Then, in Python: sentence_transformers.SentenceTransformer("exported")

    Args:
        model: a name from "textzoo list", or a model directory.
        directory: where to write; must be new or empty.
        format: layout of the directory.
    """
    if directory.is_file() or (directory.is_dir() and any(directory.iterdir())):
        raise DataError(f"{directory} exists and is not empty; give a new directory")
    encoder = load_model(model)
    if format == "textzoo":
        encoder.save(directory)
    else:
        from textzoo.checkpoints.bundle import Bundle
        from textzoo.checkpoints.sentence_transformers_export import write_sentence_transformers

        bundle = Bundle(
            model=encoder.model,
            tokenizer=encoder.tokenizer,
            settings=encoder.settings,
            name=encoder.name,
        )
        write_sentence_transformers(directory, bundle)
    note(f"wrote {directory}")
    return 0
