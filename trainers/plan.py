"""Says before a run what a step takes: memory, arithmetic, communication, and the time of a step.

The step is compiled ahead of time for the devices in question, and what the compiler made of it is
read: nothing is allocated and nothing runs. All quantities are of one chip and one step.

The time is a roofline: the largest of three times, each at the chip's full speed::

    compute        FLOPs of matrix products / peak in bfloat16
    memory         bytes to and from main memory / its bandwidth
    communication  sum over collectives of bytes sent / bandwidth of the links they use

So it assumes that the three overlap perfectly; their sum is the time when nothing overlaps. Neither
counts the latency of a collective, or a matrix unit that small products do not fill, so a real
step takes longer.

Reference: Williams, Waterman and Patterson 2009, Roofline: an insightful visual performance model
for multicore architectures.
"""

import dataclasses
import math
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from jax.sharding import Mesh

from textzoo.errors import ConfigError, TextzooError, closest
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.collectives import Collective, find_collectives, sent_by
from textzoo.trainers.hlo import parse_program
from textzoo.trainers.hlo_work import matrix_flops, memory_traffic
from textzoo.trainers.sharding import batch_sharding, replicated
from textzoo.trainers.state import TrainState, shardings_of
from textzoo.trainers.step import TrainStep
from textzoo.trainers.topology import Topology
from textzoo.trainers.trainer import Trainer

EFFORTS = ("low", "full")
_GIB = 2**30
# The compiler's own scale, from -1 to 1: below -0.5 it leaves out what takes most of its time.
_LOW_EFFORT = {"exec_time_optimization_effort": -1.0, "memory_fitting_effort": -1.0}

_TOO_LARGE = (
    r"Used ([\d.]+)([KMGT]?) of ([\d.]+)([KMGT]?) hbm",
    r"\(([\d.]+)([KMGT]?)\) exceeds available HBM \(([\d.]+)([KMGT]?)\)",
)


