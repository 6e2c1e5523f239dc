"""Every family against stored states of transformers (``tests/golden/make_families.py``)."""

import numpy as np
import pytest
from tiny_families import GOLDEN_CASES, run, write_golden

from textzoo.checkpoints.transformers_layout import read_transformers
from textzoo.modules import TextBatch


@pytest.mark.parametrize("name", GOLDEN_CASES)
def test_states_equal_the_stored_ones(name, tmp_path):
    ids, mask, states = write_golden(name, tmp_path)
    output = run(read_transformers(tmp_path).model, TextBatch(ids=ids, mask=mask))
    assert np.abs(np.asarray(output.hidden.states)[mask] - states).max() < 2e-5
    rows = np.split(states, np.cumsum(mask.sum(1))[:-1])
    mean = np.stack([row.mean(0) for row in rows])
    assert np.abs(np.asarray(output.vectors) - mean).max() < 2e-5
