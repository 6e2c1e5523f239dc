import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax import contrib

from textzoo.errors import ConfigError
from textzoo.trainers.muon import muon_axes
from textzoo.trainers.optimizers import OPTIMIZERS, OptimizerConfig, make_optimizer
from textzoo.trainers.parameter_groups import GroupRule
from textzoo.trainers.schedules import ScheduleConfig

LAYER = "model.encoder.layers.0"
SHAPES = {
    "head.bias": (5,),
    "head.kernel": (4, 5),
    "model.embedding.table": (9, 4),
    f"{LAYER}.attention.out.kernel": (2, 2, 4),
    f"{LAYER}.attention.qkv.bias": (3, 2, 2),
    f"{LAYER}.attention.qkv.kernel": (4, 3, 2, 2),
    f"{LAYER}.attention_norm.scale": (4,),
    f"{LAYER}.feed_forward.up.kernel": (4, 2, 8),
}
CONSTANT = ScheduleConfig(kind="constant", peak=0.1, warmup_steps=0)


def random_tree(seed):
    random = np.random.default_rng(seed)
    return {
        path: jnp.asarray(random.normal(size=shape), jnp.float32) for path, shape in SHAPES.items()
    }


PARAMS, GRADIENTS = random_tree(0), random_tree(1)


def config(**options):
    return OptimizerConfig(**{"schedule": CONSTANT, "clip_norm": None, **options})


def run(options, params=PARAMS, gradients=GRADIENTS, steps=1):
    optimizer = make_optimizer(options, params, 100)
    state = optimizer.init(params)
    for _ in range(steps):
        updates, state = optimizer.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
    return params


def test_the_first_step_of_adamw_is_the_sign_and_the_decay():
    # m / sqrt(v) of a single gradient is its sign: p - 0.1 (sign(g) + 0.5 p).
    found = run(config(weight_decay=0.5))
    for path in ("head.kernel", "model.embedding.table"):
        expected = PARAMS[path] - 0.1 * (np.sign(GRADIENTS[path]) + 0.5 * PARAMS[path])
        np.testing.assert_allclose(found[path], expected, atol=1e-5)
    for path in ("head.bias", f"{LAYER}.attention_norm.scale", f"{LAYER}.attention.qkv.bias"):
        expected = PARAMS[path] - 0.1 * np.sign(GRADIENTS[path])
        np.testing.assert_allclose(found[path], expected, atol=1e-5)


def test_adamw_without_exceptions_is_that_of_optax():
    found = run(config(weight_decay=0.0, betas=(0.8, 0.9), eps=0.1), steps=3)
    reference = optax.adamw(0.1, 0.8, 0.9, eps=0.1, weight_decay=0.0)
    params, state = PARAMS, reference.init(PARAMS)
    for _ in range(3):
        updates, state = reference.update(GRADIENTS, state, params)
        params = optax.apply_updates(params, updates)
    for path, value in params.items():
        np.testing.assert_allclose(found[path], value, rtol=1e-6, atol=1e-7)


def test_lamb_moves_a_matrix_by_its_own_length():
    # ||step|| = 0.1 ||p|| for a matrix; a bias moves like Adam's, by 0.1 in every place.
    found = run(config(name="lamb", weight_decay=0.3))
    for path in ("head.kernel", f"{LAYER}.attention.qkv.kernel"):
        moved = np.linalg.norm(np.ravel(found[path] - PARAMS[path]))
        np.testing.assert_allclose(moved, 0.1 * np.linalg.norm(PARAMS[path].ravel()), rtol=1e-5)
    moved = found["head.bias"] - PARAMS["head.bias"]
    np.testing.assert_allclose(moved, -0.1 * np.sign(GRADIENTS["head.bias"]), atol=1e-5)


