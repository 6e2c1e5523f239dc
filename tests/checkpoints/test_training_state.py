import json
import logging
import re
import shutil
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from textzoo.checkpoints.training_state import Skipped, TrainingCheckpoints
from textzoo.errors import CheckpointError, ConfigError, ResumeError

# Orbax leaves reads behind when one fails; their complaints may come after ours is reported.
pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning"
    ),
]


class Extra(NamedTuple):
    mask: jax.Array
    counts: jax.Array


def make_state(seed: int = 0, width: int = 4) -> dict:
    values = np.random.default_rng(seed).standard_normal((3, width)).astype(np.float32)
    params = {
        "encoder.layers.0.kernel": jnp.asarray(values),
        "half": jnp.asarray(values[0], jnp.bfloat16),
        "float16": jnp.asarray(values[1], jnp.float16),
        "empty": jnp.zeros((0, width)),
    }
    return {
        "params": params,
        "optimizer": optax.adamw(1e-3).init(params),
        "step": jnp.int32(seed),
        "key": jax.random.key(seed),
        "extra": (Extra(jnp.asarray(values[2] > 0), jnp.arange(seed, seed + 3, dtype=jnp.int8)),),
        "ema": None,
    }


def abstract(state: dict) -> dict:
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), state
    )


def assert_equal(found, expected) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for first, second in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert first.dtype == second.dtype
        if jax.dtypes.issubdtype(first.dtype, jax.dtypes.prng_key):
            first, second = jax.random.key_data(first), jax.random.key_data(second)
        assert np.asarray(first).tobytes() == np.asarray(second).tobytes()


@pytest.fixture(scope="module")
def two_steps(tmp_path_factory):
    """A folder with steps 1 and 2, whose states are those of seeds 1 and 2."""
    directory = tmp_path_factory.mktemp("run") / "checkpoints"
    with TrainingCheckpoints(directory) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, make_state(step), data={"position": step})
    return directory


def files_of(step_directory):
    return sorted(path for path in step_directory.rglob("*") if path.is_file())


def test_every_leaf_comes_back_bit_for_bit(two_steps):
    restored = TrainingCheckpoints(two_steps).restore_latest(abstract(make_state()))
    assert (restored.step, restored.data, restored.skipped) == (2, {"position": 2}, ())
    assert_equal(restored.state, make_state(2))
    assert jax.random.key_impl(restored.state["key"]) == jax.random.key_impl(jax.random.key(0))


def test_values_that_are_not_numbers_come_back_bit_for_bit(tmp_path):
    bits = np.array([0x7FC00001, 0xFFC12345, 0x7F800000, 0x80000000, 1], np.uint32)
    state = {"params": {"odd": jax.lax.bitcast_convert_type(jnp.asarray(bits), jnp.float32)}}
    with TrainingCheckpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state, data={})
        restored = checkpoints.restore_latest(abstract(state))
    found = np.asarray(restored.state["params"]["odd"]).view(np.uint32)
    np.testing.assert_array_equal(found, bits)


def test_an_empty_or_missing_folder_is_a_fresh_start_and_stays_as_it_is(tmp_path):
    assert TrainingCheckpoints(tmp_path / "none").restore_latest(abstract(make_state())) is None
    assert not (tmp_path / "none").exists()
    checkpoints = TrainingCheckpoints(tmp_path)
    assert checkpoints.restore_latest(abstract(make_state())) is None
    assert (checkpoints.steps(), checkpoints.best_step()) == ([], None)


def test_data_is_copied_when_it_is_given(tmp_path):
    data = {"seen": [1]}
    with TrainingCheckpoints(tmp_path) as checkpoints:
        checkpoints.save(1, make_state(), data=data, metrics={"loss": 0.1})
        data["seen"].append(2)
        restored = checkpoints.restore_latest(abstract(make_state()))
    assert (restored.data, restored.metrics) == ({"seen": [1]}, {"loss": 0.1})


