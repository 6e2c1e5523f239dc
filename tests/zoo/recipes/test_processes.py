import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import textzoo

SCRIPT = Path(__file__).parents[3] / "scripts" / "train_classifier"


@pytest.mark.slow
def test_two_processes_train_one_model(tiny, rows, tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        f'kind = "classifier"\n[model]\nstart = "{tiny}"\n[data]\nsources = "{rows}"\n'
        'labels = "label"\nbatch_size = 8\nlengths = [8]\nheld_out = 6\n[training]\nsteps = 4\n'
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    }
    options = ["--output", "run", "--no-progress", "--coordinator", f"127.0.0.1:{port}"]
    processes = [
        subprocess.Popen(
            [sys.executable, SCRIPT, recipe, *options, "--num-processes", "2",
             "--process-id", str(number)],
            cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(2)
    ]  # fmt: skip
    outputs = [process.communicate(timeout=180)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert "model in run/model" in outputs[0]
    assert "model in" not in outputs[1]
    assert textzoo.load(tmp_path / "run" / "model").encode(["the cat sat"]).shape == (1, 2)
