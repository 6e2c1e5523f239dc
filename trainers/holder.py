"""Holds the state of a run between steps, so that a step is called with few arrays."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.state import TrainState

# Calling a compiled function costs the host one to two microseconds for each array.
_SMALL = 16_384  # elements of an array that travels with others: biases, norms, their moments
_WORTHWHILE = 100  # fewer small arrays than this travel alone

Packed = tuple[list[jax.Array], list[jax.Array]]


class StateHolder:
    """Calls a step on the state it holds; small arrays are one array from one step to the next.

    Most arrays of a state are biases, scales of norms and the optimizer's moments of them. Those
    that are whole on every device are put one after the other, all of a dtype in one vector, and
    the compiled step cuts them out of it again. The step computes what it would without this, on
    the same shapes; the vectors are copied once a step, which for BERT base are 1.5 MB.

    Args:
        step: compiled or not, ``(state, batch) -> (state, metrics)``.
        abstract: shapes, dtypes and shardings of the state.
        worthwhile: with fewer small arrays, the step is called as it is.
    """

    def __init__(
        self, step: Callable[[TrainState, TrainBatch], tuple[TrainState, dict[str, jax.Array]]],
        abstract: TrainState, *, worthwhile: int = _WORTHWHILE,
    ) -> None:  # fmt: skip
        leaves, self._tree = jax.tree.flatten(abstract)
        self._leaves: list[Any] = leaves
        self._groups: dict[Any, list[int]] = {}
        for index, leaf in enumerate(leaves):
            if leaf.size <= _SMALL and leaf.sharding.is_fully_replicated:
                self._groups.setdefault(leaf.dtype, []).append(index)
        small = {index for group in self._groups.values() for index in group}
        self._large = [index for index in range(len(leaves)) if index not in small]
        self._step = step
        self._is_packed = len(small) >= worthwhile
        self._state: TrainState | None = None
        self._packed: Packed | None = None
        if not self._is_packed:
            return
        whole = leaves[next(iter(small))].sharding
        vectors = [whole] * len(self._groups)
        large = [leaves[index].sharding for index in self._large]
        self._join = jax.jit(self._joined, out_shardings=vectors)
        self._cut = jax.jit(
            self._parts,
            out_shardings=[leaves[i].sharding for group in self._groups.values() for i in group],
        )
        self._call = jax.jit(
            self._packed_step, donate_argnums=0, out_shardings=((vectors, large), whole)
        )

    @property
    def state(self) -> TrainState | None:
        """The state, as everyone else wants it; ``None`` before there is one."""
        if self._packed is not None:
            vectors, large = self._packed
            self._state, self._packed = self._assembled(self._cut(vectors), large), None
        return self._state

    @state.setter
    def state(self, state: TrainState | None) -> None:
        self._state, self._packed = state, None

    @property
    def is_empty(self) -> bool:
        """Whether there is no state yet."""
        return self._state is None and self._packed is None

    @property
    def num_arrays(self) -> int:
        """How many arrays a step is called with, beside those of the batch."""
        if not self._is_packed:
            return len(self._leaves)
        return len(self._groups) + len(self._large)

    def update(self, batch: TrainBatch) -> dict[str, jax.Array]:
        """Replaces the state by that after one more step, and returns the step's metrics.

        Raises:
            ValueError: there is no state yet.
        """
        if self.is_empty:
            raise ValueError("there is no state to update; set holder.state first")
        if not self._is_packed:
            assert self._state is not None
            self._state, metrics = self._step(self._state, batch)
            return metrics
        if self._packed is None:
            leaves = jax.tree.leaves(self._state)
            self._packed = self._join(self._grouped(leaves)), [leaves[i] for i in self._large]
            self._state = None
        self._packed, metrics = self._call(self._packed, batch)
        return metrics

    def _packed_step(
        self, packed: Packed, batch: TrainBatch
    ) -> tuple[Packed, dict[str, jax.Array]]:
        vectors, large = packed
        state, metrics = self._step(self._assembled(self._parts(vectors), large), batch)
        leaves = jax.tree.leaves(state)
        # Joined after they are computed: otherwise all of an optimizer is one enormous program.
        grouped = jax.lax.optimization_barrier(self._grouped(leaves))
        return (self._joined(grouped), [leaves[index] for index in self._large]), metrics

    def _grouped(self, leaves: list[Any]) -> list[list[Any]]:
        return [[leaves[index] for index in group] for group in self._groups.values()]

    @staticmethod
    def _joined(groups: list[list[jax.Array]]) -> list[jax.Array]:
        return [jnp.concatenate([leaf.reshape(-1) for leaf in group]) for group in groups]

    def _parts(self, vectors: list[jax.Array]) -> list[jax.Array]:
        """All small arrays, group by group."""
        parts = []
        for vector, group in zip(vectors, self._groups.values(), strict=True):
            start = 0
            for index in group:
                leaf = self._leaves[index]
                part = jax.lax.slice_in_dim(vector, start, start + leaf.size)
                parts.append(part.reshape(leaf.shape))
                start += leaf.size
        return parts

    def _assembled(self, parts: list[jax.Array], large: list[jax.Array]) -> TrainState:
        small = [index for group in self._groups.values() for index in group]
        leaves: list[Any] = [None] * len(self._leaves)
        for index, leaf in zip([*small, *self._large], [*parts, *large], strict=True):
            leaves[index] = leaf
        return jax.tree.unflatten(self._tree, leaves)