@pytest.mark.parametrize("asynchronous", [True, False])
def test_a_state_may_be_donated_right_after_it_is_saved(tmp_path, asynchronous):
    @jax.jit
    def make():
        return {f"p{index}": jnp.full((1 << 16,), float(index)) for index in range(8)}

    step = jax.jit(lambda tree: jax.tree.map(lambda x: 3 * x - 7, tree), donate_argnums=0)
    plain = jax.block_until_ready(step(make()))
    assert all(leaf.is_deleted() for leaf in [*donated_by(step, make()).values()])
    with TrainingCheckpoints(tmp_path, asynchronous=asynchronous) as checkpoints:
        state = make()
        checkpoints.save(1, state, data={})
        after = step(state)
        assert_equal(after, plain)
        for _ in range(5):  # Memory that was given back would be written over by these.
            after = step(after)
        jax.block_until_ready(after)
        restored = checkpoints.restore_latest(abstract(make()))
    assert_equal(restored.state, make())


def donated_by(step, tree):
    jax.block_until_ready(step(tree))
    return tree


def test_a_restored_state_may_be_donated(two_steps):
    state = TrainingCheckpoints(two_steps).restore_latest(abstract(make_state())).state
    keep = jax.tree.map(lambda leaf: leaf, state["params"])
    step = jax.jit(lambda tree: jax.tree.map(lambda x: x * 2, tree), donate_argnums=0)
    doubled = step(keep)
    expected = jax.tree.map(lambda x: x * 2, make_state(2)["params"])
    assert_equal(doubled, expected)


DAMAGES = {
    "missing": lambda content: None,
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "last byte lost": lambda content: content[:-1],
    "first byte": lambda content: bytes([content[0] ^ 1]) + content[1:],
    "middle bit": lambda content: flip(content, len(content) // 2, 16),
    "late bit": lambda content: flip(content, len(content) * 4 // 5, 128),
}


def flip(content: bytes, index: int, bit: int) -> bytes:
    return content[:index] + bytes([content[index] ^ bit]) + content[index + 1 :]


def damage(path, name: str) -> None:
    content = DAMAGES[name](path.read_bytes())
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)


@pytest.mark.parametrize(
    "name",
    [
        name if name in ("missing", "middle bit") else pytest.param(name, marks=pytest.mark.slow)
        for name in DAMAGES
    ],
)
def test_whichever_file_is_damaged_no_wrong_value_is_restored(two_steps, tmp_path, name):
    damaged = 0
    for path in files_of(two_steps / "2"):
        if not path.stat().st_size and name != "missing":
            continue
        copy = tmp_path / "copy"
        shutil.copytree(two_steps, copy)
        damage(copy / path.relative_to(two_steps), name)
        restored = TrainingCheckpoints(copy).restore_latest(abstract(make_state()))
        assert_equal(restored.state, make_state(restored.step))
        assert [item.step for item in restored.skipped] == ([2] if restored.step == 1 else [])
        damaged += restored.step == 1
        shutil.rmtree(copy)
    assert damaged >= 3, damaged  # the record, the manifest, and a file of arrays


@pytest.mark.parametrize("name", ["missing", "half", "middle bit"])
@pytest.mark.parametrize("which", ["arrays", "record"])
def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_restored(
    two_steps, tmp_path, caplog, which, name
):
    shutil.copytree(two_steps, tmp_path / "run")
    files = files_of(tmp_path / "run" / "2")
    if which == "record":
        damage(next(path for path in files if path.name == "record.json"), name)
    else:  # Which of them hold this little state is Orbax's business.
        for path in files:
            if path.parent.name == "d":
                damage(path, name)
    checkpoints = TrainingCheckpoints(tmp_path / "run")
    with caplog.at_level(logging.WARNING, logger="textzoo"):
        restored = checkpoints.restore_latest(abstract(make_state()))
    assert (restored.step, restored.data) == (1, {"position": 1})
    assert_equal(restored.state, make_state(1))
    (skipped,) = restored.skipped
    assert isinstance(skipped, Skipped)
    assert skipped.step == 2
    assert f"checkpoint 2 in {tmp_path / 'run'} is skipped: {skipped.reason}" in caplog.text
    assert checkpoints.steps() == [1]


def test_one_changed_bit_of_an_array_is_seen_and_named(tmp_path):
    # Noise does not compress, so its bytes stand in the file as they are.
    noise = np.random.default_rng(0).integers(0, 256, 4096).astype(np.uint8)
    state = {"params": {"noise": jnp.asarray(noise)}}
    with TrainingCheckpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state, data={})
    needle = noise.tobytes()[1000:1016]
    path = next(path for path in files_of(tmp_path / "1") if needle in path.read_bytes())
    content = path.read_bytes()
    path.write_bytes(flip(content, content.index(needle), 1))
    with pytest.raises(CheckpointError, match="step 1: 'params/noise' changed since"):
        TrainingCheckpoints(tmp_path).restore_latest(abstract(state))
    with pytest.raises(CheckpointError, match="read: 'params/noise' changed since"):
        TrainingCheckpoints(tmp_path).load_params(1)