def test_sgd_follows_the_momentum():
    # Two equal gradients g: steps 0.1 g and 0.1 (1 + 0.5) g.
    found = run(config(name="sgd", momentum=0.5, weight_decay=0.0), steps=2)
    for path in SHAPES:
        expected = PARAMS[path] - 0.25 * GRADIENTS[path]
        np.testing.assert_allclose(found[path], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("path", "to_matrices", "longest"),
    [
        # Queries, keys, values: three of 4 x (2 * 2).
        (f"{LAYER}.attention.qkv.kernel", lambda x: x.transpose(1, 0, 2, 3).reshape(3, 4, 4), 4),
        (f"{LAYER}.attention.out.kernel", lambda x: x.reshape(1, 4, 4), 4),
        (f"{LAYER}.feed_forward.up.kernel", lambda x: x.transpose(1, 0, 2), 8),
    ],
)
def test_muon_moves_each_matrix_of_a_kernel_along_an_orthogonal_one(path, to_matrices, longest):
    found = run(config(name="muon", weight_decay=0.0))
    steps = to_matrices(np.asarray((PARAMS[path] - found[path]) / 0.1))
    plain = contrib.scale_by_muon(weight_dimension_numbers=contrib.MuonDimensionNumbers())
    for gradient, step in zip(to_matrices(GRADIENTS[path]), steps, strict=True):
        direction, _ = plain.update(gradient, plain.init(gradient))
        np.testing.assert_allclose(step, 0.2 * longest**0.5 * direction, atol=1e-5)
        values = np.linalg.svd(direction, compute_uv=False)
        assert values.min() > 0.4 and values.max() < 1.3


def test_muon_leaves_tables_heads_and_vectors_to_adam():
    muon, adam = (run(config(name=name, weight_decay=0.2), steps=2) for name in ("muon", "adamw"))
    same = [path for path in SHAPES if np.allclose(muon[path], adam[path], atol=1e-6)]
    assert same == [
        "head.bias",
        "head.kernel",
        "model.embedding.table",
        f"{LAYER}.attention.qkv.bias",
        f"{LAYER}.attention_norm.scale",
    ]


def test_kernels_of_unknown_shape_are_not_orthogonalized():
    assert muon_axes("model.encoder.layers.3.mixer.kernel", 3) is None
    assert muon_axes("model.encoder.input_projection.kernel", 2) is None
    assert muon_axes("model.encoder.layers.3.feed_forward.down.kernel", 2) is not None


def test_a_long_gradient_is_cut_to_the_longest_allowed():
    length = float(optax.tree.norm(GRADIENTS))
    found = run(config(name="sgd", weight_decay=0.0, clip_norm=length / 4))
    for path in SHAPES:
        expected = PARAMS[path] - 0.025 * GRADIENTS[path]
        np.testing.assert_allclose(found[path], expected, atol=1e-5)


def test_the_rate_follows_schedule_layer_and_rule():
    schedule = ScheduleConfig(kind="linear", peak=0.1, warmup_steps=0)
    options = config(
        name="sgd", weight_decay=0.0, schedule=schedule, layer_decay=0.5,
        rules=[GroupRule(pattern="^head", learning_rate_scale=2.0)],
    )  # fmt: skip
    optimizer = make_optimizer(options, PARAMS, 2)
    state = optimizer.init(PARAMS)
    for rate in (0.1, 0.05):
        updates, state = optimizer.update(GRADIENTS, state, PARAMS)
        for path, scale in (
            ("head.kernel", 2.0), (f"{LAYER}.attention.out.kernel", 0.5),
            ("model.embedding.table", 0.25),
        ):  # fmt: skip
            np.testing.assert_allclose(updates[path], -rate * scale * GRADIENTS[path], rtol=1e-5)


def test_a_rule_sets_the_decay_of_its_parameters():
    options = config(
        name="sgd", weight_decay=0.5,
        rules=[
            GroupRule(pattern=r"head\.bias", weight_decay=0.25),
            GroupRule(pattern="table", weight_decay=0.0),
        ],
    )  # fmt: skip
    found = run(options, gradients=jax.tree.map(jnp.zeros_like, GRADIENTS))
    np.testing.assert_allclose(found["head.bias"], 0.975 * PARAMS["head.bias"], rtol=1e-6)
    np.testing.assert_allclose(found["head.kernel"], 0.95 * PARAMS["head.kernel"], rtol=1e-6)
    np.testing.assert_array_equal(found["model.embedding.table"], PARAMS["model.embedding.table"])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_frozen_parameters_have_no_state_and_change_nothing_else(name):
    frozen = config(name=name, frozen=["embedding"])
    trained = {path: value for path, value in PARAMS.items() if "embedding" not in path}
    gradients = {path: GRADIENTS[path] for path in trained}
    optimizer = make_optimizer(frozen, PARAMS, 100)
    state = optimizer.init(trained)
    updates, _ = jax.jit(optimizer.update)(gradients, state, trained)
    everything = run(config(name=name))
    assert set(updates) == set(trained)
    for path in trained:
        after = trained[path] + updates[path]
        np.testing.assert_allclose(after, everything[path], rtol=1e-4, atol=1e-5)
    paths = jax.tree_util.tree_leaves_with_path(state)
    assert not any("embedding" in jax.tree_util.keystr(path) for path, _ in paths)


