import dataclasses
import json
import struct

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import AxisType
from tiny_training import tiny_model, training_config

from textzoo.errors import ConfigError
from textzoo.modules.types import TextBatch
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.mesh_choice import mesh_choices, mesh_name, preferred
from textzoo.trainers.objectives.contrastive import ContrastiveObjective
from textzoo.trainers.plan import (
    Memory,
    Plan,
    Roofline,
    abstract_batch,
    compile_step,
    out_of_memory,
    plan_step,
    plan_training,
)
from textzoo.trainers.plan_report import draw_scaling, plan_lines, plans_markdown, plans_table
from textzoo.trainers.topology import Chip, local_topology
from textzoo.trainers.trainer import Trainer

GIB = 2**30
CHIP = Chip(
    name="test", kind="TPU v5 lite", memory_bytes=GIB, memory_bandwidth=1e9, link_bandwidth=1e9,
    ring_multiple=0,
)  # fmt: skip
MEMORY = Memory(arguments=500, outputs=400, reused=390, temporaries=90, code=7)


def make_plan(seconds=0.010, total=GIB, capacity=16 * GIB, sent=0, mesh=None, **changes):
    times = Roofline(compute=seconds / 2, memory=seconds, communication=seconds / 4)
    memory = Memory(arguments=total // 4, outputs=0, reused=0, temporaries=total * 3 // 4, code=0)
    plan = Plan(
        name="a step", topology="v5e:4x4", mesh=mesh or {"data": 16, "fsdp": 1, "model": 1},
        parameters=10, memory=memory, capacity=capacity, flops=4 * 10**12, model_flops=3e12,
        traffic=10**9, collectives=(), times=times, compiler_counts={"flops": 1e12},
        unknown_loops=(), compile_seconds=1.0,
    )  # fmt: skip
    if sent:
        from textzoo.trainers.collectives import Collective

        changes["collectives"] = (
            Collective(
                name="x", kind="all-gather", groups=((0, 1),), axes=("data",),
                buffer_bytes=2 * sent, times=1, origin="",
            ),
        )  # fmt: skip
    return dataclasses.replace(plan, **changes)


def test_reused_outputs_take_no_memory_of_their_own():
    assert MEMORY.total == 500 + 400 - 390 + 90 + 7


def test_a_roofline_is_the_largest_time():
    times = Roofline(compute=1.0, memory=3.0, communication=2.0)
    assert (times.seconds, times.limit, times.seconds_without_overlap) == (3.0, "memory", 6.0)


def one_device_plan(topology, function, *arguments, **options):
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))
    lowered = jax.jit(function).lower(*arguments)
    return plan_step(
        lowered, mesh=mesh, topology=topology, name="a product", parameters=6, **options
    )


def test_times_are_those_of_the_chip():
    topology = dataclasses.replace(local_topology(), chip=CHIP)
    square = jax.ShapeDtypeStruct((64, 64), jnp.float32)
    plan = one_device_plan(topology, jnp.matmul, square, square, model_flops=2 * 64**3)
    assert plan.flops == 2 * 64**3
    assert plan.traffic == 3 * 64 * 64 * 4
    assert plan.times == Roofline(
        compute=2 * 64**3 / 197e12, memory=3 * 64 * 64 * 4 / 1e9, communication=0.0
    )
    assert plan.utilization == pytest.approx(plan.times.compute / plan.times.memory)
    assert plan.compiler_counts["flops"] == pytest.approx(2 * 64**3, rel=0.1)
    assert plan.fits


def test_a_loop_counts_as_often_as_it_runs_where_the_compiler_counts_it_once():
    square = jax.ShapeDtypeStruct((64, 64), jnp.float32)

    def products(x, w):
        return jax.lax.scan(lambda c, _: (jnp.sin(c @ w), None), x, None, length=9)[0]

    plan = one_device_plan(local_topology(), products, square, square)
    assert plan.flops == 9 * 2 * 64**3
    assert plan.compiler_counts["flops"] < 2 * 2 * 64**3


def test_on_an_unknown_chip_there_is_no_time_and_no_verdict_about_memory():
    square = jax.ShapeDtypeStruct((8, 8), jnp.float32)
    plan = one_device_plan(local_topology(), jnp.matmul, square, square)
    assert plan.times is None and plan.fits is None and plan.utilization is None
    assert "how much this device has is not known" in plan.verdict()