def test_a_run_goes_on_over_a_damaged_checkpoint(two_steps, tmp_path):
    shutil.copytree(two_steps, tmp_path / "run")
    damage(tmp_path / "run" / "2" / "record" / "record.json", "half")
    with TrainingCheckpoints(tmp_path / "run", keep_last=2) as checkpoints:
        assert checkpoints.restore_latest(abstract(make_state())).step == 1
        checkpoints.save(2, make_state(22), data={"again": True})
        checkpoints.wait()
        assert checkpoints.steps() == [1, 2]
        restored = checkpoints.restore_latest(abstract(make_state()))
    assert (restored.step, restored.data, restored.skipped) == (2, {"again": True}, ())
    assert_equal(restored.state, make_state(22))


def test_a_damaged_checkpoint_does_not_count_as_kept(tmp_path):
    with TrainingCheckpoints(tmp_path, keep_last=2) as checkpoints:
        for step in (10, 20):
            checkpoints.save(step, make_state(step), data={})
    damage(tmp_path / "20" / "record" / "record.json", "missing")
    with TrainingCheckpoints(tmp_path, keep_last=2) as checkpoints:
        assert checkpoints.restore_latest(abstract(make_state())).step == 10
        checkpoints.save(15, make_state(15), data={})
        checkpoints.wait()
        assert checkpoints.steps() == [10, 15]
    assert not (tmp_path / "20").exists()


def test_when_all_are_damaged_the_run_does_not_begin_anew(two_steps, tmp_path):
    shutil.copytree(two_steps, tmp_path / "run")
    for step in "12":
        damage(tmp_path / "run" / step / "record" / "record.json", "half")
    with pytest.raises(
        CheckpointError, match=r"none of the checkpoints (?s:.*)step 2:(?s:.*)step 1"
    ):
        TrainingCheckpoints(tmp_path / "run").restore_latest(abstract(make_state()))


def test_another_model_is_an_error_that_lists_the_differences(two_steps):
    state = make_state(width=5)
    state["params"]["new"] = jnp.zeros(2)
    del state["params"]["half"]
    state["step"] = jnp.float32(0)
    with pytest.raises(ResumeError) as info:
        TrainingCheckpoints(two_steps).restore_latest(abstract(state))
    for line in (
        "the checkpoint of step 2 in",
        "params/encoder.layers.0.kernel: float32[3, 4] in the checkpoint, float32[3, 5] in this",
        "params/new: float32[2] in this run, not in the checkpoint",
        "params/half: bfloat16[4] in the checkpoint, not in this run",
        "step: int32[] in the checkpoint, float32[] in this run",
    ):
        assert line in str(info.value)


def test_keys_of_another_generator_are_another_state(two_steps):
    state = {**make_state(), "key": jax.random.key(0, impl="rbg")}
    with pytest.raises(ResumeError, match=r"key: key<fry>\[\] in the checkpoint, key<rbg>\[\]"):
        TrainingCheckpoints(two_steps).restore_latest(abstract(state))


