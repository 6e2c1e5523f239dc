"""Which mesh to use, from the plans of several."""

import math
from collections.abc import Mapping, Sequence

from textzoo.errors import ConfigError
from textzoo.trainers.mesh import AXES
from textzoo.trainers.plan import Plan

_NEARLY = 1.02  # times this close are equal: the roofline is no finer


def preferred(plans: Sequence[Plan]) -> tuple[Plan, str]:
    """The mesh to use, and why, among plans of the same step on as many chips.

    The shortest step of those that fit; of those as short within the precision of a roofline, the
    one that sends least; then the one that needs least memory.

    Raises:
        ConfigError: none fits.
    """
    fitting = [plan for plan in plans if plan.fits is not False]
    if not fitting:
        raise ConfigError(
            "none of the meshes fits: "
            + "; ".join(f"{mesh_name(p.mesh)} {p.verdict()}" for p in plans)
        )
    shortest = min(_seconds(plan) for plan in fitting)
    close = [plan for plan in fitting if _seconds(plan) <= shortest * _NEARLY]
    best = min(close, key=lambda plan: (plan.sent_bytes, plan.memory.total))
    reasons = []
    if best.times is not None:
        slowest = max(fitting, key=_seconds)
        if len(close) < len(fitting):
            reasons.append(
                f"a step takes {_seconds(best) * 1e3:.1f} ms, with {mesh_name(slowest.mesh)} "
                f"{_seconds(slowest) * 1e3:.1f} ms"
            )
    others = [plan for plan in close if plan is not best]
    if others:
        most = max(others, key=lambda plan: plan.sent_bytes)
        reasons.append(
            f"a chip sends {best.sent_bytes / 1e6:,.0f} MB, with {mesh_name(most.mesh)} "
            f"{most.sent_bytes / 1e6:,.0f} MB"
        )
    left_out = [mesh_name(plan.mesh) for plan in plans if plan.fits is False]
    if left_out:
        reasons.append(f"{' and '.join(left_out)} would not fit")
    return best, f"{mesh_name(best.mesh)}: " + ("; ".join(reasons) or "it is the only one") + "."


def mesh_choices(num_devices: int) -> list[dict[str, int]]:
    """Meshes worth comparing for so many devices: sizes of ``data``, ``fsdp`` and ``model``.

    Copies of the model; one copy spread over all; copies spread over about the root of their
    number; and layers split in two.
    """
    root = 2 ** round(math.log2(num_devices) / 2) if num_devices > 1 else 1
    choices = [
        (num_devices, 1, 1), (1, num_devices, 1), (num_devices // root, root, 1),
        (num_devices // 2, 1, 2),
    ]  # fmt: skip
    valid = [sizes for sizes in choices if math.prod(sizes) == num_devices]
    return [dict(zip(AXES, sizes, strict=True)) for sizes in dict.fromkeys(valid)]


def mesh_name(mesh: Mapping[str, int]) -> str:
    """``data=4 x fsdp=4``; axes of one device are left out."""
    named = [f"{axis}={size}" for axis, size in mesh.items() if size > 1]
    return " x ".join(named) or "one device"


def _seconds(plan: Plan) -> float:
    return 0.0 if plan.times is None else plan.times.seconds
