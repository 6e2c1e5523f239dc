"""Checksums of arrays, computed where the arrays are and equal however they are sharded.

An array is a row of words ``w_0 ... w_{n-1}``, unsigned, of at most 32 bits. Its checksum is::

    a = sum_i w_i                            mod 2^32
    b = sum_i mix(w_i xor c * (i + 1))       mod 2^32

Sums do not depend on their order, so each device adds up what it holds. Every changed bit of a
single word changes ``a``. ``b`` depends on positions: exchanged values, which leave ``a`` as it
was, change it except with a chance of 2^-32. ``mix`` is the finalizer of MurmurHash3 (Appleby
2011, public domain) and ``c`` the golden ratio as a fraction of 2^32, made odd.
"""

import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import Array, Shaped, UInt32

from textzoo.modules.types import AnyArray

Checksum = tuple[int, int]
"""``a`` and ``b``."""

_NONE: Checksum = (-1, -1)


def checksums(arrays: Mapping[str, AnyArray]) -> dict[str, Checksum]:
    """The checksum of each array; equal values of equal shape and type have equal ones.

    Blocks until the arrays are computed. With several processes, all of them call it with the
    same arrays. Copies of a shard on other devices are compared; where they differ, the checksum
    is one that no array has.

    Args:
        arrays: by name; no keys of ``jax.random.key``.
    """
    # Compiled once for each shape, which are few in a stack of layers; and dispatched before the
    # first result is waited for.
    pending = {name: _dispatch(array) for name, array in arrays.items()}
    here, parts = [], []
    for sums in pending.values():
        own, part = _collect(sums)
        here.append(own)
        parts.append(part)
    everywhere = _add_over_processes(np.array(parts, np.uint32).reshape(-1, 2))
    return {
        name: (int(added[0]), int(added[1])) if own is None else own
        for name, own, added in zip(pending, here, everywhere, strict=True)
    }


def _collect(
    sums: UInt32[Array, "blocks 2"],
) -> tuple[Checksum | None, UInt32[np.ndarray, "2"]]:
    """The checksum, when all blocks are on this process; and this process's share of it."""
    blocks: dict[int, Any] = {}
    share = np.zeros(2, np.uint32)
    intact = True
    for shard in sums.addressable_shards:
        start, values = shard.index[0].start or 0, np.asarray(shard.data)[0]
        intact &= np.array_equal(blocks.setdefault(start, values), values)
        if shard.replica_id == 0:
            share += values
    if not intact:
        return _NONE, share
    if len(blocks) < sums.shape[0]:
        return None, share
    first, second = np.array(list(blocks.values()), np.uint32).sum(axis=0, dtype=np.uint32).tolist()
    return (first, second), share


def _add_over_processes(sums: UInt32[np.ndarray, "leaves 2"]) -> UInt32[np.ndarray, "leaves 2"]:
    if jax.process_count() == 1:
        return sums
    return multihost_utils.process_allgather(sums).sum(axis=0, dtype=np.uint32)


def _dispatch(array: Shaped[AnyArray, "..."]) -> UInt32[Array, "blocks 2"]:
    """Both sums of each block of an array, every one on the device that has the block."""
    array = jnp.asarray(array)
    sharding = array.sharding
    if isinstance(sharding, jax.sharding.NamedSharding) and sharding.mesh.size > 1:
        return _sums_of_blocks(array, sharding.mesh, sharding.spec)
    return _sums(array, array.shape, ())


@functools.partial(jax.jit, static_argnums=(1, 2))
def _sums_of_blocks(
    array: Shaped[Array, "..."], mesh: jax.sharding.Mesh, spec: jax.sharding.PartitionSpec
) -> UInt32[Array, "blocks 2"]:
    """Without communication: partitioned by the compiler, the sum would gather the array.

    Nor are the sums added up here: hundreds of small collectives in flight at a time block each
    other on the CPU.
    """
    axes = tuple(_names(entry) for entry in spec)
    used = tuple(name for names in axes for name in names)

    def local_sums(block: Shaped[Array, "..."]) -> UInt32[Array, "1 2"]:
        starts = tuple(
            jax.lax.axis_index(names).astype(jnp.uint32) * np.uint32(size)
            if names
            else np.uint32(0)
            for names, size in zip(axes, block.shape, strict=False)
        )
        return _sums(block, array.shape, starts)

    out = jax.sharding.PartitionSpec(used or None)
    return jax.shard_map(local_sums, mesh=mesh, in_specs=spec, out_specs=out)(array)


def _names(entry: Any) -> tuple[str, ...]:
    if entry is None:
        return ()
    return entry if isinstance(entry, tuple) else (entry,)


@functools.partial(jax.jit, static_argnums=1)
def _sums(
    block: Shaped[Array, "..."], shape: tuple[int, ...], starts: tuple[Any, ...]
) -> UInt32[Array, "1 2"]:
    """Both sums over a block of an array.

    Args:
        block: a part of it.
        shape: of the whole array.
        starts: where the block begins, for the first axes; zero for the others.
    """
    words = _words(block)
    shape += words.shape[block.ndim :]
    positions = jnp.ones(words.shape, jnp.uint32)
    for axis in range(words.ndim):
        index = jax.lax.broadcasted_iota(jnp.uint32, words.shape, axis)
        if axis < len(starts):
            index += starts[axis]
        positions += index * np.uint32(math.prod(shape[axis + 1 :]) % 2**32)
    zero = np.uint32(0)
    # One reduction of both: on a CPU nine times as fast as two calls of ``sum``.
    return jnp.stack(
        jax.lax.reduce(
            (words, _mix(words ^ (positions * np.uint32(0x9E3779B1)))),
            (zero, zero),
            lambda left, right: (left[0] + right[0], left[1] + right[1]),
            tuple(range(words.ndim)),
        )
    )[None]


def _words(array: Shaped[Array, "..."]) -> UInt32[Array, "..."]:
    """The bits of an array as numbers; complex and 64-bit ones become two of them."""
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        array = jnp.stack([array.real, array.imag], axis=-1)
    if array.dtype == jnp.bool_:
        return array.astype(jnp.uint32)
    width = {1: jnp.uint8, 2: jnp.uint16}.get(array.dtype.itemsize, jnp.uint32)
    return jax.lax.bitcast_convert_type(array, width).astype(jnp.uint32)


def _mix(words: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    words ^= words >> 16
    words *= np.uint32(0x85EBCA6B)
    words ^= words >> 13
    words *= np.uint32(0xC2B2AE35)
    return words ^ (words >> 16)
