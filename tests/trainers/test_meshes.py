"""One device, eight devices and two processes train the same model."""

import functools
import json
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROGRAM = Path(__file__).parents[1] / "training_process.py"
STEPS = 30
MESHES = {
    "one": {"devices": 1},
    "data": {"devices": 8, "mesh": "data=8"},
    "fsdp": {"devices": 8, "mesh": "data=1,fsdp=8"},
    "mixed": {"devices": 8, "mesh": "data=2,fsdp=2,model=2"},
}


def start(options: dict, result: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), json.dumps(options), str(result)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def finish(process: subprocess.Popen) -> None:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output[-3000:]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")

    @functools.cache
    def run_once(kind: str, mesh: str) -> dict:
        result = folder / f"{kind}-{mesh}.json"
        finish(start({"kind": kind, "steps": STEPS, **MESHES[mesh]}, result))
        return json.loads(result.read_text())

    return run_once


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("localhost", 0))
        return server.getsockname()[1]


slow = pytest.mark.slow  # each is a process that compiles a step for eight devices


@pytest.mark.parametrize(
    ("kind", "mesh"),
    [
        ("contrastive", "fsdp"),
        ("mlm", "mixed"),
        pytest.param("contrastive", "data", marks=slow),
        pytest.param("contrastive", "mixed", marks=slow),
        pytest.param("mlm", "data", marks=slow),
        pytest.param("mlm", "fsdp", marks=slow),
    ],
)
def test_eight_devices_have_the_loss_curve_of_one(run, kind, mesh):
    one, many = run(kind, "one")["losses"], run(kind, mesh)["losses"]
    assert len(one) == STEPS
    assert np.ptp(one) > 0.01  # something was learned, or there would be nothing to compare
    np.testing.assert_allclose(many, one, rtol=1e-5)


@pytest.mark.parametrize("kind", ["contrastive", pytest.param("mlm", marks=slow)])
def test_two_processes_have_the_loss_curve_of_one(run, kind, tmp_path):
    options = {
        "kind": kind, "steps": STEPS, "devices": 4, "processes": 2, "port": free_port(),
        "mesh": "data=4,fsdp=2",
    }  # fmt: skip
    result = tmp_path / "result.json"
    both = [start({**options, "process": index}, result) for index in range(2)]
    for process in both:
        finish(process)
    found = json.loads(result.read_text())
    np.testing.assert_allclose(found["losses"], run(kind, "one")["losses"], rtol=1e-5)


def test_parameters_and_moments_are_really_split(run):
    placed = run("contrastive", "fsdp")["placed"]
    for name, entry in placed.items():
        if "norm" in name:
            assert entry["bytes"] == [entry["total"]] * 8, name
    for name in ("model.embedding.table", "model.encoder.layers.0.feed_forward.up.kernel",
                 "model.encoder.layers.0.attention.qkv.kernel", "adam_mu"):  # fmt: skip
        assert placed[name]["bytes"] == [placed[name]["total"] // 8] * 8, name
    # Only what is whole everywhere travels as one, a vector of float32 and one of int32.
    fsdp = run("contrastive", "fsdp")
    assert fsdp["split"] > 10
    assert fsdp["arrays_of_a_step"] == fsdp["split"] + 2
    mixed = run("mlm", "mixed")["placed"]
    kernel = mixed["model.encoder.layers.0.feed_forward.up.kernel"]
    assert "'fsdp', 'model'" in kernel["spec"]
    assert kernel["bytes"] == [kernel["total"] // 4] * 8
