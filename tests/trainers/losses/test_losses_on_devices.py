import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]


@functools.cache
def report():
    """What losses and encoding give on 8 devices beside one."""
    paths = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ, "PYTHONPATH": os.pathsep.join(paths), "JAX_PLATFORMS": "cpu",
    }  # fmt: skip
    environment.pop("XLA_FLAGS", None)
    done = subprocess.run(
        [sys.executable, TESTS / "vectors_on_devices.py"], env=environment, text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_eight_devices_give_the_losses_and_gradients_of_one():
    differences = report()["differences"]
    assert len(differences) == 11
    assert {name: d for name, d in differences.items() if not d < 1e-6} == {}


@pytest.mark.slow
def test_every_device_does_its_share_of_the_work():
    # Cut on the leading axis, every device would encode and compare every chunk: a share of 1.
    shares = report()["shares"]
    assert {name: share for name, share in shares.items() if not share < 0.2} == {}
