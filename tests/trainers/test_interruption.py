import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from textzoo.trainers.interruption import Interruption

SIGNALS = [signal.SIGTERM, signal.SIGINT]


@pytest.fixture(autouse=True)
def _usual_handlers():
    """Those of a program at a terminal: a shell makes jobs in its background ignore control-C."""
    usual = (signal.SIG_DFL, signal.default_int_handler)
    before = [signal.signal(*pair) for pair in zip(SIGNALS, usual, strict=True)]
    yield
    for pair in zip(SIGNALS, before, strict=True):
        signal.signal(*pair)


def handlers():
    return [signal.getsignal(number) for number in SIGNALS]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_sets_the_flag_and_the_step_goes_on(number):
    with Interruption() as stop:
        assert not stop.requested
        assert not stop.agreed(1)
        os.kill(os.getpid(), number)
        assert stop.requested
        assert stop.agreed(1)


def test_earlier_handlers_are_back_afterwards():
    before = handlers()
    with Interruption():
        assert handlers() != before
    assert handlers() == before
    with pytest.raises(ZeroDivisionError), Interruption():
        1 / 0  # noqa: B018
    assert handlers() == before


def test_a_second_control_c_interrupts_at_once():
    with pytest.raises(KeyboardInterrupt), Interruption() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)  # is cut short


def test_contexts_may_be_nested():
    before = handlers()
    with Interruption() as outer:
        with Interruption() as inner:
            os.kill(os.getpid(), signal.SIGTERM)
            assert inner.requested
            assert not outer.requested
            os.kill(os.getpid(), signal.SIGTERM)
            assert outer.requested
    assert handlers() == before


def test_in_another_thread_nothing_is_changed():
    before, seen = handlers(), []

    def run():
        with Interruption() as stop:
            seen.append((handlers(), stop.agreed(0)))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [(before, False)]


@pytest.mark.parametrize("check_every", [0, -1, 2.0, True])
def test_a_bad_distance_is_named(check_every):
    with pytest.raises(ValueError, match="check_every"):
        Interruption(check_every=check_every)


def test_a_second_sigterm_ends_the_process():
    code = """
        import os, signal
        from textzoo.trainers.interruption import Interruption
        with Interruption() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            print(stop.requested, flush=True)
            os.kill(os.getpid(), signal.SIGTERM)
            print("still here", flush=True)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "True\n")


TWO_PROCESSES = """
    import os, signal, sys
    import jax
    jax.config.update("jax_num_cpu_devices", 1)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    index = int(sys.argv[1])
    jax.distributed.initialize(f"localhost:{sys.argv[2]}", 2, index)
    from textzoo.trainers.interruption import Interruption
    with Interruption(check_every=4) as stop:
        for step in range(20):
            if index == 1 and step == 5:
                os.kill(os.getpid(), signal.SIGTERM)  # reaches only one of them
            if stop.agreed(step):
                break
    print(step, stop.requested)
"""


def test_two_processes_stop_at_the_same_step(free_port):
    command = [sys.executable, "-c", textwrap.dedent(TWO_PROCESSES)]
    processes = [
        subprocess.Popen(
            [*command, str(index), str(free_port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    outputs = [process.communicate(timeout=120) for process in processes]
    last_lines = [output.splitlines()[-1:] for output, _ in outputs]
    assert last_lines == [["8 False"], ["8 True"]], outputs


@pytest.fixture
def free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]
