"""A model as compiled functions, and where compiled functions are kept between processes."""

import functools
import hashlib
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from textzoo.errors import ConfigError
from textzoo.model import TextModel
from textzoo.modules.examples import example_batch
from textzoo.modules.types import TextBatch

_COMPILE_SECONDS_WORTH_KEEPING = 0.1


class CompiledModel:
    """A model's forward pass, compiled once per batch shape and shared by equal architectures.

    Parameters are arguments of the compiled functions and are read from the model at every call
    of :meth:`parameters`, so a model that is being trained is never stale here.

    Args:
        model: used in inference mode, whatever mode it is in.
    """

    def __init__(self, model: TextModel) -> None:
        # A view shares the parameters and has switches of its own.
        self._model = nnx.view(
            model, deterministic=True, use_running_average=True, raise_if_not_found=False
        )
        graphdef, state = nnx.split(self._model)
        self._functions = _functions(graphdef, jax.tree.structure(state))
        self.has_vectors = model.pooling is not None

    def parameters(self) -> list[jax.Array]:
        """The model's present parameters, as the functions take them."""
        return jax.tree.leaves(nnx.state(self._model))

    def vectors(self, parameters: list[jax.Array], batch: TextBatch) -> jax.Array:
        """Vectors of texts ``[B, E]`` or of spans ``[B, S, E]``, float32."""
        return self._functions[0](parameters, batch)

    def states(self, parameters: list[jax.Array], batch: TextBatch) -> jax.Array:
        """States of tokens ``[B, L, D]``, float32."""
        return self._functions[1](parameters, batch)

    @functools.cached_property
    def dimension(self) -> int:
        """Width of the vectors, or of the states when the model has no pooling."""
        batch = example_batch(self._model.embedding)
        function = self._functions[0 if self.has_vectors else 1]
        return int(jax.eval_shape(function, self.parameters(), batch).shape[-1])


@functools.lru_cache(maxsize=32)
def _functions(graphdef: Any, structure: Any) -> tuple[Callable[..., jax.Array], ...]:
    def run(parameters: list[jax.Array], batch: TextBatch) -> Any:
        return nnx.merge(graphdef, jax.tree.unflatten(structure, parameters))(batch)

    def vectors(parameters: list[jax.Array], batch: TextBatch) -> jax.Array:
        output = run(parameters, batch).vectors
        if output is None:
            raise ConfigError(
                "this model has no pooling, so it has no vectors of texts; build it with one, "
                "e.g. config.replace(pooling=Part('MeanPooling')), or use encode_tokens"
            )
        return output.astype(jnp.float32)

    def states(parameters: list[jax.Array], batch: TextBatch) -> jax.Array:
        output = run(parameters, batch).hidden.states
        if output.shape[1] != batch.ids.shape[1]:
            raise ConfigError(
                f"this model turns {batch.ids.shape[1]} tokens into {output.shape[1]} states, so "
                "its states are not those of tokens; use encode or encode_spans"
            )
        return output.astype(jnp.float32)

    return jax.jit(vectors), jax.jit(states)


def enable_compilation_cache() -> Path | None:
    """Lets JAX keep compiled functions in the user's cache folder, unless it is set up already.

    Returns:
        The folder in use, ``None`` when there is none: the user turned the cache off, or the
        folder cannot be written. Nothing depends on it but the time of a second start.
    """
    configured = jax.config.values["jax_compilation_cache_dir"]
    if configured is not None or not jax.config.values["jax_enable_compilation_cache"]:
        return None if configured is None else Path(configured)
    folder = cache_folder() / "compiled" / _machine()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.write_bytes(b"x")
        probe.unlink()
        _remove_broken(folder)
    except OSError:
        return None
    # A disk that fills up later costs time and nothing else, so it is not worth a word.
    warnings.filterwarnings("ignore", r"Error (reading|writing) persistent compilation cache")
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _COMPILE_SECONDS_WORTH_KEEPING)
    return folder


def cache_folder() -> Path:
    """The folder for this user's caches that belong to textzoo."""
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "textzoo"


def _machine() -> str:
    """A short name of the processor: what was compiled for one may not run on another."""
    parts = [platform.system(), platform.machine(), platform.processor()]
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith(("flags", "Features")):
                    parts.append(line.strip())
                    break
    except OSError:
        pass
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _remove_broken(folder: Path) -> None:
    """Removes empty entries, which a full disk or a killed process leaves behind.

    JAX would warn about them at every start and never replace them.
    """
    for entry in folder.glob("*-cache"):
        status = entry.stat()
        if status.st_size == 0 and time.time() - status.st_mtime > 60:
            entry.unlink(missing_ok=True)
