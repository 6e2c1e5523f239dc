import io

import pytest

from textzoo.trainers.progress import TrainingProgress, describe_record, describe_seconds

RECORD = {
    "loss": 2.31415, "examples_per_second": 1234.5, "tokens_per_second": 45678.0,
    "model_flop_utilization": 0.4123, "learning_rate": 2e-5,
}  # fmt: skip


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(stream, clock, **options):
    with TrainingProgress(True, total=10, stream=stream, clock=clock, **options) as progress:
        for step in range(options.get("done", 0) + 1, 6):
            clock.now += 20
            progress.advance(step)
            progress.report(RECORD)


def test_a_record_is_told_in_one_line():
    assert describe_record(RECORD) == ("loss 2.314  1,234 examples/s  45,678 tokens/s  MFU 41.2%")
    assert describe_record({"loss": None, "tokens_per_second": None}) == "loss is no number"
    assert describe_record({}) == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00:00"), (3723.4, "1:02:03"), (-5, "0:00:00")]
)
def test_time_is_told_in_hours(seconds, text):
    assert describe_seconds(seconds) == text


def test_a_pipe_gets_a_line_now_and_then_and_one_at_the_end():
    stream = io.StringIO()
    run(stream, Clock(), every=30.0)
    lines = stream.getvalue().splitlines()
    # Reports come every 20 s: the first, then after 40 and 80; the last is the end's.
    assert [line.split()[1] for line in lines] == ["1/10", "3/10", "5/10", "5/10"]
    assert lines[0] == (
        "train 1/10  loss 2.314  1,234 examples/s  45,678 tokens/s  MFU 41.2%  0:03:00 left"
    )
    assert lines[-1].endswith("0:01:40 left")


def test_what_remains_is_told_from_the_steps_of_this_start():
    stream = io.StringIO()
    run(stream, Clock(), every=0.0, done=4)
    # One step took 20 s, five are left.
    assert stream.getvalue().splitlines()[0].endswith("5/10  " + describe_record(RECORD)
                                                      + "  0:01:40 left")  # fmt: skip


def test_a_terminal_gets_a_bar_with_rates():
    stream = Terminal()
    run(stream, Clock())
    text = stream.getvalue()
    assert "5/10" in text and "loss 2.314" in text and "MFU 41.2%" in text


def test_nothing_is_shown_unless_asked(capsys):
    with TrainingProgress(False, total=10) as progress:
        progress.advance(1)
        progress.report(RECORD)
        progress.note("a note")
    assert capsys.readouterr() == ("", "")


def test_notes_stay_and_are_not_markup(capsys):
    with TrainingProgress(True, total=10) as progress:
        progress.note("[bold] saved to [a]")
    captured = capsys.readouterr()
    assert captured.err == "[bold] saved to [a]\n" and captured.out == ""
