import json
import math

import jax.numpy as jnp
import pytest

from textzoo.errors import DataError
from textzoo.trainers.metrics import MetricBuffer, MetricLog, RateMeter, read_metrics
from textzoo.trainers.tensorboard import TensorBoardWriter


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Recorder:
    def __init__(self):
        self.written, self.closed = [], False

    def write(self, step, values):
        self.written.append((step, dict(values)))

    def close(self):
        self.closed = True


def buffer_of(*losses):
    buffer = MetricBuffer()
    for step, loss in enumerate(losses, start=1):
        buffer.add(
            step, {"loss": jnp.float32(loss)}, examples=4, tokens=30, identity=f"batch {step}"
        )
    return buffer


def test_a_window_has_the_means_of_its_steps():
    buffer = buffer_of(1, 2)
    buffer.add(3, {"loss": jnp.float32(6), "accuracy": jnp.float32(0.5)}, examples=2, tokens=5)
    window = buffer.fetch()
    assert window.means() == {"loss": 3.0, "accuracy": 0.5}
    assert (window.examples, window.tokens) == (10, 65)
    assert [step.step for step in window.steps] == [1, 2, 3]


def test_fetching_empties_the_buffer():
    buffer = buffer_of(1)
    assert len(buffer) == 1
    buffer.fetch()
    assert len(buffer) == 0
    assert buffer.fetch().steps == [] and buffer.fetch().examples == 0


def test_the_first_step_without_a_finite_loss_is_named():
    window = buffer_of(1.0, math.inf, math.nan, 2.0).fetch()
    bad = window.first_bad()
    assert (bad.step, bad.identity, bad.is_finite()) == (2, "batch 2", False)
    assert buffer_of(1.0, 2.0).fetch().first_bad() is None


def test_rates_count_the_time_between_two_measurements():
    clock = Clock()
    meter = RateMeter(flops_per_second=1e3, clock=clock)
    clock.now += 2
    # 8 examples, 60 tokens, 500 operations in 2 s of 1,000 possible ones each.
    assert meter.measure(buffer_of(1, 1).fetch(), flops=500.0) == {
        "examples_per_second": 4.0,
        "tokens_per_second": 30.0,
        "seconds_per_step": 1.0,
        "model_flop_utilization": 0.25,
    }
    clock.now += 4
    assert meter.measure(buffer_of(1, 1).fetch(), flops=500.0)["examples_per_second"] == 2.0


def test_rates_leave_out_pauses_and_what_was_before_a_restart():
    clock = Clock()
    meter = RateMeter(clock=clock)
    clock.now += 50
    meter.restart()
    clock.now += 1
    with meter.paused():
        clock.now += 10
    clock.now += 1
    rates = meter.measure(buffer_of(1, 1).fetch(), flops=1.0)
    assert rates["examples_per_second"] == 4.0
    assert "model_flop_utilization" not in rates


def write_steps(path, steps, **options):
    with MetricLog(path, **options) as log:
        for step in steps:
            log.write(step, {"loss": float(step)})


def test_a_line_is_written_at_once(tmp_path):
    clock = Clock()
    log = MetricLog(tmp_path / "run" / "metrics.jsonl", clock=clock)
    clock.now += 1.5
    record = log.write(7, {"loss": 2.5, "epoch": 1})
    log.write_evaluation(7, {"accuracy": 0.5})
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[0]) == record == {"step": 7, "loss": 2.5, "epoch": 1, "seconds": 1.5}
    assert json.loads(lines[1]) == {"step": 7, "evaluation": {"accuracy": 0.5}, "seconds": 1.5}
    log.close()


def test_numbers_that_are_not_finite_are_null(tmp_path):
    with MetricLog(tmp_path / "m.jsonl") as log:
        log.write(1, {"loss": math.nan, "terms": {"a": math.inf}})
    text = (tmp_path / "m.jsonl").read_text()
    assert "NaN" not in text and "Infinity" not in text
    assert read_metrics(tmp_path / "m.jsonl")[0]["terms"] == {"a": None}


def test_a_resumed_run_reads_as_one(tmp_path):
    path = tmp_path / "m.jsonl"
    clock = Clock()
    with MetricLog(path, clock=clock) as log:
        for step in range(1, 6):
            clock.now += 1
            log.write(step, {"loss": float(step)})
    with MetricLog(path, resume_step=3, clock=clock) as log:
        clock.now += 1
        log.write(4, {"loss": 40.0})
    found = read_metrics(path)
    assert [line["step"] for line in found] == [1, 2, 3, 4]
    assert found[-1]["loss"] == 40.0
    assert [line["seconds"] for line in found] == [1, 2, 3, 4]


def test_a_line_that_was_cut_off_is_dropped(tmp_path):
    path = tmp_path / "m.jsonl"
    write_steps(path, [1, 2, 3])
    path.write_text(path.read_text()[:-9])
    assert [line["step"] for line in read_metrics(path)] == [1, 2]
    write_steps(path, [3], resume_step=3)
    assert [line["step"] for line in read_metrics(path)] == [1, 2, 3]


def test_a_new_run_starts_the_file_anew(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text("something else\n")
    write_steps(path, [1])
    assert [line["step"] for line in read_metrics(path)] == [1]
    assert [file.name for file in tmp_path.iterdir()] == ["m.jsonl"]


def test_a_file_that_holds_something_else_is_refused(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text('{"step": 1}\n{"loss": 2}\n{"step": 3}\n')
    with pytest.raises(DataError, match="line 2 is not of a metrics file"):
        MetricLog(path, resume_step=3)


def test_a_place_that_cannot_be_written_is_an_error_of_textzoo(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be"):
        MetricLog(tmp_path / "file" / "m.jsonl")


def test_writers_get_every_number(tmp_path):
    recorder = Recorder()
    with MetricLog(tmp_path / "m.jsonl", writers=[recorder]) as log:
        log.write(1, {"loss": 2.0, "source": "a.jsonl", "examples": 3, "ready": True})
        log.write_evaluation(1, {"accuracy": 0.5})
    assert recorder.written == [
        (1, {"loss": 2.0, "examples": 3}),
        (1, {"evaluation/accuracy": 0.5}),
    ]
    assert recorder.closed


def test_tensorboard_gets_events(tmp_path):
    events = pytest.importorskip("tensorboardX.proto.event_pb2")
    with MetricLog(tmp_path / "m.jsonl", writers=[TensorBoardWriter(tmp_path / "events")]) as log:
        log.write(5, {"loss": 2.5})
    (file,) = (tmp_path / "events").iterdir()
    data, found = file.read_bytes(), []
    while data:  # records: length, checksum, message, checksum
        size = int.from_bytes(data[:8], "little")
        found.append(events.Event.FromString(data[12 : 12 + size]))
        data = data[16 + size :]
    values = [(e.step, v.tag, v.simple_value) for e in found for v in e.summary.value]
    assert values == [(5, "loss", 2.5)]


def test_tensorboard_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"textzoo\[tensorboard\]"):
        TensorBoardWriter(tmp_path)
