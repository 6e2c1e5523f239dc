"""Losses and gradients against those of sentence-transformers, as tests/golden keeps them."""

from pathlib import Path

import numpy as np
import pytest
from loss_cases import CASES, compute, make_inputs

GOLDEN = np.load(Path(__file__).parents[2] / "golden" / "losses.npz")
INPUTS = {
    name.removeprefix("inputs/"): GOLDEN[name] for name in GOLDEN if name.startswith("inputs/")
}


@pytest.mark.parametrize("name", CASES)
def test_loss_and_gradients_are_those_of_sentence_transformers(name):
    loss, gradients = compute(name, INPUTS)
    np.testing.assert_allclose(loss, GOLDEN[f"{name}/loss"], rtol=1e-5, atol=1e-6)
    assert np.abs(gradients).max() > 1e-3
    np.testing.assert_allclose(gradients, GOLDEN[f"{name}/gradients"], rtol=1e-4, atol=1e-5)


def test_the_golden_inputs_are_those_the_cases_make():
    for name, array in make_inputs().items():
        np.testing.assert_array_equal(INPUTS[name], array)
