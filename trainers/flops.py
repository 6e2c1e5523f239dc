r"""Arithmetic of a model, and how much of a device's it uses.

Counted are products and sums in matrix products and convolutions, two operations for each pair;
everything else (norms, softmax, activations) is below a hundredth in a transformer. A training step
is three forward passes: the backward pass has two matrix products for each one of the forward pass.
What a device computes a second time to save memory is no arithmetic of the model::

    model-FLOP utilization = FLOPs of the model in a step / (seconds x FLOP/s of all devices)

(Chowdhery et al. 2022, PaLM, appendix B).

Notes:
    - Padding is counted: it is computed. Tokens/s in the log counts real tokens only.
    - Three forward passes is too much where parameters are frozen below everything that learns.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

TRAINING_FACTOR = 3
"""FLOPs of a training step, in forward passes."""

# Dense matrix products (no structured sparsity), 10^12 operations a second and chip, by dtype; the
# first name that the kind of a device contains. float32 is what JAX does with it by default: one
# pass in bfloat16 on a TPU, TF32 on a GPU.
_PEAKS = (
    # https://cloud.google.com/tpu/docs/v6e, v5p, v5e, v4: "peak compute per chip (bf16)".
    ("TPU v6", {"bfloat16": 918.0, "float32": 918.0}),
    ("TPU v5 lite", {"bfloat16": 197.0, "float32": 197.0}),
    ("TPU v5e", {"bfloat16": 197.0, "float32": 197.0}),
    ("TPU v5", {"bfloat16": 459.0, "float32": 459.0}),
    ("TPU v4", {"bfloat16": 275.0, "float32": 275.0}),
    # NVIDIA H200 and H100 Tensor Core GPU datasheets; they list twice that, with sparsity.
    ("H200 NVL", {"bfloat16": 835.5, "float16": 835.5, "float32": 417.5}),
    ("H200", {"bfloat16": 989.5, "float16": 989.5, "float32": 494.5}),
    ("H100 NVL", {"bfloat16": 835.5, "float16": 835.5, "float32": 417.5}),
    ("H100 PCIe", {"bfloat16": 756.0, "float16": 756.0, "float32": 378.0}),
    ("H100", {"bfloat16": 989.5, "float16": 989.5, "float32": 494.5}),
    # NVIDIA A100 Tensor Core GPU datasheet.
    ("A100", {"bfloat16": 312.0, "float16": 312.0, "float32": 156.0}),
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransformerFlops:
    """Of a stack of layers in one forward pass.

    Attributes:
        projections: queries, keys, values and the output of attention.
        attention: scores, and the sums they weigh.
        feed_forward: the maps of the feed-forward blocks.
    """

    projections: float
    attention: float
    feed_forward: float

    def total(self) -> float:
        """All together."""
        return self.projections + self.attention + self.feed_forward


def transformer_flops(
    *, rows: int, length: int, width: int, num_layers: int, hidden_dim: int, gated: bool = False
) -> TransformerFlops:
    """FLOPs of a forward pass of N layers over B texts of L tokens.

    With ``D`` the width and ``F`` the feed-forward width, a token needs in each layer
    ``2 (4 D^2) + 2 (2 L D) + 2 (2 D F)``, and ``2 (3 D F)`` when the block is gated.

    Args:
        rows: B.
        length: L.
        width: D.
        num_layers: N.
        hidden_dim: F.
        gated: whether the feed-forward blocks are.
    """
    tokens = rows * length * num_layers
    return TransformerFlops(
        projections=tokens * 8 * width**2,
        attention=tokens * 4 * length * width,
        feed_forward=tokens * (6 if gated else 4) * width * hidden_dim,
    )


def count_flops(function: Callable[..., Any], *arguments: Any) -> float:
    """FLOPs of matrix products and convolutions in a call, found by tracing it; nothing is run.

    Works for every model and loss. Loops count as often as they run, and of two branches the
    dearer one counts; a loop of unknown length counts once.

    Args:
        function: what is called: for a training step, its forward pass.
        *arguments: arrays or their shapes.
    """
    return _flops(jax.make_jaxpr(function)(*arguments).jaxpr)


def _flops(jaxpr: core.Jaxpr) -> float:
    total = 0.0
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name == "dot_general":
            total += _matrix_product(equation)
        elif name == "conv_general_dilated":
            total += _convolution(equation)
        elif name == "cond":
            total += max(_flops(branch.jaxpr) for branch in equation.params["branches"])
        else:
            times = equation.params["length"] if name == "scan" else 1
            if name == "shard_map":  # its inside is one device's part
                axes = equation.params.get("newly_manual_axes") or equation.params["manual_axes"]
                times = math.prod(equation.params["mesh"].shape[axis] for axis in axes)
            total += times * sum(_flops(inner) for inner in _inside(equation.params.values()))
    return total


def _inside(values: Any) -> Iterator[core.Jaxpr]:
    for value in values:
        if isinstance(value, core.ClosedJaxpr):
            yield value.jaxpr
        elif isinstance(value, core.Jaxpr):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from _inside(value)


def _matrix_product(equation: Any) -> float:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    summed = math.prod(left[axis] for axis in contracted)
    return 2.0 * math.prod(equation.outvars[0].aval.shape) * summed


def _convolution(equation: Any) -> float:
    kernel = equation.invars[1].aval.shape
    out_features = kernel[equation.params["dimension_numbers"].rhs_spec[0]]
    # A kernel holds, for each output feature, the inputs of its group.
    return 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(kernel) / out_features


def compiled_flops(compiled: jax.stages.Compiled) -> float | None:
    """FLOPs of a compiled function as XLA counts them; ``None`` where it does not say.

    They include what is computed again and what is no matrix product; a loop counts once, however
    often it runs, and a custom kernel not at all. So this is no measure of the model.
    """
    analysis = compiled.cost_analysis()
    flops = analysis.get("flops") if isinstance(analysis, dict) else None
    return float(flops) if flops is not None and flops > 0 else None


def published_flops_per_second(kind: str, dtype: str) -> float | None:
    """What the maker of a device promises for dense matrix products; ``None`` if not known.

    Args:
        kind: ``jax.Device.device_kind``, such as ``"TPU v5 lite"``.
        dtype: the model computes in.
    """
    for name, peaks in _PEAKS:
        if name.lower() in kind.lower():
            peak = peaks.get(dtype)
            return None if peak is None else peak * 1e12
    return None


def measured_flops_per_second(dtype: str, *, size: int = 1024, repeats: int = 5) -> float:
    """What the first device reaches in a square matrix product, the best of some tries.

    For processors, whose peak depends on their clock and on what else runs.

    Args:
        dtype: of the matrices.
        size: rows and columns.
        repeats: tries.
    """
    matrix = jnp.full((size, size), 1 / size, dtype)
    product = jax.jit(jnp.matmul)
    product(matrix, matrix).block_until_ready()
    best = math.inf
    for _ in range(repeats):
        begin = time.perf_counter()
        product(matrix, matrix).block_until_ready()
        best = min(best, time.perf_counter() - begin)
    return 2 * size**3 / best


def total_flops_per_second(devices: Sequence[jax.Device], dtype: str) -> float | None:
    """What all devices together can do; ``None`` for accelerators that are not known.

    Accelerators have published figures. The devices of one processor share its cores, so one
    measurement stands for all of them, times the processes.

    Args:
        devices: of the mesh.
        dtype: the model computes in.
    """
    if devices[0].platform == "cpu":
        processes = len({device.process_index for device in devices})
        return measured_flops_per_second(dtype) * processes
    peaks = [published_flops_per_second(device.device_kind, dtype) for device in devices]
    return None if None in peaks else float(np.sum([peak for peak in peaks if peak is not None]))


def utilization(flops: float, seconds: float, peak: float) -> float:
    """The share of what the devices could do that went into the model.

    Args:
        flops: of the model, e.g. ``3 * count_flops(forward, ...)`` for a training step.
        seconds: it took.
        peak: :func:`total_flops_per_second`.
    """
    return flops / seconds / peak
