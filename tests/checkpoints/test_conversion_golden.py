"""Every family against stored states of transformers (``tests/golden/make_families.py``)."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tiny_families import GOLDEN_CASES, run, write_tokenizer

from textzoo.checkpoints.transformers_layout import read_transformers
from textzoo.modules import TextBatch

GOLDEN = Path(__file__).parents[1] / "golden"


def write_model(name, directory):
    """Writes the directory that transformers would; returns what it gives for a batch."""
    with np.load(GOLDEN / f"{name}.npz") as data:
        stored = dict(data)
    (directory / "config.json").write_text(str(stored["config"]))
    tensors = {
        key.removeprefix("weights/"): array.astype(np.float32)
        for key, array in stored.items()
        if key.startswith("weights/")
    }
    save_file(tensors, directory / "model.safetensors")
    write_tokenizer(directory, json.loads(str(stored["config"]))["model_type"])
    return stored["ids"].astype(np.int32), stored["mask"], stored["states"]


@pytest.mark.parametrize("name", GOLDEN_CASES)
def test_states_equal_the_stored_ones(name, tmp_path):
    ids, mask, states = write_model(name, tmp_path)
    output = run(read_transformers(tmp_path).model, TextBatch(ids=ids, mask=mask))
    assert np.abs(np.asarray(output.hidden.states)[mask] - states).max() < 1e-5
    rows = np.split(states, np.cumsum(mask.sum(1))[:-1])
    mean = np.stack([row.mean(0) for row in rows])
    assert np.abs(np.asarray(output.vectors) - mean).max() < 1e-5
