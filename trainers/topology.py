"""Chips and how they are wired: what a plan compares a program with.

A TPU topology is described by name, without any TPU at hand: the compiler that comes with
``libtpu`` compiles for it on any machine.
"""

import contextlib
import dataclasses
import functools
import os
import re
from collections.abc import Iterator, Sequence

import jax
import numpy as np

from textzoo.errors import ConfigError, closest
from textzoo.trainers.collectives import Collective
from textzoo.trainers.flops import published_flops_per_second


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """What a kind of chip can do. Bytes, bytes/s and FLOP/s; the peak is that of bfloat16.

    Attributes:
        name: as in the name of a topology.
        kind: ``jax.Device.device_kind``.
        memory_bytes: of its main memory.
        memory_bandwidth: between chip and main memory.
        link_bandwidth: of a link to a neighbor, in one direction.
        ring_multiple: an axis of the torus closes to a ring when its length is a multiple of this;
            0: there is no torus, every chip reaches every other over one link (a switch).
    """

    name: str
    kind: str
    memory_bytes: int
    memory_bandwidth: float
    link_bandwidth: float
    ring_multiple: int

    @property
    def flops_per_second(self) -> float:
        """The maker's peak for dense bfloat16 products."""
        peak = published_flops_per_second(self.kind, "bfloat16")
        if peak is None:
            raise ConfigError(f"the peak of a {self.kind!r} is not known")
        return peak


_GIB = 2**30
# https://cloud.google.com/tpu/docs/v5e, v5p, v6e: capacity, bandwidth, and the bandwidth of all
# links in both directions (400, 1200 and 800 GB/s; 4, 6 and 4 links). Of a link in one direction,
# "How to Scale Your Model" (https://jax-ml.github.io/scaling-book/tpus) gives what a program
# reaches, 45, 90 and 90 GB/s, and when an axis is a ring: v5e and v6e with all 16 chips of a pod's
# axis, v5p from cubes of 4.
_TPUS = (
    Chip(
        name="v5e", kind="TPU v5 lite", memory_bytes=16 * _GIB, memory_bandwidth=819e9,
        link_bandwidth=45e9, ring_multiple=16,
    ),
    Chip(
        name="v5p", kind="TPU v5", memory_bytes=95 * _GIB, memory_bandwidth=2765e9,
        link_bandwidth=90e9, ring_multiple=4,
    ),
    Chip(
        name="v6e", kind="TPU v6 lite", memory_bytes=32 * _GIB, memory_bandwidth=1640e9,
        link_bandwidth=90e9, ring_multiple=16,
    ),
)  # fmt: skip
# NVIDIA's datasheets of the SXM modules: memory, its bandwidth, NVLink (half of the 900 and
# 600 GB/s in each direction).
_GPUS = (
    Chip(
        name="h200", kind="H200", memory_bytes=141 * 10**9, memory_bandwidth=4800e9,
        link_bandwidth=450e9, ring_multiple=0,
    ),
    Chip(
        name="h100", kind="H100", memory_bytes=80 * 10**9, memory_bandwidth=3350e9,
        link_bandwidth=450e9, ring_multiple=0,
    ),
    Chip(
        name="a100", kind="A100", memory_bytes=80 * 10**9, memory_bandwidth=2039e9,
        link_bandwidth=300e9, ring_multiple=0,
    ),
)  # fmt: skip
# So that libtpu, when it is loaded, asks no server and no machine about TPUs that are not there,
# and locks none of them: several plans may be made at a time.
_QUIET = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-16",
    "TPU_WORKER_HOSTNAMES": "localhost",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Topology:
    """Devices to plan for.

    Attributes:
        name: ``"v5e:4x4"``, or ``"local"``.
        devices: real ones, or descriptions for the compiler.
        chip: what each can do; ``None`` where that is not known (a processor).
        sizes: of the torus of TPUs; empty without one.
    """

    name: str
    devices: tuple[jax.Device, ...]
    chip: Chip | None
    sizes: tuple[int, ...] = ()

    def seconds(self, collective: Collective, devices: Sequence[jax.Device]) -> float | None:
        """How long the bytes of a collective take at full bandwidth; ``None`` when not known.

        Args:
            collective: from :func:`textzoo.trainers.collectives.find_collectives`.
            devices: of the mesh, row by row.
        """
        if self.chip is None:
            return None
        links = 1.0
        if self.chip.ring_multiple and collective.kind != "collective-permute":
            places = [_place(devices[number]) for number in collective.groups[0]]
            links = self.links(places)
        return collective.sent_bytes / (links * self.chip.link_bandwidth)

    def links(self, places: Sequence[Sequence[int]]) -> float:
        """Links in one direction over which each chip of a group sends at the same time.

        Along every axis of the torus over which the group extends: two where the axis is a ring and
        the group has all of it, otherwise one, since the chips at the ends of a row have no more. A
        group with gaps shares the links with the groups in its gaps.

        Args:
            places: in the torus, of the chips of the group.
        """
        found = 0.0
        multiple = 0 if self.chip is None else self.chip.ring_multiple
        for size, along in zip(self.sizes, np.asarray(places).T, strict=False):
            taken = np.unique(along)
            if len(taken) == 1:
                continue
            is_ring = multiple > 0 and len(taken) == size and size % multiple == 0
            extent = int(taken[-1] - taken[0]) + 1
            found += 2.0 if is_ring else len(taken) / extent
        return found or 1.0


