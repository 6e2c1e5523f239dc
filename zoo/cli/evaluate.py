"""``textzoo evaluate``: how good a model is at a task."""

import json as json_format
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.markup import escape
from rich.table import Table

from textzoo.cli.models import Dtype, Prompt, TruncateDim, load_model
from textzoo.cli.noise import TASK as NOISE
from textzoo.cli.noise import NoiseOptions, evaluate_noise
from textzoo.cli.terminal import status, stdout
from textzoo.errors import ConfigError, DataError

if TYPE_CHECKING:
    from textzoo.evaluation.run import Result

_NO_NOISE = NoiseOptions()


def evaluate(
    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")],
    task: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TASK")],
    /,
    *,
    data: Annotated[Path, tyro.conf.arg(aliases=["-d"], metavar="PATH")],
    split: Annotated[str, tyro.conf.arg(metavar="NAME")] = "test",
    prompt: Prompt = None,
    truncate_dim: TruncateDim = None,
    dtype: Dtype = "float32",
    output: Annotated[
        Path | None, tyro.conf.arg(aliases=["-o"], metavar="FILE", help_behavior_hint="")
    ] = None,
    noise: NoiseOptions = _NO_NOISE,
) -> int:
    """Measures a model on a task and prints a table.

    Similarity (Spearman over all pairs): stsb, sts (your own TSV: sentence1, sentence2, score).
    Retrieval (nDCG@10, MRR@10, recall): scifact, limit_small, beir (your own BEIR folder).
    Classification (a linear probe's accuracy): ag_news, sst2, trec, cr, mpqa, imdb_small,
    classification (your own TSV: label, text).
    Phrases (Pearson, accuracies, NMI): phrases (all there are, and their mean), bird, turney,
    ppdb_filtered, yago_alias, autofj; clusters: bc5cdr, searchsnippets, stackoverflow.
    Claims (precision@1, recall, cosines of siblings): propsegment, propositions (your own JSONL).
    What mistakes in texts cost (scores under edits of characters, and misspellings): noise.

    Nothing is downloaded: --data is the task's folder, or one that holds it under its name.

    Examples:
      textzoo evaluate MODEL stsb --data datasets
      textzoo evaluate MODEL beir --data my_corpus --split dev -o result.json
      textzoo evaluate MODEL sts --data my_pairs.tsv
      textzoo evaluate MODEL noise --data datasets -o noise.json

    Args:
        model: a name from "textzoo list", or a model directory.
        task: one of those above.
        data: folder with the task's files (.tsv, .jsonl, also .gz).
        split: which part to score; a probe always trains on "train".
        prompt: name of a prompt of the model; retrieval uses those for query and document.
        truncate_dim: keep only the first dimensions of each vector.
        dtype: what the model computes in.
        output: also write the result as JSON; noise writes a picture beside it.
        noise: of the task noise.
    """
    if output is not None and not output.absolute().parent.is_dir():
        raise DataError(f"{output.absolute().parent} does not exist; --output needs its folder")
    if task == NOISE:
        return evaluate_noise(
            model, data, split, noise, prompt=prompt, truncate_dim=truncate_dim, dtype=dtype,
            output=output,
        )  # fmt: skip
    if noise != _NO_NOISE:
        raise ConfigError(f"--noise options belong to the task noise, not to {task!r}; leave them "
                          "out")  # fmt: skip
    from textzoo.evaluation import read_task
    from textzoo.evaluation.run import evaluate_data

    loaded = read_task(task, data, split)  # first: a wrong path should not cost a model
    encoder = load_model(model, dtype)
    with status(f"{task}: encoding"):
        result = evaluate_data(encoder, loaded, prompt=prompt, truncate_dim=truncate_dim)
    part = "cross-validated" if getattr(result, "folds", 0) else split
    console = stdout()
    console.print(f"[bold]{escape(encoder.name or model)}[/] on {task} ({escape(part)})\n")
    console.print(result_table(result))
    if output is not None:
        record = {"model": model, "task": task, "split": part, **result.to_dict()}
        output.write_text(json_format.dumps(record, indent=2) + "\n", encoding="utf-8")
    return 0


def result_table(result: "Result") -> Table:
    """Every field of a result, shares and correlations times 100."""
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("measure")
    table.add_column("value", justify="right")
    table.add_column("95%", justify="right", style="dim")
    data = result.to_dict()
    intervals = {name: value for name, value in data.items() if name.endswith("_interval")}
    for name, value in data.items():
        if name in intervals:
            continue
        interval = intervals.get(f"{re.sub(r'_at_[0-9]+$', '', name)}_interval")
        spread = "" if interval is None else " to ".join(map(_percent, interval))
        if name == "recall_at":
            for k, share in value.items():
                table.add_row(f"recall@{k}", _percent(share), "")
        elif isinstance(value, dict):
            for part, share in value.items():
                table.add_row(part, _percent(share), "")
        elif name == "strength":
            table.add_row("chosen C", ", ".join(f"{c:g}" for c in value), "")
        else:
            table.add_row(_label(name), _text(value), spread)
    return table


def _label(name: str) -> str:
    special = {"ndcg_at_10": "nDCG@10", "mrr_at_10": "MRR@10", "nmi": "NMI"}
    return special.get(
        name, name.replace("_at_", "@").replace("_", " ").replace("maxsim", "MaxSim")
    )


def _text(value: Any) -> str:
    if isinstance(value, float) or value is None:
        return _percent(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _percent(value: float | None) -> str:
    return "undefined" if value is None else f"{100 * value:.2f}"
