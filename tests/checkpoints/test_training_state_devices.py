"""Checkpoints that move between meshes and processes; each mesh needs a process of its own."""

import socket
import subprocess
import sys
import textwrap

import pytest

# The state is a function of the seed alone, so each process can tell whether it was moved intact.
COMMON = """
    import sys
    import jax
    DEVICES, DIRECTORY = int(sys.argv[1]), sys.argv[2]
    jax.config.update("jax_num_cpu_devices", DEVICES)
    if len(sys.argv) > 3:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(f"localhost:{sys.argv[3]}", 2, int(sys.argv[4]))
    import jax.numpy as jnp
    import numpy as np
    from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
    from textzoo.checkpoints.checksums import checksums
    from textzoo.checkpoints.training_state import TrainingCheckpoints

    def values(seed):
        draw = np.random.default_rng(seed).standard_normal
        return {
            "params": {
                "rows": draw((8, 16)).astype(np.float32),
                "both": draw((16, 8)).astype(jnp.bfloat16),
                "same": draw(5).astype(np.float32),
            },
            "mask": draw(16) > 0,
            "step": np.int32(seed),
            "key": np.asarray(jax.random.key_data(jax.random.key(seed))),
        }

    def mesh(shape, names=("data", "model"), axis_type=AxisType.Auto):
        return jax.make_mesh(shape, names, axis_types=(axis_type,) * len(shape))

    def shardings(mesh, rows, both, mask):
        of = lambda *spec: NamedSharding(mesh, P(*spec))
        return {
            "params": {"rows": of(*rows), "both": of(*both), "same": of()},
            "mask": of(mask), "step": of(), "key": of(),
        }

    def put(tree, placed):
        def one(value, sharding):
            return jax.make_array_from_callback(value.shape, sharding, lambda i: value[i])
        state = jax.tree.map(one, tree, placed)
        return {**state, "key": jax.random.wrap_key_data(state["key"])}

    def abstract(placed):
        tree = values(0)
        struct = jax.tree.map(
            lambda v, s: jax.ShapeDtypeStruct(v.shape, v.dtype, sharding=s), tree, placed
        )
        key = jax.eval_shape(lambda: jax.random.key(0))
        key = jax.ShapeDtypeStruct(key.shape, key.dtype, sharding=placed["key"])
        return {**struct, "key": key}

    def check(restored, seed, placed):
        state = {**restored.state, "key": jax.random.key_data(restored.state["key"])}
        def one(path, found, value, sharding):
            assert found.dtype == value.dtype, path
            assert found.sharding.is_equivalent_to(sharding, found.ndim), (path, found.sharding)
            for shard in found.addressable_shards:
                assert np.asarray(shard.data).tobytes() == value[shard.index].tobytes(), path
        jax.tree_util.tree_map_with_path(one, state, values(seed), placed)
"""

SAVE_ON_EIGHT = """
    here = shardings(mesh((4, 2)), ("data",), ("data", "model"), ("model", "data"))
    with TrainingCheckpoints(DIRECTORY) as checkpoints:
        checkpoints.save(1, put(values(1), here), data={"from": 8})
    there = shardings(mesh((2, 4)), (None, "model"), ("model",), None)
    check(TrainingCheckpoints(DIRECTORY).restore_latest(abstract(there)), 1, there)

    # A checksum is that of the values, on whatever mesh.
    sums = set()
    for axis_type in (AxisType.Auto, AxisType.Explicit):
        for shape in ((4, 2), (1, 8), (8, 1)):
            for spec in (("data", "model"), ("model",), (None, ("data", "model")), ()):
                sharding = NamedSharding(mesh(shape, axis_type=axis_type), P(*spec))
                array = jax.device_put(np.arange(128.0, dtype=np.float32).reshape(8, 16), sharding)
                sums.add(checksums({"x": array})["x"])
    assert sums == set(checksums({"x": jnp.arange(128.0).reshape(8, 16)}).values()), sums

    # Copies of a shard that differ are no copies.
    sharding = NamedSharding(mesh((8, 1)), P())
    copies = [jax.device_put(np.float32([index == 5]), d) for index, d in enumerate(jax.devices())]
    broken = jax.make_array_from_single_device_arrays((1,), sharding, copies)
    assert checksums({"x": broken}) == {"x": (-1, -1)}
"""

MOVE_THROUGH_ONE = """
    one = jax.tree.map(lambda _: jax.sharding.SingleDeviceSharding(jax.devices()[0]), values(0))
    restored = TrainingCheckpoints(DIRECTORY).restore_latest(abstract(one))
    assert restored.data == {"from": 8}
    check(restored, 1, one)
    tiny = shardings(mesh((1, 1)), ("data",), ("data", "model"), "data")
    with TrainingCheckpoints(DIRECTORY) as checkpoints:
        check(checkpoints.restore_latest(abstract(tiny)), 1, tiny)
        checkpoints.save(2, put(values(2), tiny), data={"from": 1})
"""