class OutOfMemory(TextzooError, MemoryError):
    """The compiler found no way to run a step in the memory of a chip.

    Attributes:
        needed: bytes of a chip; ``None`` when the compiler does not say.
    """

    def __init__(self, message: str, needed: int | None = None) -> None:
        super().__init__(message)
        self.needed = needed


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes of a chip's main memory.

    Attributes:
        arguments: the state, and the rows of the batch.
        outputs: the new state, and the metrics.
        reused: outputs that take the place of arguments (the state is donated).
        temporaries: activations, gradients, what is gathered: at their largest.
        code: the program.
    """

    arguments: int
    outputs: int
    reused: int
    temporaries: int
    code: int

    @property
    def total(self) -> int:
        """Everything at once."""
        return self.arguments + self.outputs - self.reused + self.temporaries + self.code

    @classmethod
    def of(cls, compiled: jax.stages.Compiled) -> "Memory":
        """As the compiler laid it out."""
        found: Any = compiled.memory_analysis()
        return cls(
            arguments=found.argument_size_in_bytes, outputs=found.output_size_in_bytes,
            reused=found.alias_size_in_bytes, temporaries=found.temp_size_in_bytes,
            code=found.generated_code_size_in_bytes,
        )  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Roofline:
    """Seconds of a step, each at the chip's full speed."""

    compute: float
    memory: float
    communication: float

    @property
    def seconds(self) -> float:
        """The largest of the three: when they overlap perfectly."""
        return max(self.compute, self.memory, self.communication)

    @property
    def seconds_without_overlap(self) -> float:
        """Their sum."""
        return self.compute + self.memory + self.communication

    @property
    def limit(self) -> str:
        """Which of the three is the largest."""
        times = dataclasses.asdict(self)
        return max(times, key=lambda name: times[name])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What a step takes, of one chip.

    Attributes:
        name: what is planned.
        topology: name of the devices.
        mesh: sizes of its axes.
        parameters: of the whole model and objective, trained or not.
        memory: see :class:`Memory`.
        capacity: bytes of the chip's main memory; ``None`` when not known.
        flops: of all matrix products, with what is computed again.
        model_flops: of the model alone (see :mod:`textzoo.trainers.flops`), a chip's share;
            ``None`` when not known.
        traffic: bytes to and from main memory.
        collectives: what is sent.
        times: ``None`` where the chip is not known.
        compiler_counts: ``flops`` and ``bytes accessed`` as XLA counts them, loops once.
        unknown_loops: loops whose length could not be read: they count once.
        compile_seconds: taken by the compiler.
    """

    name: str
    topology: str
    mesh: Mapping[str, int]
    parameters: int
    memory: Memory
    capacity: int | None
    flops: int
    model_flops: float | None
    traffic: int
    collectives: tuple[Collective, ...]
    times: Roofline | None
    compiler_counts: Mapping[str, float]
    unknown_loops: tuple[str, ...]
    compile_seconds: float

    @property
    def num_chips(self) -> int:
        """Chips of the mesh."""
        return math.prod(self.mesh.values())

    @property
    def sent_bytes(self) -> int:
        """Bytes a chip sends."""
        return sum(collective.sent_bytes for collective in self.collectives)

    @property
    def fits(self) -> bool | None:
        """Whether the step fits the chip; ``None`` when its memory is not known."""
        return None if self.capacity is None else self.memory.total <= self.capacity

    @property
    def utilization(self) -> float | None:
        """Model-FLOP utilization at the roofline: no run can have more."""
        if self.times is None or self.model_flops is None or not self.flops:
            return None
        compute_peak = self.flops / self.times.compute
        return self.model_flops / self.times.seconds / compute_peak

    def sent_by(self, *fields: str) -> dict[tuple[str, ...], int]:
        """Bytes sent by kind, axes, origin; see :func:`textzoo.trainers.collectives.sent_by`."""
        return sent_by(self.collectives, *fields)

    def verdict(self) -> str:
        """One sentence: does it fit, how long does a step take, and what decides that."""
        used = f"{self.memory.total / _GIB:.2f} GiB a chip"
        if self.fits is None:
            return f"needs {used}; how much this device has is not known."
        assert self.capacity is not None
        room = f"{self.capacity / _GIB:.0f} GiB"
        if not self.fits:
            return (
                f"does not fit: {used} of {room}; use more chips, a smaller batch or chunk, "
                "remat='full', or a larger fsdp axis."
            )
        if self.times is None:
            return f"fits: {used} of {room}."
        return (
            f"fits: {used} of {room}; a step takes at least {self.times.seconds * 1e3:.1f} ms, "
            f"limited by {self.times.limit}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON types; collectives added up by kind, axes and origin."""
        plain = dataclasses.asdict(self)
        plain["memory"]["total"] = self.memory.total
        plain["mesh"] = dict(self.mesh)
        plain["compiler_counts"] = dict(self.compiler_counts)
        plain["unknown_loops"] = list(self.unknown_loops)
        plain["collectives"] = [
            {"kind": kind, "axes": axes, "bytes": size}
            for (kind, axes), size in self.sent_by("kind", "axes").items()
        ]
        plain.update(
            num_chips=self.num_chips, sent_bytes=self.sent_bytes, fits=self.fits,
            utilization=self.utilization, verdict=self.verdict(),
        )  # fmt: skip
        if self.times is not None:
            plain["times"].update(
                seconds=self.times.seconds, limit=self.times.limit,
                seconds_without_overlap=self.times.seconds_without_overlap,
            )  # fmt: skip
        return plain


def plan_step(
    lowered: jax.stages.Lowered, *, mesh: Mesh, topology: Topology, name: str, parameters: int,
    model_flops: float | None = None, effort: str = "low",
) -> Plan:  # fmt: skip
    """Compiles a lowered step and reads what it takes.

    Args:
        lowered: e.g. ``trainer.lower(batch)``, with the mesh made of the topology's devices.
        mesh: on which it was lowered.
        topology: of the mesh's devices.
        name: what is planned.
        parameters: of model and objective.
        model_flops: of a step on all chips.
        effort: how long the compiler searches: ``"full"``, as in a run, or ``"low"``, in a tenth
            of the time. Memory then comes within some percent of a run's; what is moved and sent is
            overstated, most where a loop adds gradients up: a run sends their sum once, after it.

    Raises:
        OutOfMemory: the step does not fit.
    """
    begin = time.perf_counter()
    compiled = compile_step(lowered, effort=effort, platform=topology.devices[0].platform)
    seconds = time.perf_counter() - begin
    program = parse_program(compiled.as_text() or "")
    collectives = tuple(find_collectives(program, dict(mesh.shape)))
    flops, traffic = matrix_flops(program), memory_traffic(program)
    counts: Any = compiled.cost_analysis() or {}
    return Plan(
        name=name, topology=topology.name, mesh=dict(mesh.shape), parameters=parameters,
        memory=Memory.of(compiled), capacity=_capacity(topology), flops=flops,
        model_flops=None if model_flops is None else model_flops / mesh.size,
        traffic=traffic, collectives=collectives,
        times=_roofline(topology, mesh, flops, traffic, collectives),
        compiler_counts={
            key: float(counts[key]) for key in ("flops", "bytes accessed") if key in counts
        },
        unknown_loops=tuple(program.loops_of_unknown_length()), compile_seconds=seconds,
    )  # fmt: skip


