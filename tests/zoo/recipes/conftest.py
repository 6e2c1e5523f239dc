import json

import pytest
from tiny_models import WORDS, write_tiny_model

from textzoo.recipes import Recipe


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The path of a small model."""
    return str(write_tiny_model(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(autouse=True)
def _no_pictures(request, monkeypatch):
    """A picture takes longer to draw than all these models to train."""
    if "pictures" not in request.fixturenames:
        monkeypatch.setattr("textzoo.recipes.run.draw", lambda job, directory: None)


@pytest.fixture
def pictures():
    """Asks for pictures."""


def texts(count=24):
    words = WORDS[1:]
    return [
        " ".join(words[(start * 7 + place * (1 + start % 3)) % len(words)] for place in range(4))
        for start in range(count)
    ]


@pytest.fixture(scope="session")
def rows(tmp_path_factory):
    """A file with a column of every kind; the class is whether there is a cat."""
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    found = texts()
    with path.open("w") as file:
        for number, text in enumerate(found):
            row = {
                "text": text,
                "other": found[(number + 1) % len(found)],
                "third": found[(number + 2) % len(found)],
                "label": "cat" if "cat" in text.split() else "other",
                "score": number / 10,
                "vector": [float(number % 3), 1.0, 0.5, 0.0, 0.0, 1.0, 2.0, 0.1],
                "logits": [float(number % 2), 0.5],
                "spans": [[0, text.index(" ")], [[text.index(" ") + 1, len(text)]]],
                "says": [f"{number // 2} first", number],
            }
            file.write(json.dumps(row) + "\n")
    return str(path)


@pytest.fixture
def make_recipe(tiny, rows):
    """Makes a recipe of few steps from tables that are added to a small one."""

    def make(kind="classifier", **tables):
        data = {
            "kind": kind,
            "model": {"start": tiny},
            "data": {"sources": rows, "batch_size": 8, "lengths": [8], "held_out": 6},
            "training": {
                "steps": 6,
                "evaluate_every": 3,
                "log_every": 3,
                "optimizer": {"schedule": {"peak": 0.05, "warmup_steps": 1}},
            },
        }
        if kind == "classifier":
            data["data"]["labels"] = "label"
        for name, table in tables.items():
            if isinstance(table, dict):
                data[name] = {**data.get(name, {}), **table}
            else:
                data[name] = table
        return Recipe.from_dict(data)

    return make
