import json
import struct

import numpy as np
import pytest

from textzoo.errors import DataError
from textzoo.trainers.plots import draw_training, smooth, spread


def write_run(path, steps=200, evaluations=True, rate=True):
    random = np.random.default_rng(0)
    with path.open("w") as file:
        for step in range(10, steps + 1, 10):
            loss = 3 * np.exp(-step / 80) + 1 + 0.2 * random.normal()
            line = {"step": step, "loss": loss if step != 50 else None}
            if rate:
                line["learning_rate"] = 2e-5 * min(step / 40, (steps - step) / (steps - 40))
            file.write(json.dumps(line) + "\n")
            if evaluations and step % 50 == 0:
                scores = {"loss": (loss or 1) + 0.3, "spearman": 1 - loss / 9}
                file.write(json.dumps({"step": step, "evaluation": scores}) + "\n")
    return path


def size_of(png):
    data = png.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", data[16:24])


def test_smoothing_weighs_what_is_older_less():
    # Half-life of one value: (4 + 0 / 2) / 1.5, then (0 + 4 / 2 + 0 / 4) / 1.75.
    np.testing.assert_allclose(smooth(np.array([0.0, 4.0, 0.0]), 1), [0, 4 / 1.5, 2 / 1.75])


def test_smoothing_passes_over_what_is_no_number():
    nan = np.nan
    np.testing.assert_allclose(smooth(np.array([nan, 2.0, nan, 2.0]), 3), [nan, 2, 2, 2])


def test_a_constant_stays_constant_when_smoothed():
    np.testing.assert_allclose(smooth(np.full(50, 0.7), 5.0), 0.7)


def test_labels_move_apart_as_little_as_needed():
    assert spread([10, 50, 90], gap=20, size=100) == [10, 50, 90]
    assert spread([50, 55], gap=20, size=100) == [50, 70]
    assert spread([0, 95, 96], gap=20, size=100) == [10, 70, 90]


def test_a_run_becomes_a_picture(tmp_path):
    draw_training(tmp_path / "loss.png", write_run(tmp_path / "m.jsonl"), title="a run")
    width, height = size_of(tmp_path / "loss.png")
    assert width == 1320 and height > 800


def test_panels_without_data_are_left_out(tmp_path):
    metrics = write_run(tmp_path / "m.jsonl", steps=10, evaluations=False, rate=False)
    draw_training(tmp_path / "loss.png", metrics)
    width, height = size_of(tmp_path / "loss.png")
    assert width == 1320 and 500 < height < 800


def test_a_file_without_losses_is_refused(tmp_path):
    with pytest.raises(DataError, match="no line with a loss"):
        draw_training(tmp_path / "loss.png", tmp_path / "missing.jsonl")
