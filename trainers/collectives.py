"""What a compiled program sends between chips: which collectives, how many bytes, along which axis.

Counted is what one chip sends when the program runs once, with the ring algorithms that reach the
bound of each collective. With S the size of the whole buffer and n chips in a group::

    all-gather, reduce-scatter   S (n - 1) / n
    all-reduce                   2 S (n - 1) / n     (a reduce-scatter, then an all-gather)
    all-to-all                   S (n - 1) / n       S: what one chip holds
    collective-permute           S

Reference: Thakur, Rabenseifner, Gropp 2005, Optimization of collective communication operations in
MPICH, sections 3 and 4 (large messages).
"""

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence

import numpy as np

from textzoo.trainers.hlo import Computation, Instruction, Program

KINDS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")

_OPCODES = {
    **{kind: kind for kind in KINDS},
    **{f"{kind}-start": kind for kind in KINDS},
    "ragged-all-to-all": "all-to-all",
}
_IOTA = re.compile(r"\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?")
_MESH = re.compile(r"mesh\[([^\]]*)\](?:,\s*device_ids=\(([^)]*(?:\([^)]*\))?)\))?\s*\{([^}]*)\}")
_MESH_AXIS = re.compile(r"'([^']+)'=(\d+)")
_MESH_PART = re.compile(r"'([^']+)'(?::\((\d+)\)(\d+))?")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Collective:
    """One communication of a program.

    Attributes:
        name: of the instruction.
        kind: one of :data:`KINDS`.
        groups: chips that talk to one another, by their place in the mesh counted row by row; for
            a permutation, the (source, target) pairs.
        axes: of the mesh, along which they lie.
        buffer_bytes: S above.
        times: how often it runs when the program runs once.
        origin: where in the JAX program it comes from.
    """

    name: str
    kind: str
    groups: tuple[tuple[int, ...], ...]
    axes: tuple[str, ...]
    buffer_bytes: int
    times: int
    origin: str

    @property
    def group_size(self) -> int:
        """Chips in a group, the largest if they differ."""
        return max((len(group) for group in self.groups), default=1)

    @property
    def sent_bytes(self) -> int:
        """What one chip sends in a run of the program."""
        return self.times * ring_bytes(self.kind, self.buffer_bytes, self.group_size)


def ring_bytes(kind: str, buffer_bytes: int, group_size: int) -> int:
    """What one chip of a group sends in one collective; see the formulas above."""
    if kind == "collective-permute":
        return buffer_bytes if group_size > 1 else 0
    passes = 2 if kind == "all-reduce" else 1
    return passes * buffer_bytes * (group_size - 1) // group_size


def find_collectives(program: Program, mesh_shape: Mapping[str, int]) -> list[Collective]:
    """All collectives of a compiled program, in its order.

    Those inside loops count as often as the loop runs, asynchronous ones once (at their start), and
    an all-reduce of which every chip keeps a part, as the TPU compiler fuses it, is a
    reduce-scatter. Groups of a single chip send nothing and are left out.

    Args:
        program: from :func:`textzoo.trainers.hlo.parse_program`.
        mesh_shape: sizes of the mesh axes in their order; the program runs on that mesh.
    """
    num_chips = int(np.prod(list(mesh_shape.values()), dtype=int))
    found = []
    for computation in program.computations.values():
        times = program.runs[computation.name]
        if not times or _continues(computation):
            continue
        for instruction in computation:
            kind = _OPCODES.get(instruction.opcode)
            if kind is None:
                continue
            if kind == "all-reduce" and _keeps_a_part(program, computation):
                kind = "reduce-scatter"
            groups = device_groups(instruction, num_chips)
            collective = Collective(
                name=instruction.name, kind=kind, groups=groups,
                axes=axes_of_groups(groups, mesh_shape),
                buffer_bytes=_buffer_bytes(computation, instruction, kind, groups),
                times=times, origin=instruction.origin(),
            )  # fmt: skip
            if collective.group_size > 1:
                found.append(collective)
    return found


def device_groups(instruction: Instruction, num_chips: int) -> tuple[tuple[int, ...], ...]:
    """The groups of a collective, whichever way XLA writes them.

    ``{{0,1},{2,3}}``, ``[2,2]<=[4]``, ``[2,2]<=[2,2]T(1,0)``, ``mesh['a'=2,'b'=2] {'a'}`` and, for
    all chips together, ``{}``.
    """
    text = instruction.attributes
    pairs = re.search(r"source_target_pairs=\{((?:\{[\d,\s]*\},?\s*)*)\}", text)
    if pairs is not None:
        found = _lists(pairs.group(1))
        return tuple(pair for pair in found if pair[0] != pair[1])
    _, given, rest = text.partition("replica_groups=")
    if not given:
        return (tuple(range(num_chips)),)
    if rest.startswith("{{"):
        return _lists(rest[: rest.index("}}") + 1])
    if rest.startswith("{}"):
        return (tuple(range(num_chips)),)
    if iota := _IOTA.match(rest):
        sizes, dims, order = (_numbers(part) for part in iota.groups())
        ids = _iota(dims, order)
        return tuple(map(tuple, ids.reshape(sizes[0], -1).tolist()))
    if mesh := _MESH.match(rest):
        return _mesh_groups(*mesh.groups())
    raise ValueError(
        f"the groups of {instruction.name} are written in an unknown way: {rest[:120]!r}"
    )