def test_the_step_of_an_abstract_objective_is_planned_and_nothing_is_allocated():
    objective = nnx.eval_shape(
        lambda: ContrastiveObjective(tiny_model(layers=1, dropout=0.0), chunk_size=4)
    )
    trainer = Trainer(objective, training_config())
    texts = TextBatch(ids=np.zeros((8, 24), np.int32), mask=np.ones((8, 24), bool))
    keys = np.zeros((8, 2), np.uint32)
    batch = abstract_batch(TrainBatch(texts=(texts, texts), keys=keys), trainer.mesh)
    plan = plan_training(trainer, batch, topology=local_topology(), name="tiny")
    assert trainer.state is None
    shapes = trainer.blueprint.shapes(trainer.blueprint.parameters)
    assert plan.parameters == sum(shape.size for shape in shapes.values())
    # A layer of width 8 and F = 16: 2 (4 D^2 + 2 D F) + 4 L D for each of 2 * 8 * 24 tokens, and
    # 2 * 8 * 8 * 8 for the similarities; a step is three of these, and one encoding of all again.
    encoder = 2 * 8 * 24 * (2 * (4 * 64 + 2 * 128) + 4 * 24 * 8)
    assert plan.model_flops == 3 * (encoder + 1024)
    # Pooling is a product too, or not, as the compiler likes; it is small.
    assert plan.flops == pytest.approx(4 * encoder + 3 * 1024, rel=0.05)
    # Parameters and two moments, the rows, and little else.
    assert plan.memory.arguments == pytest.approx(
        3 * 4 * plan.parameters + 2 * 8 * 24 * 5 + 8 * 2 * 4, rel=0.02
    )
    assert plan.memory.reused > 0.98 * 3 * 4 * plan.parameters


def test_verdicts_say_what_to_do():
    assert make_plan().verdict() == (
        "fits: 1.00 GiB a chip of 16 GiB; a step takes at least 10.0 ms, limited by memory."
    )
    large = make_plan(total=20 * GIB)
    assert large.fits is False
    assert "does not fit: 20.00 GiB a chip of 16 GiB; use more chips" in large.verdict()


def test_a_chip_is_full_when_everything_is_counted():
    assert make_plan(total=16 * GIB).fits
    assert not make_plan(total=16 * GIB + 4).fits


def test_utilization_is_that_of_the_model_at_the_roofline():
    # 3 of 4 TFLOP are the model's, and compute is half of the step.
    assert make_plan().utilization == pytest.approx(0.375)


def test_a_plan_is_json():
    data = json.loads(json.dumps(make_plan(sent=10**6).to_dict()))
    assert data["memory"]["total"] == GIB
    assert data["times"]["limit"] == "memory"
    assert data["collectives"] == [{"kind": "all-gather", "axes": "data", "bytes": 10**6}]
    assert data["num_chips"] == 16 and data["fits"] is True


@pytest.mark.parametrize(
    ("message", "needed"),
    [
        (
            "Ran out of memory in memory space hbm. Used 23.50G of 15.75G hbm. Exceeded by 7.75G",
            23.5,
        ),
        (
            "Ran out of memory on HBM, the total memory required for HLO temporaries (32.00G) "
            "exceeds available HBM (15.75G).",
            32.0,
        ),
    ],
)
def test_what_the_compiler_says_about_memory_becomes_a_sentence(message, needed):
    error = out_of_memory(f"RESOURCE_EXHAUSTED: {message}")
    assert error.needed == int(needed * GIB)
    sentence = f"the step needs {needed} GiB or more of a chip that has 15.75 GiB; use more chips"
    assert str(error).startswith(sentence)


def test_an_unknown_message_about_memory_is_passed_on():
    error = out_of_memory("RESOURCE_EXHAUSTED: in other words\nmore")
    assert error.needed is None
    assert str(error).endswith("(RESOURCE_EXHAUSTED: in other words)")


def test_an_unknown_effort_is_refused():
    with pytest.raises(ConfigError, match="effort='lo'; did you mean 'low'"):
        compile_step(jax.jit(jnp.sin).lower(1.0), effort="lo", platform="cpu")


def mesh(data=1, fsdp=1, model=1):
    return {"data": data, "fsdp": fsdp, "model": model}


