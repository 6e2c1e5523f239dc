"""A run that is killed again and again ends with the bits of one that was not."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from textzoo.trainers.metrics import read_metrics

PROGRAM = Path(__file__).parents[1] / "training_process.py"
OPTIONS = {"steps": 60, "save_every": 1, "evaluate_every": 1, "pause": 0.03}

pytestmark = pytest.mark.slow


def start(options: dict, result: Path, log: Path) -> subprocess.Popen:
    with log.open("a") as output:
        return subprocess.Popen(
            [sys.executable, str(PROGRAM), json.dumps(options), str(result)],
            stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip


def lines_of(directory: Path) -> int:
    path = directory / "metrics.jsonl"
    return len(path.read_bytes().splitlines()) if path.exists() else 0


def run_and_kill(options: dict, result: Path, kills: int, rng: random.Random) -> tuple[int, int]:
    """Kills the run so often, and lets it end; returns SIGKILLs sent and SIGTERMs obeyed."""
    directory, log = Path(options["directory"]), result.with_suffix(".log")
    killed = stopped = 0
    while True:
        process = start(options, result, log)
        before = lines_of(directory)
        send_term = killed == kills // 2 and not stopped
        deadline = time.monotonic() + rng.uniform(0.0, 0.6)
        begun = time.monotonic()
        while process.poll() is None and (killed < kills or send_term):
            # In the middle of training: the first new line says that it goes on.
            if lines_of(directory) == before or time.monotonic() < deadline:
                if lines_of(directory) == before:
                    deadline = time.monotonic() + rng.uniform(0.0, 0.6)
                assert time.monotonic() - begun < 240, log.read_text()[-2000:]
                time.sleep(0.01)
                continue
            process.send_signal(signal.SIGTERM if send_term else signal.SIGKILL)
            break
        code = process.wait(timeout=240)
        if code == -signal.SIGKILL:
            killed += 1
            continue
        assert code == 0, log.read_text()[-2000:]
        found = json.loads(result.read_text())
        if not found["is_complete"]:
            stopped += 1
            continue
        return killed, stopped


@pytest.mark.parametrize("devices", [1, 8])
def test_ten_kills_and_one_sigterm_change_no_bit(tmp_path, devices):
    base = {**OPTIONS, "devices": devices, "cache": str(tmp_path / "compiled")}
    if devices == 8:
        base["mesh"] = "data=2,fsdp=2,model=2"
    whole = tmp_path / "whole.json"
    process = start({**base, "directory": str(tmp_path / "whole")}, whole, tmp_path / "whole.log")
    assert process.wait(timeout=300) == 0, (tmp_path / "whole.log").read_text()[-2000:]

    parts = tmp_path / "parts.json"
    options = {**base, "directory": str(tmp_path / "parts")}
    killed, stopped = run_and_kill(options, parts, 10, random.Random(devices))
    assert (killed, stopped) == (10, 1)

    expected, found = json.loads(whole.read_text()), json.loads(parts.read_text())
    assert found["step"] == expected["step"] == OPTIONS["steps"]
    assert found["checksums"] == expected["checksums"]
    curves = [
        [line["loss"] for line in read_metrics(tmp_path / name / "metrics.jsonl") if "loss" in line]
        for name in ("whole", "parts")
    ]
    assert curves[0] == curves[1]
    assert len(curves[0]) == OPTIONS["steps"]


def test_a_run_of_eight_devices_goes_on_on_one(tmp_path):
    base = {**OPTIONS, "pause": 0.0, "cache": str(tmp_path / "compiled")}
    eight = {**base, "devices": 8, "mesh": "data=2,fsdp=4"}

    def run(options, directory, result):
        log = tmp_path / "log"
        process = start({**options, "directory": str(tmp_path / directory)}, result, log)
        return process, log

    whole, moved = tmp_path / "whole.json", tmp_path / "moved.json"
    process, log = run(eight, "whole", whole)
    assert process.wait(timeout=300) == 0, log.read_text()[-2000:]
    process, log = run({**eight, "pause": 0.05}, "moved", moved)
    while lines_of(tmp_path / "moved") < 30:  # half of the steps
        assert process.poll() is None, log.read_text()[-2000:]
        time.sleep(0.01)
    process.kill()
    process.wait()
    process, log = run({**base, "devices": 1}, "moved", moved)
    assert process.wait(timeout=300) == 0, log.read_text()[-2000:]

    expected, found = json.loads(whole.read_text()), json.loads(moved.read_text())
    curves = [
        [line["loss"] for line in read_metrics(tmp_path / name / "metrics.jsonl") if "loss" in line]
        for name in ("whole", "moved")
    ]
    np.testing.assert_allclose(curves[1], curves[0], rtol=1e-5)
    for name, values in expected["values"].items():
        np.testing.assert_allclose(found["values"][name], values, rtol=1e-4, atol=1e-6)