def plan_training(
    trainer: Trainer, batch: TrainBatch, *, topology: Topology, name: str, effort: str = "low"
) -> Plan:
    """Plans the step of a trainer, whose objective may be abstract (``nnx.eval_shape``).

    Args:
        trainer: made with ``devices=topology.devices``.
        batch: one global batch; see :func:`abstract_batch`.
        topology: of the trainer's mesh.
        name: what is planned.
        effort: see :func:`plan_step`.
    """
    shapes = trainer.blueprint.shapes(trainer.blueprint.parameters)
    with jax.set_mesh(trainer.mesh):
        flops = trainer.model_flops(batch)
    return plan_step(
        trainer.lower(batch), mesh=trainer.mesh, topology=topology, name=name,
        parameters=sum(math.prod(shape.shape) for shape in shapes.values()), model_flops=flops,
        effort=effort,
    )  # fmt: skip


def lower_step(step: TrainStep, state: TrainState, batch: TrainBatch, mesh: Mesh) -> Any:
    """Lowers a training step as a run compiles it: the state is donated and stays where it is.

    Args:
        step: of :func:`textzoo.trainers.step.make_train_step`.
        state: of :func:`textzoo.trainers.state.abstract_state`.
        batch: shapes with shardings, see :func:`abstract_batch`.
        mesh: on which both lie.
    """
    with jax.set_mesh(mesh):
        jitted = jax.jit(
            step, donate_argnums=0, out_shardings=(shardings_of(state), replicated(mesh))
        )
        return jitted.lower(state, batch)


def abstract_batch(batch: TrainBatch, mesh: Mesh) -> TrainBatch:
    """A batch's shapes and dtypes (of arrays, or of ``jax.ShapeDtypeStruct``), rows split."""
    sharding = batch_sharding(mesh)
    return jax.tree.map(
        lambda rows: jax.ShapeDtypeStruct(rows.shape, rows.dtype, sharding=sharding), batch
    )


def compile_step(lowered: jax.stages.Lowered, *, effort: str, platform: str) -> jax.stages.Compiled:
    """Compiles; a step too large for the chip is an :class:`OutOfMemory` that says by how much."""
    if effort not in EFFORTS:
        raise ConfigError(f"effort={effort!r}; {closest(effort, EFFORTS)}")
    options: Any = _LOW_EFFORT if effort == "low" and platform == "tpu" else None
    try:
        return lowered.compile(compiler_options=options)
    except RuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise out_of_memory(str(error)) from error


def out_of_memory(message: str) -> OutOfMemory:
    """What the compiler said about memory, in one sentence."""
    advice = "use more chips, a smaller batch or chunk, remat='full', or a larger fsdp axis"
    matches = (re.search(pattern, message) for pattern in _TOO_LARGE)
    found = next((match for match in matches if match is not None), None)
    if found is None:
        return OutOfMemory(f"the step does not fit the chip; {advice} ({message.splitlines()[0]})")
    used, room = (
        int(float(number) * 1024 ** " KMGT".index(unit or " "))
        for number, unit in (found.group(1, 2), found.group(3, 4))
    )
    return OutOfMemory(
        f"the step needs {used / _GIB:.1f} GiB or more of a chip that has {room / _GIB:.2f} GiB; "
        f"{advice}",
        used,
    )


def _roofline(
    topology: Topology, mesh: Mesh, flops: int, traffic: int, collectives: Sequence[Collective]
) -> Roofline | None:
    chip = topology.chip
    if chip is None:
        return None
    devices = list(mesh.devices.flat)
    return Roofline(
        compute=flops / chip.flops_per_second,
        memory=traffic / chip.memory_bandwidth,
        communication=sum(topology.seconds(item, devices) or 0.0 for item in collectives),
    )


def _capacity(topology: Topology) -> int | None:
    if topology.chip is not None:
        return topology.chip.memory_bytes
    statistics = topology.devices[0].memory_stats() if topology.name == "local" else None
    return int(statistics["bytes_limit"]) if statistics and "bytes_limit" in statistics else None