def axes_of_groups(
    groups: Sequence[Sequence[int]], mesh_shape: Mapping[str, int]
) -> tuple[str, ...]:
    """Mesh axes along which the chips of a group differ."""
    sizes = tuple(mesh_shape.values())
    varying: set[str] = set()
    for group in groups:
        places = np.stack(np.unravel_index(np.asarray(group), sizes))
        differs = (places != places[:, :1]).any(axis=1)
        varying.update(itertools.compress(mesh_shape, differs))
    return tuple(axis for axis in mesh_shape if axis in varying)


def sent_by(collectives: Sequence[Collective], *fields: str) -> dict[tuple[str, ...], int]:
    """Bytes a chip sends, added up by some fields, the largest first.

    Args:
        collectives: from :func:`find_collectives`.
        *fields: such as ``"kind"`` and ``"axes"`` (whose names are joined by ``+``).
    """
    totals: dict[tuple[str, ...], int] = {}
    for collective in collectives:
        values = (getattr(collective, field) for field in fields)
        key = tuple("+".join(value) if isinstance(value, tuple) else value for value in values)
        totals[key] = totals.get(key, 0) + collective.sent_bytes
    return dict(sorted(totals.items(), key=lambda item: -item[1]))


def _continues(computation: Computation) -> bool:
    """Whether this is a later part of a collective that the TPU compiler split over fusions.

    It spreads an asynchronous collective over a fusion that starts it, fusions of other work beside
    it, and one that ends it, and prints it in each; only the start is counted.
    """
    has_start = has_collective = False
    for instruction in computation:
        has_start |= "AsyncCollectiveStart" in instruction.attributes
        if instruction.opcode in _OPCODES:
            has_collective |= _is_split(instruction)
    return has_collective and not has_start


def _is_split(instruction: Instruction) -> bool:
    """Whether the compiler marked a collective as part of an asynchronous one."""
    return "async_collective_fusion_config" in instruction.attributes


def _keeps_a_part(program: Program, computation: Computation) -> bool:
    root = computation.instructions[computation.root]
    while root.opcode in ("bitcast", "copy", "convert") and computation.operands(root):
        root = computation.operands(root)[0]
    return computation.name in program.fused and root.opcode == "dynamic-slice"


def _buffer_bytes(
    where: Computation, instruction: Instruction, kind: str, groups: tuple[tuple[int, ...], ...]
) -> int:
    held = sum(
        buffer.num_bytes()
        for operand in where.operands(instruction)
        for buffer in operand.buffers()
    )
    if kind == "all-gather":  # operands are the parts
        return held * max(map(len, groups), default=1)
    return held


def _mesh_groups(axes: str, order: str | None, together: str) -> tuple[tuple[int, ...], ...]:
    """Groups of chips along named axes, or along a part ``'a':(before)size`` of one."""
    sizes = {name: int(size) for name, size in _MESH_AXIS.findall(axes)}
    if order is None:
        ids = np.arange(np.prod(list(sizes.values()), dtype=int))
    elif iota := _IOTA.match(order) or re.match(r"()\[([\d,]+)\](?:T\(([\d,]+)\))?", order):
        ids = _iota(_numbers(iota.group(2)), _numbers(iota.group(3))).reshape(-1)
    else:
        ids = np.asarray(_numbers(order))
    parts = {name: (before, size) for name, before, size in _MESH_PART.findall(together)}
    shape: list[int] = []
    inside: list[int] = []  # axes of ``shape`` whose chips are in one group
    for name, size in sizes.items():
        before, part = parts.get(name, ("1", "1"))
        if name in parts and not part:
            before, part = "1", str(size)
        middle = int(part)
        if name in parts:
            inside.append(len(shape) + 1)
        shape += [int(before), middle, size // (int(before) * middle)]
    outside = [axis for axis in range(len(shape)) if axis not in inside]
    grid = ids.reshape(shape).transpose(*outside, *inside)
    members = int(np.prod([shape[axis] for axis in inside], dtype=int))
    return tuple(map(tuple, grid.reshape(-1, members).tolist()))


def _iota(dims: Sequence[int], order: Sequence[int]) -> np.ndarray:
    ids = np.arange(np.prod(dims, dtype=int)).reshape(dims)
    return ids.transpose(order) if order else ids


def _lists(text: str) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(_numbers(part)) for part in re.findall(r"\{([\d,\s]*)\}", text))


def _numbers(text: str | None) -> list[int]:
    return [int(number) for number in (text or "").split(",") if number.strip()]
