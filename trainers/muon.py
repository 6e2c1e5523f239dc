"""Muon for the kernels of transformer layers, which have more than two axes.

Muon (Jordan 2024) moves a matrix along the nearest orthogonal matrix to its momentum, found by five
Newton-Schulz iterations; times ``0.2 sqrt(max(fan_in, fan_out))`` the step has the root mean square
of AdamW's (Liu et al. 2025, section 2.2). Which axes of a kernel make a matrix:

=========================  ==============  ===============================================
kernel                     shape           matrices
=========================  ==============  ===============================================
``*.qkv.kernel``           [D, 3, H, K]    three of ``[D, H K]``: queries, keys and values
``*.out.kernel``           [H, K, D]       one of ``[H K, D]``
``*.up.kernel`` (gated)    [D, 2, F]       two of ``[D, F]``: what is activated, and the gate
``*.kernel``               [I, O]          itself
=========================  ==============  ===============================================

Only kernels inside ``layers.N`` are Muon's. Tables, heads, norms, biases and kernels of other
shapes are not hidden matrices, or not known to be.
"""

import math
import re
from typing import Any

import optax
from optax import contrib

_RMS = 0.2
_Axes = contrib.MuonDimensionNumbers
# Pattern, number of axes, and (axes summed over, axes of the output). An axis that is neither
# counts matrices of their own.
_KERNELS = (
    (r"\.qkv\.kernel$", 4, _Axes((0,), (2, 3))),
    (r"\.out\.kernel$", 3, _Axes((0, 1), (2,))),
    (r"\.up\.kernel$", 3, _Axes((0,), (2,))),
    (r"\.kernel$", 2, _Axes((0,), (1,))),
)


def muon_axes(path: str, ndim: int) -> contrib.MuonDimensionNumbers | None:
    """The axes of a kernel that make a matrix; ``None`` for a parameter that is not Muon's.

    Args:
        path: dotted path of the parameter.
        ndim: its number of axes.
    """
    if not re.search(r"(?:^|\.)layers\.\d+\.", path):
        return None
    for pattern, count, axes in _KERNELS:
        if ndim == count and re.search(pattern, path):
            return axes
    return None


def scale_by_muon(momentum: float, moment_dtype: str | None) -> optax.GradientTransformation:
    """Directions of Muon for a flat dict whose kernels have :func:`muon_axes`.

    Args:
        momentum: of the gradients; Nesterov's.
        moment_dtype: in which it is kept; ``None`` for the parameters' own.
    """
    return optax.chain(
        contrib.scale_by_muon(
            beta=momentum, mu_dtype=moment_dtype, weight_dimension_numbers=_axes_of_tree
        ),
        optax.stateless(_to_rms_of_adam),
    )


def _axes_of_tree(tree: Any) -> Any:
    # Parameters that are another optimizer's stand as empty nodes in the tree that Muon is given.
    return {
        path: value if isinstance(value, optax.MaskedNode) else muon_axes(path, value.ndim)
        for path, value in tree.items()
    }


def _to_rms_of_adam(updates: Any, _: Any) -> Any:
    scaled = {}
    for path, update in updates.items():
        if not isinstance(update, optax.MaskedNode):
            axes = muon_axes(path, update.ndim)
            assert axes is not None
            sizes = [math.prod(update.shape[a] for a in group) for group in axes]
            update = update * (_RMS * math.sqrt(max(sizes)))
        scaled[path] = update
    return scaled
