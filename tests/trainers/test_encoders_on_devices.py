"""Encoders that are no transformers, in a mesh that splits rows, parameters and features."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


@functools.cache
def report():
    """How far slopes on 8 devices are from those on one."""
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "JAX_PLATFORMS": "cpu"}
    environment.pop("XLA_FLAGS", None)
    done = subprocess.run(
        [sys.executable, TESTS / "encoders_on_devices.py"], env=environment, text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("encoder", ["recurrent", "convolution", "recursive"])
def test_slopes_on_eight_devices_are_those_of_one(encoder):
    assert report()[encoder] < 1e-5
