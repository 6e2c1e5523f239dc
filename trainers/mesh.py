"""The devices of a run, arranged as a mesh; start-up of many processes."""

import dataclasses
import math
from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

from textzoo.errors import ConfigError, closest

AXES = ("data", "fsdp", "model")
BATCH_AXES = ("data", "fsdp")
"""The axes over which the rows of a batch are split."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MeshConfig:
    """How many devices each axis has; the product is the number of devices.

    Attributes:
        data: copies of the model, each with rows of its own. -1: all devices that are left.
        fsdp: devices that share one copy of the parameters and have rows of their own ("fully
            sharded data parallel": parameters are gathered when they are used). -1: as above.
        model: devices that split the heads, the feed-forward width and the vocabulary of one row
            ("tensor parallel").
    """

    data: int = -1
    fsdp: int = 1
    model: int = 1

    def __post_init__(self) -> None:
        sizes = {axis: getattr(self, axis) for axis in AXES}
        for axis, size in sizes.items():
            if size != -1 and size < 1:
                raise ConfigError(f"mesh axis {axis}={size}; use 1 or more, or -1 for the rest")
        if list(sizes.values()).count(-1) > 1:
            raise ConfigError(f"mesh {sizes}: only one axis can take the rest; give the others")

    @classmethod
    def parse(cls, text: str) -> "MeshConfig":
        """Reads ``"data=4,fsdp=2"``; ``data`` takes the rest when it is not named."""
        sizes: dict[str, int] = {}
        for item in filter(None, (piece.strip() for piece in text.split(","))):
            axis, _, size = item.partition("=")
            if axis not in AXES:
                raise ConfigError(f"mesh {text!r} has no axis {axis!r}; {closest(axis, AXES)}")
            if not size.lstrip("-").isdecimal():
                raise ConfigError(f"mesh {text!r}: {item!r} has no number; write {axis}=2")
            sizes[axis] = int(size)
        return cls(**sizes)

    def shape(self, num_devices: int) -> tuple[int, int, int]:
        """Sizes of the axes for so many devices.

        Raises:
            ConfigError: the devices cannot be arranged so.
        """
        sizes = [getattr(self, axis) for axis in AXES]
        known = math.prod(size for size in sizes if size != -1)
        if num_devices % known or (-1 not in sizes and known != num_devices):
            wanted = " x ".join(f"{axis}={size}" for axis, size in zip(AXES, sizes, strict=True))
            raise ConfigError(
                f"mesh {wanted} does not fit {num_devices} devices; the sizes multiplied must be "
                f"{num_devices}, e.g. MeshConfig(data=-1) for plain data parallelism"
            )
        data, fsdp, model = (num_devices // known if size == -1 else size for size in sizes)
        return data, fsdp, model


def make_mesh(
    config: MeshConfig | None = None, devices: Sequence[jax.Device] | None = None
) -> Mesh:
    """Arranges devices (all there are, over all processes) as a mesh with automatic axes.

    One device is a mesh of one: the same code runs everywhere. Axes are of type ``Auto``: the
    compiler spreads the computation from the placement of parameters and rows.
    """
    devices = jax.devices() if devices is None else list(devices)
    shape = (config or MeshConfig()).shape(len(devices))
    types = (AxisType.Auto,) * len(AXES)
    if jax.process_count() > 1 or devices[0].platform == "cpu":
        # In the order of the processes, so that a process's rows are on its own devices.
        return Mesh(np.asarray(devices).reshape(shape), AXES, axis_types=types)
    return jax.make_mesh(shape, AXES, axis_types=types, devices=devices)


def batch_shards(mesh: Mesh) -> int:
    """Into how many parts the rows of a batch are split."""
    return math.prod(mesh.shape[axis] for axis in BATCH_AXES)


def initialize_distributed(
    *,
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> None:
    """Connects this process with the others of the run; call it before anything touches a device.

    On TPU pods, Slurm and Kubernetes JAX finds the others by itself; elsewhere say where.

    Args:
        coordinator: ``host:port`` of process 0.
        num_processes: how many there are.
        process_id: which one this is, from 0.
    """
    given = (coordinator, num_processes, process_id)
    if any(value is not None for value in given) and any(value is None for value in given):
        raise ConfigError(
            f"coordinator={coordinator!r}, num_processes={num_processes}, process_id={process_id}: "
            "give all three, or none where the cluster tells JAX by itself"
        )
    if process_id is not None and num_processes is not None:
        if not 0 <= process_id < num_processes:
            raise ConfigError(
                f"process_id={process_id} is not below num_processes={num_processes}; they count "
                "from 0"
            )
    if jax.config.values.get("jax_platforms") == "cpu":
        # Processes on CPUs talk through gloo; without it they cannot.
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(coordinator, num_processes, process_id)
