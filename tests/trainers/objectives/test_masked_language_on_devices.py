import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
UNITS = ("token", "word", "span", "n_gram")

pytestmark = pytest.mark.slow


@functools.cache
def report():
    """What masking and its loss are on 8 devices beside one."""
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "JAX_PLATFORMS": "cpu"}
    environment.pop("XLA_FLAGS", None)
    done = subprocess.run(
        [sys.executable, TESTS / "masked_language_on_devices.py"], env=environment, text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("unit", UNITS)
def test_rows_on_eight_devices_have_the_masks_of_one(unit):
    assert report()["same"][unit]


@pytest.mark.parametrize("unit", UNITS)
def test_masking_needs_no_communication(unit):
    assert report()["collectives"][unit] == []


@pytest.mark.parametrize("block", ["None", "3"])
def test_the_loss_is_the_same_where_the_vocabulary_is_split(block):
    assert report()["differences"][block] < 2e-6


@pytest.mark.parametrize("block", ["None", "3"])
def test_a_split_vocabulary_is_never_gathered(block):
    # Sums are exchanged, scores and table are not.
    assert report()["collectives"][f"loss, block {block}"] == ["all-reduce"]
