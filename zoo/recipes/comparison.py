"""Several models trained by one recipe, over several seeds and learning rates.

Every run has a directory of its own with its result in it, so a comparison that was stopped goes on
where it was. Learning rates and epochs are chosen on rows held out of the training rows; the rows
to test on are looked at once a run, after that.
"""

import dataclasses
import json
import shutil
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from textzoo.classifying import predict
from textzoo.errors import DataError, ResumeError, differences
from textzoo.loading import load
from textzoo.modules.tokenizers.subword import FILE_NAME as TOKENIZER_FILE
from textzoo.recipes.export import METRICS_FILE
from textzoo.recipes.reading import apply_overrides, flatten
from textzoo.recipes.recipe import Recipe
from textzoo.recipes.run import run_recipe
from textzoo.recipes.vocabulary import learn_tokenizer
from textzoo.text_files import read_tsv, tsv_columns
from textzoo.trainers.metrics import read_metrics

RESULT_FILE = "result.json"
_METRIC = "held_out/accuracy"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contestant:
    """A model that takes part.

    Attributes:
        name: in tables.
        architecture: a registered name.
        overrides: of the architecture, by slot, as in a recipe.
        group: contestants of a group share a color.
    """

    name: str
    architecture: str
    overrides: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    group: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunScore:
    """How one run ended.

    Attributes:
        contestant: its name.
        rate: peak of the learning rate.
        seed: of initial values, dropout and the order of the rows.
        dev, test: accuracies, on the rows held out and on those to test on.
        parameters: of the model with its classifier.
        outside_table: the same without the table of subwords.
        seconds: that the run took in its last process, with everything.
    """

    contestant: str
    rate: float
    seed: int
    dev: float
    test: float
    parameters: int
    outside_table: int
    seconds: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
    """A contestant at the rate that is best on the rows held out.

    Attributes:
        contestant: its name.
        rate: that was chosen.
        seeds: number of runs.
        dev, test: mean accuracies.
        dev_spread, test_spread: standard deviations of single runs; ``nan`` for one run.
        parameters, outside_table: see :class:`RunScore`.
    """

    contestant: str
    rate: float
    seeds: int
    dev: float
    test: float
    dev_spread: float
    test_spread: float
    parameters: int
    outside_table: int


def split_rows(
    sources: Sequence[Path], folder: Path, *, text_columns: Sequence[str], dev_rows: int,
    seed: int = 0, label: str = "label",
) -> tuple[Path, Path]:  # fmt: skip
    """Writes the rows of TSV files as ``train.tsv`` and ``dev.tsv``, with columns label and text.

    Args:
        sources: files; the rows held out are drawn from the first, which should be like the rows
            to test on.
        folder: where to write.
        text_columns: that are joined by a space; a file may lack some.
        dev_rows: rows held out.
        seed: of the draw.
        label: column of classes.

    Raises:
        DataError: a file has none of the columns, or the first has too few rows.
    """
    rows = [read_rows(path, text_columns, label) for path in sources]
    if dev_rows >= len(rows[0]):
        raise DataError(f"{sources[0]} has {len(rows[0])} rows; hold out fewer than {dev_rows}")
    chosen = set(np.random.default_rng(seed).permutation(len(rows[0]))[:dev_rows].tolist())
    dev = [row for index, row in enumerate(rows[0]) if index in chosen]
    train = [row for index, row in enumerate(rows[0]) if index not in chosen]
    train += [row for more in rows[1:] for row in more]
    folder.mkdir(parents=True, exist_ok=True)
    for name, found in (("train", train), ("dev", dev)):
        text = "\n".join(["label\ttext", *(f"{row[0]}\t{row[1]}" for row in found)]) + "\n"
        path = folder / f"{name}.tsv"
        # Runs of another process may be reading the same rows.
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    return folder / "train.tsv", folder / "dev.tsv"


def read_rows(
    path: Path, text_columns: Sequence[str], label: str = "label"
) -> list[tuple[str, str]]:
    """Classes and texts of a TSV file.

    Raises:
        DataError: it has none of the text columns.
    """
    columns = [name for name in text_columns if name in tsv_columns(path)]
    if not columns:
        raise DataError(f"{path} has none of the columns {', '.join(text_columns)}")
    return [(row[0], " ".join(row[1:])) for row in read_tsv(path, (label, *columns))]


def make_vocabulary(train: Path, folder: Path, vocab_size: int, max_length: int) -> Path:
    """Learns a subword vocabulary from the training rows, once; returns its folder."""
    if not (folder / TOKENIZER_FILE).is_file():
        texts = (text for _, text in read_rows(train, ("text",)))
        folder.mkdir(parents=True, exist_ok=True)
        learn_tokenizer(texts, vocab_size, max_length).save(folder)
    return folder


