"""Arithmetic and memory traffic of a compiled program, loops counted as often as they run.

Both are of one chip. XLA's ``cost_analysis`` gives the same quantities with every loop counted
once.
"""

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping

from textzoo.trainers.hlo import Buffer, Computation, Instruction, Program

_LABELS = re.compile(r"dim_labels=(\w+)_(\w+)->(\w+)")
_CONTRACTED = re.compile(r"lhs_contracting_dims=\{([\d,]*)\}")
_WINDOW = re.compile(r"window=\{([^}]*)\}")
# They make no data, or what they move is counted inside of what they call.
_FREE = frozenset({
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional",
    "call", "after-all", "partition-id", "replica-id", "opt-barrier", "iota", "domain",
})  # fmt: skip
_SLICES = ("dynamic-slice", "slice", "gather")


@dataclasses.dataclass(frozen=True, slots=True)
class Window:
    """How a convolution moves along one axis; the fields are XLA's."""

    size: int = 1
    stride: int = 1
    low: int = 0
    input_dilation: int = 1
    kernel_dilation: int = 1

    def products(self, inputs: int, outputs: int) -> int:
        """Pairs of output and kernel element that meet an element of the input.

        Padding and the holes of a dilated input are no work: the TPU compiler writes a batched
        matrix product as a convolution over an input so full of holes that every output meets one
        element.

        Args:
            inputs: length of the axis of the input, without holes.
            outputs: of the output.
        """
        last = (inputs - 1) * self.input_dilation  # position of the last element
        common = math.gcd(self.stride, self.input_dilation)
        period = self.input_dilation // common
        inverse = pow(self.stride // common, -1, period) if period > 1 else 0
        found = 0
        for element in range(self.size):
            shift = self.low - element * self.kernel_dilation
            if shift % common:
                continue
            # Outputs o with 0 <= o * stride - shift <= last on an element, not on a hole.
            least = max(0, -(-shift // self.stride))
            most = min(outputs - 1, (last + shift) // self.stride)
            first = shift // common * inverse % period
            found += max(0, (most - first) // period - (least - 1 - first) // period)
        return found


def matrix_flops(program: Program) -> int:
    """FLOPs of all matrix products and convolutions, computed again or not: two for each product.

    Kernels that are no part of the program text (custom calls) are not counted; see
    :func:`custom_calls`.
    """
    return sum(
        program.runs[computation.name] * instruction_flops(computation, instruction)
        for computation in program.computations.values()
        if program.runs[computation.name]
        for instruction in computation
    )


def instruction_flops(where: Computation, instruction: Instruction) -> int:
    """FLOPs of one matrix product or convolution; zero for anything else."""
    if instruction.opcode == "dot":
        left = where.operands(instruction)[0].buffers()[0].dims
        axes = _CONTRACTED.search(instruction.attributes)
        summed = [int(axis) for axis in axes.group(1).split(",") if axis] if axes else []
        outputs = math.prod(instruction.buffers()[0].dims)
        return 2 * outputs * math.prod(left[axis] for axis in summed)
    if instruction.opcode == "convolution":
        return 2 * _convolution_products(where, instruction)
    return 0


def custom_calls(program: Program) -> dict[str, int]:
    """How often each kernel outside of the program text is called."""
    found: dict[str, int] = {}
    for computation in program.computations.values():
        for instruction in computation:
            if instruction.opcode == "custom-call" and program.runs[computation.name]:
                target = re.search(r'custom_call_target="([^"]*)"', instruction.attributes)
                name = target.group(1) if target else "?"
                found[name] = found.get(name, 0) + program.runs[computation.name]
    return found


def memory_traffic(program: Program) -> int:
    """Bytes read from and written to the chip's main memory.

    Each instruction reads its operands and writes its result once; what happens inside a fusion
    stays on the chip. Of an operand that is only sliced, the slices are read.
    """
    return sum(
        program.runs[computation.name] * instruction_traffic(program, computation, instruction)
        for computation in program.computations.values()
        if program.runs[computation.name] and computation.name not in program.fused
        for instruction in computation
    )


def instruction_traffic(program: Program, where: Computation, instruction: Instruction) -> int:
    """Bytes that one instruction moves between the chip and its main memory."""
    if instruction.opcode in _FREE:
        return 0
    reads = 0
    if not instruction.opcode.endswith("-done"):
        for number, operand in enumerate(where.operands(instruction)):
            reads += min(
                _bytes_in_memory(operand.buffers()), _read(program, where, instruction, number)
            )
    writes = 0
    if not instruction.opcode.endswith("-start"):
        sizes = _written(program, where, instruction)
        writes = sum(
            size for buffer, size in zip(instruction.buffers(), sizes, strict=False)
            if buffer.space == 0
        )  # fmt: skip
    return reads + writes


def _read(program: Program, where: Computation, user: Instruction, number: int) -> int:
    """Bytes that an instruction needs of its operand ``number``."""
    operand = where.operands(user)[number]
    if user.opcode in _SLICES and number == 0:
        return _size(user.buffers())
    if user.opcode == "dynamic-update-slice" and number == 0:
        return 0
    if user.opcode == "fusion":
        inner = program.computations[dict(user.called())["calls"]]
        parameter = inner.parameters().get(number)
        if parameter is not None:
            return _read_inside(program, inner, parameter)
    return _size(operand.buffers())


def _read_inside(program: Program, where: Computation, value: Instruction) -> int:
    whole, needed = _size(value.buffers()), 0
    for user in where:
        for number, name in enumerate(user.operands):
            if name != value.name:
                continue
            if user.opcode == "bitcast":
                needed += _read_inside(program, where, user)
            elif user.opcode == "tuple":
                needed += whole
            else:
                needed += _read(program, where, user, number)
    return min(whole, needed)


def _written(program: Program, where: Computation, value: Instruction) -> list[int]:
    """Bytes that are written of each array of a result."""
    if value.opcode == "dynamic-update-slice":
        return [_size(where.operands(value)[1].buffers())]
    if value.opcode == "bitcast" and where.operands(value):
        return _written(program, where, where.operands(value)[0])
    if value.opcode == "tuple":
        return [
            size for operand in where.operands(value) for size in _written(program, where, operand)
        ]
    if value.opcode == "fusion":
        inner = program.computations[dict(value.called())["calls"]]
        return _written(program, inner, inner.instructions[inner.root])
    return [buffer.num_bytes() for buffer in value.buffers()]


def _size(buffers: tuple[Buffer, ...]) -> int:
    return sum(buffer.num_bytes() for buffer in buffers)


def _bytes_in_memory(buffers: tuple[Buffer, ...]) -> int:
    return sum(buffer.num_bytes() for buffer in buffers if buffer.space == 0)


def _convolution_products(where: Computation, instruction: Instruction) -> int:
    """Multiplications: output features x input features of a group x batch x spatial pairs."""
    image, kernel = (operand.buffers()[0].dims for operand in where.operands(instruction)[:2])
    output = instruction.buffers()[0].dims
    labels = _LABELS.search(instruction.attributes)
    if labels is None:
        raise ValueError(f"{instruction.name} is a convolution without dim_labels")
    of_image, of_kernel, of_output = (_axes(text) for text in labels.groups())
    products = output[of_output["f"]] * output[of_output["b"]] * kernel[of_kernel["i"]]
    spatial = sorted(label for label in of_output if label.isdecimal())
    for label, window in zip(spatial, windows(instruction), strict=False):
        products *= window.products(image[of_image[label]], output[of_output[label]])
    return products


def windows(instruction: Instruction) -> Iterator[Window]:
    """The windows of a convolution, one for each spatial axis, then ones of size 1."""
    found = _WINDOW.search(instruction.attributes)
    fields: Mapping[str, list[str]] = {
        name: value.split("x")
        for name, _, value in (
            item.partition("=") for item in (found.group(1).split() if found else [])
        )
    }
    for index, size in enumerate(fields.get("size", [])):
        yield Window(
            size=int(size),
            stride=int(fields["stride"][index]) if "stride" in fields else 1,
            low=int(fields["pad"][index].split("_")[0]) if "pad" in fields else 0,
            input_dilation=int(fields["lhs_dilate"][index]) if "lhs_dilate" in fields else 1,
            kernel_dilation=int(fields["rhs_dilate"][index]) if "rhs_dilate" in fields else 1,
        )


def _axes(labels: str) -> dict[str, int]:
    return {label: axis for axis, label in enumerate(labels)}
