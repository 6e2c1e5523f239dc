"""A comparison holds rows out, chooses on them, tests once, and goes on where it was."""

import dataclasses
import json
import math

import pytest

from textzoo.errors import DataError, ResumeError
from textzoo.recipes import comparison
from textzoo.recipes.comparison import Contestant, RunScore
from textzoo.recipes.comparison_plot import draw_comparison
from textzoo.recipes.run import RunResult


def write_rows(path, columns, rows):
    path.write_text("\n".join("\t".join(row) for row in [columns, *rows]) + "\n")
    return path


def score(name, rate, seed, dev, test):
    return RunScore(
        contestant=name, rate=rate, seed=seed, dev=dev, test=test, parameters=9, outside_table=4,
        seconds=1.0,
    )  # fmt: skip


@pytest.fixture
def files(tmp_path):
    """Two files; sheep are of class "farm"."""
    animals = ["farm\tsheep eat", "home\tcats sleep"]
    rows = [[*animals[n % 2].split("\t"), f"word{n % 5}"] for n in range(40)]
    first = write_rows(tmp_path / "first.tsv", ["label", "title", "description"], rows)
    second = write_rows(tmp_path / "second.tsv", ["label", "description"], [["farm", "sheep"]])
    return first, second


def test_rows_held_out_are_of_the_first_file_and_not_trained_on(files, tmp_path):
    columns = ("title", "description")
    train, dev = comparison.split_rows(files, tmp_path / "a", text_columns=columns, dev_rows=10)
    held_out, kept = (comparison.read_rows(path, ("text",)) for path in (dev, train))
    everything = comparison.read_rows(files[0], columns) + [("farm", "sheep")]
    assert len(held_out) == 10 and sorted(held_out + kept) == sorted(everything)
    assert ("farm", "sheep") in kept
    assert ("farm", "sheep eat word0") in everything
    again = comparison.split_rows(files, tmp_path / "b", text_columns=columns, dev_rows=10)
    assert again[1].read_text() == dev.read_text()
    other = comparison.split_rows(files, tmp_path / "c", text_columns=columns, dev_rows=10, seed=1)
    assert other[1].read_text() != dev.read_text()


def test_files_that_do_not_do_are_refused(files, tmp_path):
    with pytest.raises(DataError, match="none of the columns body"):
        comparison.read_rows(files[0], ("body",))
    with pytest.raises(DataError, match="has 40 rows; hold out fewer than 40"):
        comparison.split_rows(files[:1], tmp_path, text_columns=("title",), dev_rows=40)


def test_a_rate_is_chosen_on_the_rows_held_out():
    found = comparison.summarize([
        score("a", 0.1, 0, 0.80, 0.70), score("a", 0.1, 1, 0.90, 0.74),
        score("a", 0.2, 0, 0.70, 0.95), score("a", 0.2, 1, 0.80, 0.95),
        score("a", 0.3, 0, 0.99, 0.99),  # not run with every seed yet
        score("b", 0.1, 0, 0.50, 0.40),
    ])  # fmt: skip
    first, second = found
    assert (first.contestant, first.rate, first.seeds) == ("a", 0.1, 2)
    # Of 0.70 and 0.74: mean 0.72, deviations 0.02 from it, spread sqrt(2 * 0.02^2 / 1).
    assert first.test == pytest.approx(0.72) and first.dev == pytest.approx(0.85)
    assert first.test_spread == pytest.approx(0.02 * 2**0.5)
    assert second.test == 0.40 and math.isnan(second.test_spread)


@pytest.fixture
def run(files, tmp_path):
    """Trains a bag of words; other options change the recipe."""
    train, dev = comparison.split_rows(
        files, tmp_path / "rows", text_columns=("title", "description"), dev_rows=10
    )
    tokenizer = comparison.make_vocabulary(train, tmp_path / "tokenizer", 60, 16)
    contestant = Contestant(
        name="Bag, tiny", architecture="wave_network_small",
        overrides={"embedding": {"width": 8, "scale": 1.0}, "encoder": {"type": "IdentityEncoder"}},
    )  # fmt: skip

    def start(**options):
        recipe = comparison.make_recipe(
            contestant, train=train, dev=dev, tokenizer=tokenizer, seed=3, batch_size=10,
            lengths=[16], **{"rate": 0.1, "epochs": 4} | options,
        )  # fmt: skip
        test = [("farm", "sheep eat"), ("home", "cats sleep"), ("home", "sheep eat")]
        return comparison.run_one(recipe, contestant, test, tmp_path / "runs")

    return start


def test_a_run_is_trained_tested_and_then_kept(run, tmp_path):
    found = run()
    assert (found.dev, found.test) == (1.0, pytest.approx(2 / 3))
    # A table of at most 60 rows, and a classifier of 8 * 2 + 2.
    assert found.outside_table == 18 and found.parameters > 18 + 8 * 10
    directory = tmp_path / "runs" / "bag-tiny-0.1-3"
    assert not (directory / "checkpoints").exists()
    path = directory / comparison.RESULT_FILE
    record = json.loads(path.read_text())
    record["score"]["test"] = 0.123
    path.write_text(json.dumps(record))
    assert run() == dataclasses.replace(found, test=0.123)
    with pytest.raises(ResumeError, match="training.epochs: 4.0 then, 5.0 now"):
        run(epochs=5)
    with pytest.raises(ResumeError, match="label_smoothing: None then, 0.1 now"):
        run(changes=["objective.label_smoothing=0.1"])
    # The score was lost after the model had been written: it is found again.
    path.unlink()
    assert dataclasses.replace(run(), seconds=found.seconds) == found


def test_a_run_that_is_told_to_stop_has_no_score(run, tmp_path, monkeypatch):
    stopped = RunResult(directory=tmp_path, model=None, step=1, scores={})
    monkeypatch.setattr(comparison, "run_recipe", lambda *_, **__: stopped)
    assert run() is None
    assert not list((tmp_path / "runs").rglob(comparison.RESULT_FILE))


def test_a_picture_is_drawn(tmp_path):
    scores = [score("a", 0.1, 0, 0.8, 0.7), score("a", 0.1, 1, 0.9, 0.74)]
    draw_comparison(
        tmp_path / "a.png", comparison.summarize(scores), scores, groups={"a": "control"},
        title="A", references={"published": 91.66},
    )  # fmt: skip
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
