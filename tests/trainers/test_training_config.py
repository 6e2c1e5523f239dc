"""Settings of a run that make no sense are refused."""

import pytest

from textzoo.errors import ConfigError
from textzoo.trainers.training_config import TrainingConfig


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps=0; use a whole number, 1 or more"),
        ({"steps": None}, "steps=None"),
        ({"steps": "10"}, "steps='10'"),
        ({"steps": True}, "steps=True"),
        ({"steps": 1.5}, "steps=1.5"),
        ({"accumulation": 0}, "accumulation=0"),
        ({"log_every": None}, "log_every=None"),
        ({"evaluate_every": 0}, "evaluate_every=0; .*, or leave it out"),
        ({"save_every": -1}, "save_every=-1"),
        ({"keep_last": 0}, "keep_last=0"),
        ({"keep_best": -1}, "keep_best=-1; use a whole number, 0 or more"),
        ({"seed": -1}, "seed=-1"),
        ({"remat": "ful"}, "remat='ful' is unknown; use one of none, dots, full"),
        ({"best_mode": "most"}, "best_mode='most'"),
        ({"average_decay": 1.0}, "average_decay=1.0"),
        ({"average_decay": float("nan")}, "average_decay=nan"),
    ],
)
def test_senseless_settings_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        TrainingConfig(**{"steps": 1, **options})


def test_what_may_be_left_out_may_be_none():
    config = TrainingConfig(steps=1, evaluate_every=None, save_every=None, keep_best=0)
    assert config.evaluate_every is None
