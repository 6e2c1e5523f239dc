"""``textzoo plan``: what a training step will need, before it runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from textzoo.cli.models import Flag
from textzoo.cli.terminal import note, print_json, status, stdout

if TYPE_CHECKING:
    from textzoo.trainers.mesh import MeshConfig
    from textzoo.trainers.plan import Plan
    from textzoo.trainers.topology import Topology


def plan(
    recipe: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE")],
    /,
    *,
    topology: Annotated[
        str | None, tyro.conf.arg(metavar="NAME:SHAPE", help_behavior_hint="")
    ] = None,
    mesh: Annotated[tuple[str, ...], tyro.conf.arg(metavar="AXIS=N,... ...")] = ("data=-1",),
    compare: Flag = False,
    effort: Literal["low", "full"] = "low",
    json: Flag = False,
) -> int:
    """Compiles the step of a recipe and says what it needs: memory, work, communication, time.

    For the devices of this machine, or for TPUs that are not there. Nothing is trained and no data
    is read. With several meshes, says which one to use, and why.

    Planning for TPUs needs their compiler (pip install 'textzoo[plan]'). On a machine without TPUs,
    set JAX_PLATFORMS=cpu.

    Examples:
      textzoo plan recipe.toml
      textzoo plan recipe.toml --topology v5e:16x16
      textzoo plan recipe.toml --topology v5e:4x4 --mesh data=16 data=4,fsdp=4
      textzoo plan recipe.toml --topology v5e:4x4 --compare

    Args:
        recipe: a recipe file.
        topology: generation and arrangement of TPUs, such as v5e:16x16 or v5p:4x4x4; without it,
            the devices of this machine.
        mesh: sizes of the axes data, fsdp and model; -1 is what is left. Several are compared.
        compare: compare the meshes that are usual for so many devices.
        effort: how long the compiler searches; low is ten times as fast, with about the memory of a
            run, and overstates what is sent.
        json: print JSON instead of tables.
    """
    from textzoo.trainers.mesh import MeshConfig
    from textzoo.trainers.mesh_choice import mesh_choices
    from textzoo.trainers.plan import OutOfMemory
    from textzoo.trainers.topology import find_topology

    devices = find_topology(topology)
    configs = [MeshConfig.parse(text) for text in mesh]
    if compare:
        configs = [MeshConfig(**sizes) for sizes in mesh_choices(len(devices.devices))]
    plans, failures = [], []
    for config in configs:
        try:
            plans.append(_plan(recipe, devices, config, effort))
        except OutOfMemory as error:
            failures.append(f"{_name(config, devices)}: {error}")
    if not plans:
        raise OutOfMemory("; ".join(failures))
    _show(plans, failures, as_json=json, is_choice=len(configs) > 1)
    return 0


def _show(plans: "list[Plan]", failures: list[str], *, as_json: bool, is_choice: bool) -> None:
    from textzoo.trainers.mesh_choice import preferred
    from textzoo.trainers.plan_report import plan_card, plans_table

    best, reason = plans[0], "none of these meshes: the step does not fit."
    if any(plan.fits is not False for plan in plans):
        best, reason = preferred(plans)
    if as_json:
        found = [plan.to_dict() for plan in plans]
        print_json({"plans": found, "preferred": reason, "do_not_fit": failures})
        return
    console = stdout()
    if len(plans) > 1:
        console.print(plans_table(plans))
        console.print()
    console.print(plan_card(best))
    for failure in failures:
        note(failure)
    if is_choice:
        console.print(f"\nuse {reason}")


def _name(config: "MeshConfig", topology: "Topology") -> str:
    from textzoo.trainers.mesh import AXES
    from textzoo.trainers.mesh_choice import mesh_name

    return mesh_name(dict(zip(AXES, config.shape(len(topology.devices)), strict=True)))


def _plan(recipe: Path, topology: "Topology", config: "MeshConfig", effort: str) -> "Plan":
    import jax

    from textzoo.recipes import abstract_step
    from textzoo.trainers.mesh import make_mesh
    from textzoo.trainers.plan import lower_step, plan_step

    mesh = make_mesh(config, topology.devices)
    with status(f"compiling for {topology.name}"):
        step, state, batch = abstract_step(recipe, mesh)
        arrays = jax.tree.leaves((state.params, state.frozen))
        return plan_step(
            lower_step(step, state, batch, mesh), mesh=mesh, topology=topology, name=recipe.stem,
            parameters=sum(array.size for array in arrays), effort=effort,
        )  # fmt: skip