def test_a_damaged_checkpoint_of_the_same_model_is_no_other_model(two_steps, tmp_path):
    # The record of step 2 says that a parameter has another shape, and its checksum is wrong.
    shutil.copytree(two_steps, tmp_path / "run")
    path = tmp_path / "run" / "2" / "record" / "record.json"
    record = json.loads(path.read_text())
    record["leaves"]["step"]["shape"] = [7]
    path.write_text(json.dumps(record))
    restored = TrainingCheckpoints(tmp_path / "run").restore_latest(abstract(make_state()))
    assert restored.step == 1
    assert "record was changed" in restored.skipped[0].reason


def test_the_newest_and_the_best_are_kept(tmp_path):
    scores = {1: 0.3, 2: 0.9, 3: 0.5, 4: float("nan"), 5: 0.9, 6: 0.1, 7: None, 8: 0.2}
    kept = {}
    with TrainingCheckpoints(tmp_path, keep_last=2, keep_best=2, best_metric="sts") as checkpoints:
        for step, score in scores.items():
            metrics = None if score is None else {"sts": score}
            checkpoints.save(step, make_state(step), data={}, metrics=metrics)
            checkpoints.wait()
            kept[step] = checkpoints.steps()
        assert checkpoints.best_step() == 5  # of equals, the newer
    assert kept == {
        1: [1], 2: [1, 2], 3: [2, 3], 4: [2, 3, 4], 5: [2, 4, 5], 6: [2, 5, 6], 7: [2, 5, 6, 7],
        8: [2, 5, 7, 8],
    }  # fmt: skip
    assert TrainingCheckpoints(tmp_path, best_metric="sts").best_step() == 5


def test_what_was_best_before_a_restart_is_still_kept(tmp_path):
    options = {"keep_last": 1, "keep_best": 1, "best_metric": "loss", "best_mode": "min"}
    for step, loss in ((1, 0.5), (2, 0.1), (3, 0.7), (4, 0.6)):
        with TrainingCheckpoints(tmp_path, **options) as checkpoints:
            checkpoints.restore_latest(abstract(make_state()))
            checkpoints.save(step, make_state(step), data={}, metrics={"loss": loss})
    assert checkpoints.steps() == [2, 4]
    assert checkpoints.best_step() == 2


def test_saving_the_step_that_was_just_saved_or_restored_does_nothing(tmp_path):
    with TrainingCheckpoints(tmp_path) as checkpoints:
        checkpoints.save(3, make_state(3), data={"first": True})
        checkpoints.save(3, make_state(4), data={"first": False})
        restored = checkpoints.restore_latest(abstract(make_state()))
        checkpoints.save(3, make_state(4), data={"first": False})
        assert restored.data == {"first": True}
        assert_equal(checkpoints.restore_latest(abstract(make_state())).state, make_state(3))


def test_a_long_wait_for_the_checkpoint_before_is_reported(tmp_path, caplog, monkeypatch):
    with TrainingCheckpoints(tmp_path) as checkpoints:
        with caplog.at_level(logging.WARNING):
            checkpoints.save(1, make_state(1), data={})
            checkpoints.wait()
            monkeypatch.setattr("textzoo.checkpoints.training_state._LONG_WAIT", -1.0)
            checkpoints.save(2, make_state(2), data={})
    (message,) = [
        record.getMessage() for record in caplog.records if record.name.startswith("textzoo")
    ]
    assert re.fullmatch(r"step 2 waited 0\.\d s for the checkpoint before it; .*", message)


