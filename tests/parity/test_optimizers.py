"""AdamW with groups, clipping and a schedule against torch, step by step."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from textzoo.trainers.optimizers import OptimizerConfig, make_optimizer
from textzoo.trainers.schedules import ScheduleConfig

pytestmark = pytest.mark.parity

SHAPES = {"head.kernel": (4, 3), "head.bias": (3,), "model.embedding.table": (7, 4)}
STEPS = 12


def test_twelve_steps_of_adamw_are_those_of_torch():
    import torch
    import transformers

    random = np.random.default_rng(0)
    start = {path: random.normal(size=s).astype(np.float32) for path, s in SHAPES.items()}
    gradients = [
        {path: random.normal(size=s).astype(np.float32) for path, s in SHAPES.items()}
        for _ in range(STEPS)
    ]

    theirs = {path: torch.nn.Parameter(torch.tensor(value)) for path, value in start.items()}
    groups = [
        {"params": [theirs["head.kernel"], theirs["model.embedding.table"]], "weight_decay": 0.1},
        {"params": [theirs["head.bias"]], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.98), eps=1e-6)
    scheduler = transformers.get_linear_schedule_with_warmup(optimizer, 3, STEPS)
    for gradient in gradients:
        for path, value in gradient.items():
            theirs[path].grad = torch.tensor(value)
        torch.nn.utils.clip_grad_norm_(list(theirs.values()), 1.0)
        optimizer.step()
        scheduler.step()

    config = OptimizerConfig(
        betas=(0.9, 0.98), eps=1e-6, weight_decay=0.1, clip_norm=1.0,
        schedule=ScheduleConfig(kind="linear", peak=0.01, warmup_steps=3),
    )  # fmt: skip
    ours = {path: jnp.asarray(value) for path, value in start.items()}
    transformation = make_optimizer(config, ours, STEPS)
    state = transformation.init(ours)
    for gradient in gradients:
        updates, state = transformation.update(gradient, state, ours)
        ours = optax.apply_updates(ours, updates)

    for path, value in theirs.items():
        np.testing.assert_allclose(ours[path], value.detach().numpy(), atol=1e-6)
        assert not np.allclose(ours[path], start[path], atol=1e-3)
