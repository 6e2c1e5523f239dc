"""Learning rates against transformers, step by step."""

import numpy as np
import pytest

from textzoo.trainers.schedules import ScheduleConfig, make_schedule

pytestmark = pytest.mark.parity

TOTAL, WARMUP, PEAK = 40, 7, 3e-4


def rates_of_transformers(name, **options):
    import torch
    import transformers

    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=PEAK)
    make = getattr(transformers, f"get_{name}_with_warmup", None)
    make = make or getattr(transformers, f"get_{name}")
    scheduler = make(optimizer, num_warmup_steps=WARMUP, **options)
    rates = []
    for _ in range(TOTAL + 5):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(
    ("kind", "name", "options"),
    [
        ("linear", "linear_schedule", {"num_training_steps": TOTAL}),
        ("cosine", "cosine_schedule", {"num_training_steps": TOTAL}),
        ("constant", "constant_schedule", {}),
        ("inverse_sqrt", "inverse_sqrt_schedule", {}),
    ],
)
def test_every_step_has_the_rate_of_transformers(kind, name, options):
    config = ScheduleConfig(kind=kind, peak=PEAK, warmup_steps=WARMUP)
    schedule = make_schedule(config, TOTAL)
    # Theirs goes up again after the end of a cosine; ours stays.
    steps = range(TOTAL + (0 if kind == "cosine" else 5))
    ours = [float(schedule(step)) for step in steps]
    theirs = rates_of_transformers(name, **options)[: len(ours)]
    np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=1e-11)