def make_recipe(
    contestant: Contestant, *, train: Path, dev: Path, tokenizer: Path | None, rate: float,
    seed: int, epochs: float, batch_size: int, lengths: Sequence[int],
    changes: Sequence[str] = (), embedding_from: str | None = None,
) -> Recipe:  # fmt: skip
    """The recipe all contestants share: AdamW, a tenth of warm-up, linear decay, best epoch.

    Args:
        contestant: what is trained.
        train: file with the columns label and text.
        dev: another, of the rows held out.
        tokenizer: directory with a tokenizer; that of ``embedding_from`` without.
        rate: peak of the learning rate.
        seed: of everything that is drawn.
        epochs: passes over the rows.
        batch_size: rows of a step.
        lengths: padded lengths; texts are cut at the last.
        changes: of the recipe, ``key.path=value``, as on the command line of a recipe.
        embedding_from: a model whose token vectors all begin with.
    """
    recipe = {
        "name": f"{slug(contestant.name)}-{rate:g}-{seed}",
        "kind": "classifier",
        "model": {
            "architecture": contestant.architecture, "overrides": dict(contestant.overrides),
            "max_length": lengths[-1], "seed": seed,
            **({} if tokenizer is None else {"tokenizer": str(tokenizer)}),
            **({} if embedding_from is None else {"embedding_from": embedding_from}),
        },
        "data": {
            "sources": [str(train)], "held_out": [str(dev)], "labels": "label",
            "batch_size": batch_size, "lengths": list(lengths), "seed": seed,
            # Little padding: batches of texts of similar lengths.
            "tokenize_ahead": True, "group_by_length": 16,
        },
        "training": {
            "epochs": epochs, "evaluate_every": "epoch", "best_metric": _METRIC, "seed": seed,
            "log_every": 50, "keep_last": 1, "optimizer": {"schedule": {"peak": rate}},
        },
    }  # fmt: skip
    return Recipe.from_dict(apply_overrides(recipe, changes))


def run_one(
    recipe: Recipe, contestant: Contestant, test: Sequence[tuple[str, str]], folder: Path,
    *, show_progress: bool = False,
) -> RunScore | None:  # fmt: skip
    """Trains and tests, or goes on, or returns what an earlier start has found.

    Args:
        recipe: of the run.
        contestant: what is trained.
        test: classes and texts.
        folder: of all runs.
        show_progress: a progress bar on stderr.

    Returns:
        The score; ``None`` when the run was told to stop before its end.

    Raises:
        ResumeError: the directory holds the result of another recipe.
    """
    directory = folder / recipe.name
    path, now = directory / RESULT_FILE, json.loads(recipe.to_json())
    if path.is_file():
        kept = json.loads(path.read_text(encoding="utf-8"))
        different = differences(flatten(kept["recipe"]), flatten(now))
        if different:
            raise ResumeError(
                f"{path} was made by another recipe; give another output directory:\n"
                + "\n".join(different)
            )
        return RunScore(**kept["score"])
    begun = time.perf_counter()
    result = run_recipe(recipe, directory, show_progress=show_progress)
    if result.model is None:
        return None
    encoder = load(str(result.model))
    said = predict(encoder, [text for _, text in test]).labels
    sizes = [array.size for array in jax.tree.leaves(nnx.state(encoder.model, nnx.Param))]
    table: Any = getattr(encoder.model.embedding, "table", None)
    score = RunScore(
        contestant=contestant.name, rate=recipe.training.config.optimizer.schedule.peak,
        seed=recipe.training.config.seed, dev=_dev_accuracy(directory, result.scores),
        test=sum(a == b for a, (b, _) in zip(said, test, strict=True)) / len(test),
        parameters=sum(sizes),
        outside_table=sum(sizes) - (0 if table is None else table[...].size),
        seconds=time.perf_counter() - begun,
    )  # fmt: skip
    record = {"score": dataclasses.asdict(score), "recipe": now}
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    # What is left is the result, the metrics and the model.
    shutil.rmtree(directory / "checkpoints", ignore_errors=True)
    return score


def summarize(scores: Iterable[RunScore]) -> list[Summary]:
    """One line per contestant, at the rate with the best mean accuracy on the rows held out."""
    by_name: dict[str, dict[float, list[RunScore]]] = {}
    for score in scores:
        by_name.setdefault(score.contestant, {}).setdefault(score.rate, []).append(score)
    found = []
    for name, rates in by_name.items():
        # A rate that has not been run with every seed yet is not to be compared.
        most = max(len(runs) for runs in rates.values())
        full = {rate: runs for rate, runs in rates.items() if len(runs) == most}
        rate = max(full, key=lambda rate: statistics.fmean(run.dev for run in full[rate]))
        runs = full[rate]
        dev, test = [run.dev for run in runs], [run.test for run in runs]
        found.append(
            Summary(
                contestant=name, rate=rate, seeds=len(runs), dev=statistics.fmean(dev),
                test=statistics.fmean(test), dev_spread=_spread(dev), test_spread=_spread(test),
                parameters=runs[0].parameters, outside_table=runs[0].outside_table,
            )
        )  # fmt: skip
    return found


def slug(name: str) -> str:
    """A name as part of a file name."""
    return "-".join("".join(c if c.isalnum() else " " for c in name).split()).lower()


def _dev_accuracy(directory: Path, scores: Mapping[str, float]) -> float:
    """At the best epoch; a run whose model an earlier start has exported tells none itself."""
    if _METRIC in scores:
        return float(scores[_METRIC])
    lines = read_metrics(directory / METRICS_FILE)
    return max(float(line["evaluation"][_METRIC]) for line in lines if "evaluation" in line)


def _spread(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else float("nan")
