"""An objective taken apart: its structure on one side, its arrays by dotted path on the other."""

from collections.abc import Mapping
from typing import Any

import jax
from flax import nnx
from jax.sharding import Mesh, NamedSharding

from textzoo.errors import ConfigError
from textzoo.modules.postprocessing import Statistic
from textzoo.trainers.objectives.base import Objective, ObjectiveState
from textzoo.trainers.sharding import parameter_sharding, replicated

Arrays = dict[str, Any]
"""Arrays by dotted path, such as ``model.encoder.layers.0.attention.qkv.kernel``."""

_MEMORY = (ObjectiveState, Statistic)


class Blueprint:
    """The structure of an objective, in training mode and in evaluation mode.

    Walking the objects of a model takes milliseconds, so it is done once, here; a step gets plain
    dictionaries of arrays and puts them together inside the compiled function.

    Args:
        objective: its arrays may be abstract (``nnx.eval_shape``).
        remat: what a backward pass keeps of an encoder layer.

    Attributes:
        parameters: names of the parameters.
        memory: names of what the objective remembers from step to step, and of fitted statistics,
            which stay as they are.

    Raises:
        ConfigError: the objective carries random state, or variables of an unknown kind.
    """

    def __init__(self, objective: Objective, *, remat: str = "none") -> None:
        self._graphs: dict[bool, Any] = {}
        self._config = objective.model.config
        for deterministic in (False, True):
            view = nnx.view(
                objective, deterministic=deterministic, use_running_average=deterministic,
                remat=remat, raise_if_not_found=False,
            )  # fmt: skip
            self._graphs[deterministic], state = nnx.split(view)
        self._variables = {
            ".".join(str(key) for key in path): (path, variable)
            for path, variable in nnx.to_flat_state(state)
        }
        for name, (_, variable) in self._variables.items():
            if isinstance(variable, nnx.RngState):
                raise ConfigError(
                    f"the objective carries random state at {name}; build dropout without rngs "
                    "and give them to the call: self.dropout(x, rngs=rngs)"
                )
            if not isinstance(variable, (nnx.Param, *_MEMORY)):
                raise ConfigError(
                    f"{name} is a {type(variable).__name__}; an objective has nnx.Param, which is "
                    "trained, ObjectiveState, which it updates itself, and the Statistic of fitted "
                    "heads"
                )
        self.parameters = self._of_kind(nnx.Param)
        self.memory = self._of_kind(_MEMORY)

    def _of_kind(self, kind: type | tuple[type, ...]) -> tuple[str, ...]:
        return tuple(name for name, (_, v) in self._variables.items() if isinstance(v, kind))

    def arrays(self, names: tuple[str, ...]) -> Arrays:
        """The objective's present arrays of these names."""
        return {name: self._variables[name][1].get_value() for name in names}

    def shapes(self, names: tuple[str, ...]) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and dtypes of the arrays of these names."""
        return {
            name: jax.ShapeDtypeStruct(array.shape, array.dtype)
            for name, array in self.arrays(names).items()
        }

    def shardings(self, mesh: Mesh, names: tuple[str, ...]) -> dict[str, NamedSharding]:
        """Where arrays of these names live: parameters by their logical axes, the rest whole."""
        found = {}
        for name in names:
            variable = self._variables[name][1]
            axes = variable.get_metadata().get("out_sharding")
            shape = variable.get_value().shape
            is_split = isinstance(variable, nnx.Param)
            found[name] = parameter_sharding(mesh, axes, shape) if is_split else replicated(mesh)
        return found

    def assemble(self, arrays: Mapping[str, Any], *, deterministic: bool) -> Objective:
        """The objective with these arrays, one for every name; cheap only inside ``jax.jit``."""
        flat = [
            (path, variable.replace(arrays[name]))
            for name, (path, variable) in self._variables.items()
        ]
        return nnx.merge(self._graphs[deterministic], nnx.from_flat_state(flat))

    def remembered(self, objective: Objective) -> Arrays:
        """What an assembled objective remembers after it was called."""
        if not self.memory:
            return {}
        flat = nnx.to_flat_state(nnx.state(objective, _MEMORY))
        return {".".join(str(key) for key in path): v.get_value() for path, v in flat}

    def computation_dtype(self) -> str:
        """The dtype most parts of the model compute in: what the config says, else float32."""
        config = self._config
        found = [] if config is None else [part.options.get("dtype") for _, part in config.slots()]
        named = [dtype for dtype in found if dtype is not None]
        return max(named, key=named.count) if named else "float32"

    def restore(self, objective: Objective, arrays: Mapping[str, Any]) -> None:
        """Writes arrays back into an objective that has this structure."""
        for path, variable in _paths(objective):
            if path in arrays:
                variable.set_value(arrays[path])


def _paths(objective: Objective) -> list[tuple[str, nnx.Variable]]:
    found = []
    for path, _ in nnx.to_flat_state(nnx.state(objective)):
        node: Any = objective
        for key in path:
            by_item = isinstance(key, int) or isinstance(node, Mapping)
            node = node[key] if by_item else getattr(node, str(key))
        found.append((".".join(str(key) for key in path), node))
    return found