def test_moments_are_kept_in_half_precision_on_request():
    optimizer = make_optimizer(config(moment_dtype="bfloat16"), PARAMS, 100)
    first = optax.tree.get(optimizer.init(PARAMS), "mu")
    assert {value.dtype for value in first.values()} == {jnp.dtype("bfloat16")}


def test_a_frozen_or_unknown_parameter_is_refused():
    optimizer = make_optimizer(config(frozen=["embedding"]), PARAMS, 100)
    with pytest.raises(ConfigError, match="model.embedding.table is frozen"):
        optimizer.init(PARAMS)
    with pytest.raises(ConfigError, match="no parameter 'head.bais'; did you mean 'head.bias'"):
        optimizer.init({"head.bais": jnp.zeros(5)})


def test_lists_of_a_recipe_file_become_tuples():
    made = OptimizerConfig(betas=[0.9, 0.98], frozen=["a"], rules=[])
    assert (made.betas, made.frozen, made.rules) == ((0.9, 0.98), ("a",), ())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "adam"}, "did you mean 'adamw'"),
        ({"betas": (0.9, 1.0)}, "betas"),
        ({"momentum": 1.0}, "momentum=1.0"),
        ({"weight_decay": -1.0}, "weight_decay=-1.0"),
        ({"layer_decay": 0.0}, "layer_decay=0.0"),
        ({"clip_norm": 0.0}, "clip_norm=0.0; use a number above 0, or null"),
        ({"eps": float("nan")}, "eps=nan"),
        ({"frozen": "embedding"}, "write a list"),
        ({"frozen": ["("]}, "not a regular expression"),
        ({"moment_dtype": "int8"}, "use 'float32' or 'bfloat16'"),
    ],
)
def test_a_bad_option_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        OptimizerConfig(**options)


SHARDED = """
import jax
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from textzoo.trainers.optimizers import *

mesh = jax.make_mesh((4, 2), ("fsdp", "model"), axis_types=(AxisType.Auto,) * 2)
layer = "model.encoder.layers.0"
specs = {
    "model.embedding.table": P("fsdp"), layer + ".attention_norm.scale": P(),
    layer + ".attention.qkv.kernel": P("fsdp", None, "model"), "head.kernel": P(None, "model"),
}
shapes = {
    "model.embedding.table": (16, 8), layer + ".attention_norm.scale": (8,),
    layer + ".attention.qkv.kernel": (8, 3, 2, 4), "head.kernel": (8, 2),
}
random = np.random.default_rng(0)
host = {path: random.normal(size=shape).astype("float32") for path, shape in shapes.items()}
placed = {path: NamedSharding(mesh, spec) for path, spec in specs.items()}
everywhere = NamedSharding(mesh, P())
for name in OPTIMIZERS:
    optimizer = make_optimizer(OptimizerConfig(name=name, momentum=0.9), host, 10)
    state_shardings = optimizer_state_shardings(
        jax.eval_shape(optimizer.init, host), placed, everywhere
    )
    def two_steps(params):
        state = optimizer.init(params)
        for _ in range(2):
            updates, state = optimizer.update(params, state, params)
        return updates, state
    alone, alone_state = jax.jit(two_steps)(host)
    params = {path: jax.device_put(value, placed[path]) for path, value in host.items()}
    updates, state = jax.jit(two_steps, out_shardings=(placed, state_shardings))(params)
    for path in shapes:
        np.testing.assert_allclose(updates[path], alone[path], rtol=1e-4, atol=1e-7)
    mirrored = 0
    for keys, leaf in jax.tree_util.tree_leaves_with_path(state):
        path = next((k.key for k in keys if getattr(k, "key", None) in shapes), None)
        want = everywhere if path is None else placed[path]
        assert leaf.sharding.is_equivalent_to(want, leaf.ndim), keys
        mirrored += path is not None
    assert mirrored == {"adamw": 8, "lamb": 8, "muon": 7, "sgd": 4}[name], (name, mirrored)
    rows = {s.data.shape for s in optax.tree.get_all_with_path(state, "mu")[0][1].get(
        "model.embedding.table").addressable_shards} if name in ("adamw", "lamb") else {(4, 8)}
    assert rows == {(4, 8)}
"""


def test_state_is_sharded_like_its_parameters_and_updates_stay_the_same():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SHARDED)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