def find_topology(name: str | None) -> Topology:
    """The topology of that name; the local devices when there is none."""
    return local_topology() if name is None else tpu_topology(name)


@functools.lru_cache(maxsize=8)
def tpu_topology(name: str) -> Topology:
    """Describes TPUs by generation and arrangement, without needing any.

    Args:
        name: ``"v5e:4x4"``, ``"v5e:16x16"``, ``"v5p:4x4x4"``.

    Raises:
        ConfigError: there is no such arrangement.
        ImportError: ``libtpu``, which holds the compiler, is not installed.
    """
    generation, _, arrangement = name.partition(":")
    chips = {chip.name: chip for chip in _TPUS}
    if generation not in chips:
        raise ConfigError(
            f"topology {name!r} is of an unknown generation {generation!r}; "
            f"{closest(generation, chips)}"
        )
    if not re.fullmatch(r"\d+x\d+(x\d+)?", arrangement):
        raise ConfigError(
            f"topology {name!r} has no arrangement of chips; write it as v5e:4x4, v5e:16x16 or "
            "v5p:4x4x4"
        )
    from jax.experimental import topologies

    try:
        with _environment(_QUIET):
            found = topologies.get_topology_desc(platform="tpu", topology_name=name)
    except (RuntimeError, NotImplementedError) as error:
        if _has_libtpu():
            raise ConfigError(
                f"topology {name!r} does not exist: {error}; try v5e:4x4 (16 chips), v5e:8x8 or "
                "v5e:16x16"
            ) from error
        raise ImportError(
            "planning for TPUs needs their compiler: pip install 'textzoo[plan]'; or leave the "
            "topology out to plan for the devices of this machine"
        ) from error
    sizes = tuple(int(size) for size in arrangement.split("x"))
    return Topology(name=name, devices=tuple(found.devices), chip=chips[generation], sizes=sizes)


def local_topology() -> Topology:
    """The devices of this machine."""
    devices = tuple(jax.devices())
    kind = devices[0].device_kind
    known = (chip for chip in (*_TPUS, *_GPUS) if chip.kind.lower() in kind.lower())
    chip = next(known, None)
    sizes: tuple[int, ...] = ()
    if devices[0].platform == "tpu":
        places = np.asarray([_place(device) for device in devices])
        sizes = tuple(int(size) for size in places.max(axis=0) + 1)
    return Topology(name="local", devices=devices, chip=chip, sizes=sizes)


def _place(device: jax.Device) -> tuple[int, ...]:
    coords = getattr(device, "coords", None)  # only TPUs have a place
    return (device.id,) if coords is None else tuple(coords)


def _has_libtpu() -> bool:
    from importlib.util import find_spec

    return find_spec("libtpu") is not None


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