def test_checkpoints_of_another_run_are_not_mixed_with_new_ones(two_steps):
    with TrainingCheckpoints(two_steps) as checkpoints:
        with pytest.raises(ResumeError, match=r"holds checkpoints of steps \[1, 2\]"):
            checkpoints.save(3, make_state(), data={})
    assert checkpoints.steps() == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"step": 0}, "comes after step 1"),
        ({"step": -1}, "whole number"),
        ({"step": 2.0}, "whole number"),
        ({"state": {"a": np.ones(2)}}, "'a' of the state is a ndarray"),
        ({"state": {"a": {"b": jnp.ones(2)}, "a/b": jnp.ones(2)}}, "two leaves .* 'a/b'"),
        ({"data": {"rows": {1, 2}}}, "JSON types"),
        ({"metrics": {"stsb": 1.0}}, "'sts' is not among the metrics; did you mean 'stsb'"),
    ],
)
def test_what_cannot_be_saved_is_refused_before_anything_is_written(tmp_path, arguments, message):
    with TrainingCheckpoints(tmp_path, best_metric="sts") as checkpoints:
        checkpoints.save(1, make_state(), data={})
        with pytest.raises(ConfigError, match=message):
            checkpoints.save(**{"step": 2, "state": make_state(), "data": {}, **arguments})
        checkpoints.wait()
        assert checkpoints.steps() == [1]


@pytest.mark.parametrize(
    "options",
    [{"keep_last": 0}, {"keep_best": -1}, {"best_mode": "best"}, {"keep_last": True}],
)
def test_bad_options_are_named(tmp_path, options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        TrainingCheckpoints(tmp_path, **options)


def test_parameters_are_read_without_a_model(two_steps):
    params = TrainingCheckpoints(two_steps).load_params(2)
    expected = make_state(2)["params"]
    assert params.keys() == expected.keys()
    for name, array in params.items():
        assert type(array) is np.ndarray
        assert array.dtype == expected[name].dtype
        assert array.tobytes() == np.asarray(expected[name]).tobytes()


def test_reading_parameters_says_what_is_wrong(two_steps, tmp_path):
    shutil.copytree(two_steps, tmp_path / "run")
    checkpoints = TrainingCheckpoints(tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"step 7 .* cannot be read: .*steps \[1, 2\]"):
        checkpoints.load_params(7)
    with pytest.raises(ConfigError, match="has no 'ema'; it has .*'params'"):
        checkpoints.load_params(2, key="ema")
    damage(tmp_path / "run" / "2" / "state" / "manifest.ocdbt", "missing")
    with pytest.raises(CheckpointError, match="step 2"):
        checkpoints.load_params(2)


def test_averaged_parameters_are_the_mean(tmp_path):
    with TrainingCheckpoints(tmp_path, keep_last=3) as checkpoints:
        for step, value in ((1, 1.0), (2, 2.0), (3, 6.0)):
            params = {"w": jnp.full(2, value), "b": jnp.full(1, value, jnp.bfloat16),
                      "ids": jnp.full(1, step)}  # fmt: skip
            checkpoints.save(step, {"params": params}, data={})
        checkpoints.wait()
        mean = checkpoints.average_params([1, 2, 3])
        same = checkpoints.average_params([2, 2, 2])
        with pytest.raises(ConfigError, match=r"choose some of \[1, 2, 3\]"):
            checkpoints.average_params([])
    assert [mean["w"].tolist(), mean["b"].tolist(), mean["ids"].tolist()] == [[3, 3], [3], [3]]
    assert (mean["w"].dtype, mean["b"].dtype) == (np.float32, jnp.bfloat16)
    assert same["w"].tolist() == [2, 2]


def test_folders_of_a_killed_run_are_removed_by_the_next_save(tmp_path):
    with TrainingCheckpoints(tmp_path) as checkpoints:
        checkpoints.save(1, make_state(1), data={})
    partial = tmp_path / "2.orbax-checkpoint-tmp"
    shutil.copytree(tmp_path / "1", partial)
    checkpoints = TrainingCheckpoints(tmp_path)
    assert checkpoints.restore_latest(abstract(make_state())).step == 1
    assert partial.exists()  # Reading changes nothing: another process may be writing it.
    with checkpoints:
        checkpoints.save(3, make_state(3), data={})
    assert not partial.exists()
    assert checkpoints.steps() == [1, 3]
