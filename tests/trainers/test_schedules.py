import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textzoo.errors import ConfigError
from textzoo.trainers.schedules import KINDS, ScheduleConfig, make_schedule


def values(steps, total=10, **options):
    schedule = make_schedule(ScheduleConfig(**{"peak": 8.0, **options}), total)
    return [float(schedule(step)) for step in steps]


def near(expected):
    return pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_warm_up_grows_from_zero_to_the_peak():
    assert values(range(5), kind="constant", warmup_steps=4) == near([0, 2, 4, 6, 8])


def test_constant_stays_at_the_peak():
    assert values([0, 5, 10, 99], kind="constant", warmup_steps=0) == near([8] * 4)


def test_linear_falls_to_its_end_and_stays_there():
    # Two steps of warm-up, eight of decay: 8 - s.
    found = values([2, 3, 6, 9, 10, 50], kind="linear", warmup_steps=2)
    assert found == near([8, 7, 4, 1, 0, 0])


def test_linear_ends_at_a_share_of_the_peak():
    assert values([2, 6, 10], kind="linear", warmup_steps=2, end_share=0.25) == near([8, 5, 2])


def test_cosine_is_half_way_in_the_middle():
    # (1 + cos(pi / 4)) / 2 = 0.853553 after a quarter.
    found = values([2, 4, 6, 10, 30], kind="cosine", warmup_steps=2)
    assert found == near([8, 8 * 0.8535534, 4, 0, 0])
    assert values([6, 10], kind="cosine", warmup_steps=2, end_share=0.5) == near([6, 4])


def test_wsd_holds_the_peak_and_then_falls():
    found = values([1, 2, 6, 7, 8, 10, 30], kind="wsd", warmup_steps=2, decay_share=0.4)
    assert found == near([4, 8, 8, 6, 4, 0, 0])


def test_wsd_falls_with_the_root_of_the_progress():
    # A quarter of the decay done: 1 - sqrt(1/4) = 1/2 of the peak.
    found = values([6, 7, 10, 30], kind="wsd", warmup_steps=2, decay_share=0.4, decay_shape="sqrt")
    assert found == near([8, 4, 0, 0])


def test_wsd_without_decay_is_constant():
    found = values([2, 9, 10, 30], kind="wsd", warmup_steps=2, decay_share=0.0)
    assert found == near([8, 8, 8, 8])


def test_inverse_sqrt_halves_when_the_steps_quadruple():
    assert values([2, 4, 16, 64], kind="inverse_sqrt", warmup_steps=4) == near([4, 8, 4, 2])


@pytest.mark.parametrize(("share", "total", "steps"), [(0.1, 25, 3), (0.07, 100, 7), (0, 9, 0)])
def test_a_share_of_warm_up_is_rounded_up(share, total, steps):
    assert ScheduleConfig(warmup_share=share).count_warmup_steps(total) == steps


def test_steps_of_warm_up_go_before_a_share():
    config = ScheduleConfig(warmup_steps=0, warmup_share=0.5)
    assert config.count_warmup_steps(100) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_schedule_is_the_same_in_a_compiled_step(kind):
    schedule = make_schedule(ScheduleConfig(kind=kind, peak=1.0, decay_share=0.5), 20)
    steps = np.arange(25, dtype=np.int32)
    compiled = jax.jit(jax.vmap(schedule))(steps)
    np.testing.assert_allclose(compiled, [schedule(step) for step in steps], atol=1e-6)


@given(
    kind=st.sampled_from(KINDS), total=st.integers(4, 60), warmup=st.floats(0.05, 0.5),
    end=st.floats(0, 1), decay=st.floats(0, 0.25), shape=st.sampled_from(["linear", "sqrt"]),
)  # fmt: skip
def test_no_schedule_leaves_the_range_between_zero_and_peak(kind, total, warmup, end, decay, shape):
    config = ScheduleConfig(
        kind=kind, peak=3.0, warmup_share=warmup, end_share=end, decay_share=decay,
        decay_shape=shape,
    )  # fmt: skip
    schedule = make_schedule(config, total)
    found = np.array(jax.vmap(schedule)(np.arange(65)))  # of one shape: compiled once
    top = config.count_warmup_steps(total)
    assert found.min() >= -1e-6 and found.max() <= 3.0 + 1e-6
    assert (np.diff(found[: top + 1]) >= 0).all()
    assert (np.diff(found[top:]) <= 1e-6).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "cosin"}, "did you mean 'cosine'"),
        ({"decay_shape": "square"}, "decay_shape='square'"),
        ({"peak": 0.0}, "peak=0.0; use a number above 0"),
        ({"warmup_steps": -1}, "use 0 or more"),
        ({"end_share": 1.5}, "end_share=1.5; a share"),
        ({"decay_share": float("nan")}, "decay_share=nan"),
    ],
)
def test_a_bad_option_is_refused_with_what_to_write(options, message):
    with pytest.raises(ConfigError, match=message):
        ScheduleConfig(**options)


@pytest.mark.parametrize(
    ("options", "total", "message"),
    [
        ({"warmup_steps": 11}, 10, "11 warm-up steps do not fit into a run of 10"),
        ({"kind": "wsd", "warmup_share": 0.6, "decay_share": 0.6}, 10, "6 of decay do not fit"),
        ({"kind": "inverse_sqrt", "warmup_steps": 0}, 10, "warmup_steps=1000"),
        ({}, 0, "a run of 0 steps"),
    ],
)
def test_phases_that_do_not_fit_are_refused(options, total, message):
    with pytest.raises(ConfigError, match=message):
        make_schedule(ScheduleConfig(**options), total)
