"""Reads a compiled program as XLA prints it: computations, instructions, how often each one runs.

XLA's own analysis of a compiled program counts a loop once, however often it runs; here loops count
as often as they do. The text is that of ``jax.stages.Compiled.as_text()``, the program of one chip.

Reference: https://openxla.org/xla/operation_semantics; the text form has no specification.
"""

import dataclasses
import functools
import graphlib
import math
import re
from collections.abc import Iterator, Mapping

ITEM_BITS = {
    "pred": 8, "token": 0, "opaque": 0,
    **{f"{sign}{bits}": bits for sign in "su" for bits in (2, 4, 8, 16, 32, 64)},
    "f16": 16, "bf16": 16, "f32": 32, "f64": 64, "c64": 64, "c128": 128,
}  # fmt: skip
"""Bits of a number of each type; the 8-bit floats (``f8...``) are handled by their name."""

_HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .*\{$")
_NAME = re.compile(r"%([\w.\-]+)")
_LEAF = re.compile(r"([a-z]\w*)\[([\d,<=\s]*)\](\{[^}]*\})?")
_SPACE = re.compile(r"S\((\d+)\)")
_CALLED = re.compile(
    r"\b(calls|body|condition|to_apply|true_computation|false_computation)=%([\w.\-]+)"
)
_CALLED_LISTS = re.compile(r"\b(branch_computations|called_computations)=\{([^}]*)\}")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_OP_NAME = re.compile(r'op_name="([^"]*)"')


@dataclasses.dataclass(frozen=True, slots=True)
class Buffer:
    """One array of an instruction's result.

    Attributes:
        dtype: XLA's name of it, such as ``bf16``.
        dims: its shape.
        space: 0 is the chip's main memory; other numbers are small memories on the chip.
    """

    dtype: str
    dims: tuple[int, ...]
    space: int = 0

    def num_bytes(self) -> int:
        """Its size without the padding of a layout."""
        bits = 8 if self.dtype.startswith("f8") else ITEM_BITS.get(self.dtype, 32)
        return -(-math.prod(self.dims) * bits // 8)


@dataclasses.dataclass(frozen=True, slots=True)
class Instruction:
    """One line of a computation.

    Attributes:
        name: unique in the program.
        opcode: such as ``fusion``.
        shape: of the result, as printed.
        operands: names of instructions of the same computation.
        arguments: what stands between the parentheses: a constant's value, a parameter's number.
        attributes: the rest of the line.
    """

    name: str
    opcode: str
    shape: str
    operands: tuple[str, ...]
    arguments: str
    attributes: str

    def buffers(self) -> tuple[Buffer, ...]:
        """The arrays of the result, those of a tuple one after the other."""
        return parse_shape(self.shape)

    def origin(self) -> str:
        """Where in the JAX program it comes from; empty when XLA does not say."""
        found = _OP_NAME.search(self.attributes)
        return found.group(1) if found else ""

    def called(self) -> list[tuple[str, str]]:
        """Computations it calls, as (role, name); a reduction's operator is among them."""
        found = _CALLED.findall(self.attributes)
        for role, names in _CALLED_LISTS.findall(self.attributes):
            found += [(role, name) for name in _NAME.findall(names)]
        return found


@dataclasses.dataclass(frozen=True, slots=True)
class Computation:
    """A function of the program: the entry, a loop's body, the inside of a fusion.

    Attributes:
        name: unique in the program.
        instructions: by name, in order.
        root: name of the instruction whose result it returns.
    """

    name: str
    instructions: Mapping[str, Instruction]
    root: str

    def __iter__(self) -> Iterator[Instruction]:
        return iter(self.instructions.values())

    def operands(self, instruction: Instruction) -> list[Instruction]:
        """The instructions whose results an instruction uses."""
        found = (self.instructions.get(name) for name in instruction.operands)
        return [operand for operand in found if operand is not None]

    def parameters(self) -> dict[int, Instruction]:
        """Its parameters by number."""
        return {int(i.arguments): i for i in self if i.opcode == "parameter"}


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled program.

    Attributes:
        computations: by name.
        entry: name of the one that is run.
    """

    computations: Mapping[str, Computation]
    entry: str

    @functools.cached_property
    def runs(self) -> Mapping[str, int]:
        """How often each computation runs when the program runs once.

        Operators of reductions are left out. All branches of a conditional count, so what is
        computed from this is an upper bound; a loop whose length cannot be read counts once.
        """
        edges = {
            name: [
                (called, self._times(instruction, role))
                for instruction in computation
                for role, called in instruction.called()
                if _is_call(instruction, role)
            ]
            for name, computation in self.computations.items()
        }
        order = graphlib.TopologicalSorter(
            {name: {called for called, _ in calls} for name, calls in edges.items()}
        )
        runs = dict.fromkeys(self.computations, 0)
        runs[self.entry] = 1
        for name in reversed(list(order.static_order())):  # callers first
            for called, times in edges[name]:
                runs[called] += runs[name] * times
        return runs

    @functools.cached_property
    def fused(self) -> frozenset[str]:
        """Computations that are the inside of a fusion: their results stay on the chip."""
        return frozenset(
            called
            for computation in self.computations.values()
            for instruction in computation
            if instruction.opcode == "fusion"
            for role, called in instruction.called()
            if role == "calls"
        )

    def loops_of_unknown_length(self) -> list[str]:
        """Names of loops that were counted once because their length could not be read."""
        return [
            instruction.name
            for computation in self.computations.values()
            if self.runs[computation.name]
            for instruction in computation
            if instruction.opcode == "while" and self.trip_count(computation, instruction) is None
        ]

    def _times(self, instruction: Instruction, role: str) -> int:
        if instruction.opcode != "while":
            return 1
        for computation in self.computations.values():
            if instruction.name in computation.instructions:
                trips = self.trip_count(computation, instruction)
                return 1 if trips is None else trips
        return 1

    def trip_count(self, where: Computation, loop: Instruction) -> int | None:
        """How often the body of a ``while`` runs; ``None`` when it cannot be read.

        XLA says so, or the condition compares a counter with a constant, and the counter's start
        and step are constants too.

        Args:
            where: the computation that holds the loop.
            loop: the ``while``.
        """
        known = _TRIPS.search(loop.attributes)
        if known:
            return int(known.group(1))
        called = dict(loop.called())
        condition = self.computations[called["condition"]]
        body = self.computations[called["body"]]
        test = self._comparison(condition)
        if test is None:
            return None
        index, limit, direction = test
        start = self._initial(where, loop, index)
        step = self._step(body, index)
        if start is None or not step:
            return None
        if direction == "NE":
            return (limit - start) // step
        if direction not in ("LT", "LE", "GT", "GE"):
            return None
        last = limit + {"LE": 1, "GE": -1}.get(direction, 0)
        return max(0, -(-(last - start) // step))

    def _comparison(self, condition: Computation) -> tuple[int, int, str] | None:
        """(element of the loop's state, constant, direction) of a condition."""
        root = condition.instructions[condition.root]
        sides: list[Instruction | None] = [
            _through_copies(condition, operand) for operand in condition.operands(root)
        ]
        if root.opcode == "fusion":  # a comparison of the fusion's parameters
            inner = self.computations[dict(root.called())["calls"]]
            outer = sides
            root = inner.instructions[inner.root]
            sides = []
            for operand in inner.operands(root):
                if operand.opcode == "parameter":
                    sides.append(outer[int(operand.arguments)])
                else:
                    sides.append(_through_copies(inner, operand))
        if root.opcode != "compare" or len(sides) != 2 or None in sides:
            return None
        left, right = sides
        direction = re.search(r"direction=(\w+)", root.attributes)
        index, limit = _element(left), _constant(right)
        if index is None or limit is None or direction is None:
            return None
        return index, limit, direction.group(1)

    def _initial(self, where: Computation, loop: Instruction, index: int) -> int | None:
        states = where.operands(loop)
        if not states or states[0].opcode != "tuple":
            return None
        value = where.instructions.get(states[0].operands[index])
        return _constant(None if value is None else _through_copies(where, value))

    def _step(self, body: Computation, index: int) -> int | None:
        root = body.instructions[body.root]
        if root.opcode != "tuple":
            return None
        found = body.instructions.get(root.operands[index])
        change = None if found is None else _through_copies(body, found)
        if change is not None and change.opcode == "fusion":
            inner = self.computations[dict(change.called())["calls"]]
            inside = inner.instructions[inner.root]
            steps = [_constant(operand) for operand in inner.operands(inside)]
            return next((s for s in steps if s is not None), None) if _adds(inside) else None
        if change is None or not _adds(change):
            return None
        steps = [_constant(_through_copies(body, operand)) for operand in body.operands(change)]
        return next((step for step in steps if step is not None), None)


def parse_program(text: str) -> Program:
    """Reads the text of a compiled program."""
    computations: dict[str, Computation] = {}
    entry, name, root = "", "", ""
    instructions: dict[str, Instruction] = {}
    for line in text.splitlines():
        if line.startswith("  "):
            instruction = parse_instruction(line)
            if instruction is not None and name:
                instructions[instruction.name] = instruction
                if line.lstrip().startswith("ROOT "):
                    root = instruction.name
        elif line.startswith("}"):
            if name:
                computations[name] = Computation(name, instructions, root)
            name, root, instructions = "", "", {}
        elif header := _HEADER.match(line):
            name = header.group(2)
            entry = name if header.group(1) else entry
    if not entry:
        raise ValueError(
            "this is no text of a compiled program (it has no ENTRY computation); give "
            "compiled.as_text()"
        )
    return Program(computations, entry)


def parse_instruction(line: str) -> Instruction | None:
    """Reads ``[ROOT ]%name = shape opcode(operands), attributes``; ``None`` for other lines."""
    name, equals, rest = line.strip().removeprefix("ROOT ").partition(" = ")
    if not equals:
        return None
    end = _closing(rest, 0) + 1 if rest.startswith("(") else rest.index(" ")
    shape, rest = rest[:end], rest[end:].lstrip()
    opening = rest.index("(")
    closing = _closing(rest, opening)
    arguments = rest[opening + 1 : closing]
    return Instruction(
        name=name.lstrip("%"), opcode=rest[:opening], shape=shape,
        operands=tuple(_NAME.findall(arguments)), arguments=arguments,
        attributes=rest[closing + 1 :],
    )  # fmt: skip


@functools.lru_cache(maxsize=4096)
def parse_shape(shape: str) -> tuple[Buffer, ...]:
    """The arrays in a shape such as ``(f32[8,4]{1,0:T(8,128)S(1)}, u32[])``."""
    buffers = []
    for dtype, dims, layout in _LEAF.findall(re.sub(r"/\*.*?\*/", "", shape)):
        space = _SPACE.search(layout)
        sizes = tuple(int(size.strip("<= ")) for size in dims.split(",") if size.strip())
        buffers.append(Buffer(dtype, sizes, int(space.group(1)) if space else 0))
    return tuple(buffers)


def _closing(text: str, opening: int) -> int:
    """Where the parenthesis that opens at ``opening`` closes."""
    depth = 0
    for found in re.finditer(r"[()]", text[opening:]):
        depth += 1 if found.group() == "(" else -1
        if depth == 0:
            return opening + found.start()
    raise ValueError(f"a parenthesis is not closed in {text[:200]!r}")


def _is_call(instruction: Instruction, role: str) -> bool:
    if instruction.opcode.endswith(("-done", "-update")):
        return False  # the start was counted
    return role != "to_apply" or instruction.opcode == "call"


def _through_copies(where: Computation, instruction: Instruction) -> Instruction:
    while instruction.opcode in ("copy", "bitcast", "convert", "copy-done", "copy-start"):
        operands = where.operands(instruction)
        if not operands:
            break
        instruction = operands[0]
    return instruction


def _element(instruction: Instruction | None) -> int | None:
    if instruction is None or instruction.opcode != "get-tuple-element":
        return None
    found = re.search(r"index=(\d+)", instruction.attributes)
    return int(found.group(1)) if found else None


def _constant(instruction: Instruction | None) -> int | None:
    if instruction is None or instruction.opcode != "constant":
        return None
    return int(instruction.arguments) if re.fullmatch(r"-?\d+", instruction.arguments) else None


def _adds(instruction: Instruction) -> bool:
    return instruction.opcode == "add"