def test_the_shortest_step_is_preferred():
    slow, fast = make_plan(0.010, mesh=mesh(fsdp=16)), make_plan(0.008, mesh=mesh(data=16))
    best, reason = preferred([slow, fast])
    assert best is fast
    assert reason == "data=16: a step takes 8.0 ms, with fsdp=16 10.0 ms."


def test_of_equal_steps_the_one_that_sends_less_is_preferred():
    much = make_plan(0.010, sent=9 * 10**6, mesh=mesh(fsdp=16))
    little = make_plan(0.0101, sent=10**6, mesh=mesh(data=16))
    best, reason = preferred([much, little])
    assert best is little
    assert reason == "data=16: a chip sends 1 MB, with fsdp=16 9 MB."


def test_a_mesh_that_does_not_fit_is_never_preferred():
    full = make_plan(0.001, total=20 * GIB, mesh=mesh(data=16))
    best, reason = preferred([full, make_plan(0.010, mesh=mesh(fsdp=16))])
    assert best.mesh["fsdp"] == 16
    assert reason == "fsdp=16: data=16 would not fit."
    with pytest.raises(ConfigError, match="none of the meshes fits: data=16 does not fit"):
        preferred([full])


def test_without_times_the_mesh_that_sends_less_is_preferred():
    plans = [
        make_plan(sent=size, times=None, mesh=mesh(data=size)) for size in (4_000_000, 2_000_000)
    ]
    assert preferred(plans)[0] is plans[1]


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        (1, [mesh()]),
        (2, [mesh(data=2), mesh(fsdp=2), mesh(model=2)]),
        (16, [mesh(data=16), mesh(fsdp=16), mesh(data=4, fsdp=4), mesh(data=8, model=2)]),
        (12, [mesh(data=12), mesh(fsdp=12), mesh(data=3, fsdp=4), mesh(data=6, model=2)]),
        (7, [mesh(data=7), mesh(fsdp=7)]),
    ],
)
def test_meshes_worth_comparing(devices, expected):
    assert mesh_choices(devices) == expected


def test_names_of_meshes_leave_out_axes_of_one_device():
    assert mesh_name(mesh(data=4, model=2)) == "data=4 x model=2"
    assert mesh_name(mesh()) == "one device"


def test_a_card_has_a_line_for_every_quantity():
    lines = dict(plan_lines(make_plan(sent=10**6, unknown_loops=("while.3",))))
    assert lines["memory of a chip"].startswith("1.00 GiB: 0.25 GiB state and batch")
    assert lines["arithmetic"] == (
        "4.00 TFLOP in matrix products, 75% of it the model's, the rest computed again"
    )
    assert lines[""] == "1.0 MB by all-gather over data"
    assert lines["time of a step"].startswith("at least 10.0 ms: compute 5.0 ms, memory 10.0 ms")
    assert lines["model-FLOP utilization"] == "at most 38%"
    assert lines["counted once"].endswith("while.3")


def test_markdown_has_a_row_for_each_plan_and_a_table_of_what_is_sent():
    text = plans_markdown([make_plan(sent=10**6), make_plan(mesh=mesh(data=32))])
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert rows[2].startswith("| 16 | data=16 | 1.00 | 0.25 | 4.00 | 1.0 | 1.0 | 5.0 | 10.0 | 2.5 ")
    assert rows[3].startswith("| 32 | data=32 ")
    assert rows[4] == "| chips | all-gather over data |"
    assert rows[6:] == ["| 16 | 1.0 |", "| 32 | 0.0 |"]


def test_the_table_marks_what_does_not_fit():
    table = plans_table([make_plan(), make_plan(total=20 * GIB)])
    assert [row.style for row in table.rows] == [None, "red"]


def width_of(png):
    data = png.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">I", data[16:20])[0]


def test_the_picture_shows_times_where_they_are_known(tmp_path):
    plans = [make_plan(), make_plan(mesh=mesh(data=32))]
    draw_scaling(tmp_path / "two.png", plans, title="weak scaling")
    unknown = [dataclasses.replace(plan, times=None, capacity=None) for plan in plans]
    draw_scaling(tmp_path / "one.png", unknown)
    assert width_of(tmp_path / "two.png") == 2 * width_of(tmp_path / "one.png") == 11 * 130
