"""Checkpoints when the disk is full, and when the process is killed."""

import contextlib
import re
import signal
import subprocess
import sys
import textwrap
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from textzoo.checkpoints.training_state import TrainingCheckpoints
from textzoo.errors import CheckpointError

resource = pytest.importorskip("resource")


@contextlib.contextmanager
def full_disk(limit: int = 200_000):
    """No file grows beyond ``limit`` bytes; writing to it fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def make_state(seed: int) -> dict:
    noise = np.random.default_rng(seed).standard_normal(250_000)  # 1 MB, hardly compressible
    return {"params": {"w": jnp.asarray(noise, jnp.float32)}}


def abstract() -> dict:
    return {"params": {"w": jax.ShapeDtypeStruct((250_000,), jnp.float32)}}


@pytest.fixture
def checkpoints(tmp_path):
    """With steps 1 and 2 saved."""
    with TrainingCheckpoints(tmp_path / "run", keep_last=2) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, make_state(step), data={})
        checkpoints.wait()
        yield checkpoints


@pytest.mark.parametrize("then", ["wait", "save", "close", "restore_latest"])
def test_the_error_of_a_full_disk_comes_with_the_next_call(checkpoints, then):
    calls = {
        "wait": checkpoints.wait,
        "save": lambda: checkpoints.save(4, make_state(4), data={}),
        "close": checkpoints.close,
        "restore_latest": lambda: checkpoints.restore_latest(abstract()),
    }
    with full_disk():
        checkpoints.save(3, make_state(3), data={})
        with pytest.raises(CheckpointError) as info:
            calls[then]()
    message = str(info.value)
    assert f"step 3 could not be written to {checkpoints.directory}: " in message
    assert "takes up to 1.0 MB" in message
    assert re.search(r"[\d,.]+ MB are free without it; those of steps \[1, 2\] are", message)
    assert info.value.__cause__ is not None
    # Earlier checkpoints are intact, nothing is left of this one, and the error comes once.
    checkpoints.wait()
    assert sorted(path.name for path in checkpoints.directory.iterdir()) == ["1", "2"]
    restored = TrainingCheckpoints(checkpoints.directory).restore_latest(abstract())
    assert (restored.step, restored.skipped) == (2, ())
    np.testing.assert_array_equal(restored.state["params"]["w"], make_state(2)["params"]["w"])


def test_the_error_of_a_synchronous_save_comes_at_once(tmp_path):
    with TrainingCheckpoints(tmp_path, asynchronous=False) as checkpoints:
        checkpoints.save(1, make_state(1), data={})
        with full_disk(), pytest.raises(CheckpointError, match=r"step 2 .* \[1\] are intact"):
            checkpoints.save(2, make_state(2), data={})
        checkpoints.save(2, make_state(2), data={})
        assert checkpoints.steps() == [1, 2]


def test_a_first_checkpoint_that_fails_says_that_there_is_no_other(tmp_path):
    with TrainingCheckpoints(tmp_path / "run", asynchronous=False) as checkpoints:
        with full_disk(), pytest.raises(CheckpointError, match="there is no other"):
            checkpoints.save(1, make_state(1), data={})
        assert checkpoints.restore_latest(abstract()) is None


def test_the_run_saves_again_when_there_is_space(checkpoints):
    with full_disk():
        checkpoints.save(3, make_state(3), data={})
        with pytest.raises(CheckpointError):
            checkpoints.wait()
    checkpoints.save(3, make_state(33), data={"again": True})
    checkpoints.wait()
    assert checkpoints.steps() == [2, 3]
    restored = checkpoints.restore_latest(abstract())
    assert (restored.step, restored.data) == (3, {"again": True})
    np.testing.assert_array_equal(restored.state["params"]["w"], make_state(33)["params"]["w"])


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    checkpoints = TrainingCheckpoints(tmp_path / "file" / "run")
    with pytest.raises(CheckpointError, match=f"step 1 could not be written to {tmp_path}/file"):
        checkpoints.save(1, make_state(1), data={})


# Saves step after step without a pause: array i of step s is s * 1000 + i.
SAVING = """
    import sys
    import jax
    import jax.numpy as jnp
    from textzoo.checkpoints.training_state import TrainingCheckpoints

    def make(step):
        return {"params": {str(i): jnp.full(60_000, float(step * 1000 + i)) for i in range(6)}}

    def restore(checkpoints):
        shapes = jax.eval_shape(lambda: make(0))
        restored = checkpoints.restore_latest(shapes)
        if restored is not None:
            assert restored.skipped == (), restored.skipped
            for i in range(6):
                expected = float(restored.step * 1000 + i)
                assert (restored.state["params"][str(i)] == expected).all(), restored.step
        return 0 if restored is None else restored.step

    if __name__ == "__main__":
        checkpoints = TrainingCheckpoints(sys.argv[1], keep_last=int(sys.argv[2]))
        step = restore(checkpoints)
        print("restored", step, flush=True)
        forward = jax.jit(lambda tree: jax.tree.map(lambda x: x + 1000, tree), donate_argnums=0)
        state = make(step)
        while True:
            step += 1
            state = forward(state)
            checkpoints.save(step, state, data={"step": step})
            print("saved", step - 1, flush=True)
"""


@pytest.mark.parametrize(
    ("kills", "keep_last"), [(2, 2), pytest.param(25, 1, marks=pytest.mark.slow)]
)
def test_a_run_killed_in_the_middle_of_saving_goes_on(tmp_path, kills, keep_last):
    script = tmp_path / "saving.py"
    script.write_text(textwrap.dedent(SAVING))
    command = [sys.executable, str(script), str(tmp_path / "run"), str(keep_last)]
    moments = np.random.default_rng(kills).uniform(0, 0.3, kills)
    complete = 0
    for moment in moments:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for line in process.stdout:
            word, number = line.split()
            if word == "restored":
                # Whatever was said to be saved is there, or something newer.
                assert int(number) >= complete
                last = int(number) + 2
            elif int(number) >= last:
                break
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        rest, errors = process.communicate()
        assert process.returncode == -signal.SIGKILL, errors
        said = [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]
        complete = int(said[-1].split()[1]) if said else int(number)
    shapes = {"params": {str(i): jax.ShapeDtypeStruct((60_000,), jnp.float32) for i in range(6)}}
    restored = TrainingCheckpoints(tmp_path / "run").restore_latest(shapes)
    assert restored.step >= complete
    assert restored.skipped == ()
    assert float(restored.state["params"]["5"][0]) == restored.step * 1000 + 5