RESTORE_ON_EIGHT = """
    here = shardings(mesh((8, 1)), ("data",), ("data",), "data")
    restored = TrainingCheckpoints(DIRECTORY).restore_latest(abstract(here))
    assert (restored.step, restored.data) == (2, {"from": 1})
    check(restored, 2, here)
"""

TWO_PROCESSES = """
    here = shardings(mesh((4, 2)), ("data",), ("data", "model"), ("model", "data"))
    with TrainingCheckpoints(DIRECTORY, best_metric="sts") as checkpoints:
        restored = checkpoints.restore_latest(abstract(here))
        assert (restored.step, restored.data) == (2, {"from": 1})
        check(restored, 2, here)
        for step in (3, 4, 5):
            checkpoints.save(step, put(values(step), here), data={}, metrics={"sts": -step})
        checkpoints.wait()
        jax.experimental.multihost_utils.sync_global_devices("saved")
        assert checkpoints.steps() == [3, 4, 5], checkpoints.steps()
        assert checkpoints.best_step() == 3
        check(checkpoints.restore_latest(abstract(here)), 5, here)
        params = checkpoints.load_params(4)
        assert all((params[n] == v).all() for n, v in values(4)["params"].items())

        # One process alone cannot read the newest; both go back to the one before.
        jax.experimental.multihost_utils.sync_global_devices("read")
        from textzoo.checkpoints import training_reader
        if jax.process_index() == 1:
            read = training_reader._read_arrays
            def fail_once(directory, step, leaves):
                if step == 5:
                    raise training_reader.CheckpointError("its disk is bad")
                return read(directory, step, leaves)
            training_reader._read_arrays = fail_once
        restored = checkpoints.restore_latest(abstract(here))
        assert restored.step == 4
        check(restored, 4, here)
        reasons = ["process 1 cannot read its part", "its disk is bad"]
        assert restored.skipped[0].reason == reasons[jax.process_index()], restored.skipped
"""

FULL_DISK = """
    import resource
    NAME = resource.RLIMIT_FSIZE
    sharding = NamedSharding(mesh((8,), ("data",)), P("data"))

    def state(seed):
        noise = np.random.default_rng(seed).standard_normal(1_000_000).astype(np.float32)
        return {"w": jax.make_array_from_callback(noise.shape, sharding, lambda i: noise[i])}

    with TrainingCheckpoints(DIRECTORY) as checkpoints:
        checkpoints.save(1, state(1), data={})
        checkpoints.wait()
        limits = resource.getrlimit(NAME)
        resource.setrlimit(NAME, (200_000, limits[1]))
        checkpoints.save(2, state(2), data={})
        try:
            checkpoints.wait()
        except OSError as error:
            assert "step 2 could not be written" in str(error), error
            assert "those of steps [1] are intact" in str(error), error
        else:
            raise AssertionError("no error")
        resource.setrlimit(NAME, limits)
        checkpoints.save(3, state(3), data={})
        checkpoints.wait()
        assert checkpoints.steps() == [1, 3]
"""


def start(code, devices, directory, *arguments):
    source = textwrap.dedent(COMMON) + textwrap.dedent(code)
    return subprocess.Popen(
        [sys.executable, "-c", source, str(devices), str(directory), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(*processes):
    for process in processes:
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors[-3000:]


def start_two(code, directory):
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    finish(*(start(code, 4, directory, port, index) for index in range(2)))


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("moving") / "run"


def test_a_checkpoint_of_eight_devices_fits_another_mesh(directory):
    finish(start(SAVE_ON_EIGHT, 8, directory))


def test_from_eight_devices_to_one_and_back_every_bit_is_the_same(directory):
    if not directory.exists():
        finish(start(SAVE_ON_EIGHT, 8, directory))
    finish(start(MOVE_THROUGH_ONE, 1, directory))
    finish(start(RESTORE_ON_EIGHT, 8, directory))


def test_two_processes_save_together_and_agree_on_what_they_restore(directory):
    if not (directory / "2").exists():
        finish(start(SAVE_ON_EIGHT, 8, directory))
        finish(start(MOVE_THROUGH_ONE, 1, directory))
    start_two(TWO_PROCESSES, directory)


def test_on_a_full_disk_both_processes_get_the_error_and_save_again(tmp_path):
    pytest.importorskip("resource")
    start_two(FULL_DISK, tmp_path / "run")
