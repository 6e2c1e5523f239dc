"""Losses and gradients against sentence-transformers, on vectors that are in no file."""

import numpy as np
import pytest
from loss_cases import CASES, compute, make_inputs

pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")
import reference_losses  # noqa: E402

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_loss_and_gradients_are_those_of_sentence_transformers(name, seed):
    inputs = make_inputs(seed)
    loss, gradients = compute(name, inputs)
    expected, expected_gradients = reference_losses.compute(name, inputs)
    np.testing.assert_allclose(loss, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradients, expected_gradients, rtol=1e-4, atol=1e-5)
