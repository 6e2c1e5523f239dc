"""``textzoo quickstart``: a first look at what vectors of texts are good for."""

import time
from importlib import resources
from pathlib import Path
from typing import Annotated

import tyro

from textzoo.cli.models import DEFAULT_MODEL, Model, load_model
from textzoo.cli.terminal import stdout
from textzoo.errors import DataError
from textzoo.text_files import read_tsv

_QUESTIONS = ("My investments lost value", "an animal looking for food", "how to make a dessert")
_COMPARED = (
    "The central bank raised interest rates again.",
    "Inflation makes groceries more expensive.",
    "The goalkeeper saved a penalty in extra time.",
    "The striker scored twice in the final ten minutes.",
    "Whisk butter and sugar until the mixture is pale.",
    "Fold the egg whites gently into the batter.",
)
_PICTURE = "sentences.png"


def quickstart(
    *,
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="DIR")] = Path("outputs"),
    model: Model = DEFAULT_MODEL,
) -> int:
    """Encodes sixty sentences, finds neighbors, compares some, and draws all of them.

    Examples:
      textzoo quickstart
      textzoo quickstart --output pictures --model path/to/checkpoint

    Args:
        output: folder for the picture; made when it does not exist.
        model: a name from "textzoo list", or a model directory.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{output} cannot be made a folder: {error.strerror}") from error
    console = stdout()
    topics, sentences = sample()
    started = time.perf_counter()
    encoder = load_model(model)
    loaded = time.perf_counter()
    vectors = encoder.encode(sentences)
    encoded = time.perf_counter()
    console.print(
        f"[bold]{encoder.name or model}[/]: {len(sentences)} sentences are now vectors of "
        f"{vectors.shape[1]} numbers "
        f"[dim](loaded in {loaded - started:.1f} s, encoded in {encoded - loaded:.2f} s)[/]\n"
    )
    from textzoo.cli.compare import print_answers, print_similarities, run_search

    console.print("[bold underline]Nearest sentences[/], found by meaning\n")
    print_answers(console, run_search(encoder, _QUESTIONS, sentences, k=3))
    console.print("[bold underline]Similarity[/] of each with each\n")
    chosen = vectors[[sentences.index(sentence) for sentence in _COMPARED]]
    print_similarities(console, list(_COMPARED), encoder.similarity(chosen, chosen))

    from textzoo.plots import draw_overview

    picture = output / _PICTURE
    title = f"{len(sentences)} sentences as vectors of {encoder.name or model}"
    draw_overview(picture, sentences, topics, vectors, title=title)
    console.print(f"\nA picture of all sentences: [bold cyan]{picture}[/]")
    console.print('Next: [bold]textzoo similarity "your text" "another"[/], textzoo --help')
    return 0


def sample() -> tuple[list[str], list[str]]:
    """Topics and sentences that come with the package."""
    with resources.as_file(resources.files("textzoo.cli") / "quickstart_sentences.tsv") as path:
        rows = list(read_tsv(path, ("topic", "sentence")))
    return [topic for topic, _ in rows], [sentence for _, sentence in rows]
