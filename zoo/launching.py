"""How batches run on the device: one behind the other, or side by side on a processor's cores.

An accelerator runs one launch at a time and is kept busy by a queue of them. A processor splits
every operation of a launch over its cores, which wait for one another after each; the launches
of different threads run side by side instead, and no core waits (1.1 times as fast with two).
"""

import collections
import contextlib
import functools
import itertools
import os
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from textzoo.encoding import Batch
from textzoo.progress import Advance

Launch = Callable[[Batch], jax.Array]
Results = Generator[tuple[Batch, np.ndarray]]

_LAUNCHES_IN_FLIGHT = 8
# Every launch that runs holds its activations. With more cores than this, a launch is split over
# those that have no launch of their own.
_MOST_WORKERS = 8


def workers_for(parameters: Sequence[jax.Array | np.ndarray]) -> int:
    """How many launches run side by side: one per core where a processor holds the model.

    A model on several devices, or on any other device, has its launches in one order.
    """
    placed = (array for array in parameters if not isinstance(array, np.ndarray))
    devices = {device for array in placed for device in array.devices()} or {jax.devices()[0]}
    if len(devices) == 1 and devices.pop().platform == "cpu":
        return min(_cores(), _MOST_WORKERS)
    return 1


def results(
    batches: Iterable[Batch], launch: Launch, advance: Advance, *, workers: int = 1
) -> Results:
    """Launches batches and yields their results in order.

    Rows that only fill a batch up are cut off. An error, wherever it happens, ends all threads
    that were started here.

    Args:
        batches: drawn in the calling thread, a few ahead of the results.
        launch: starts one batch; called in other threads when there are workers.
        advance: told of progress, in the calling thread.
        workers: launches that run side by side.
    """
    waiting = iter(batches)
    first = list(itertools.islice(waiting, 2))
    run = _in_threads if workers > 1 and len(first) > 1 else _in_a_queue
    with contextlib.closing(run(itertools.chain(first, waiting), launch, workers)) as pairs:
        for batch, vectors in pairs:
            advance(len(batch.indices), int(batch.tokenized.lengths[batch.shape.rows].sum()))
            yield batch, vectors


def _in_a_queue(batches: Iterable[Batch], launch: Launch, workers: int) -> Results:
    """Launches in this thread, and waits for a result when several launches are behind it."""
    pending: collections.deque[tuple[Batch, jax.Array]] = collections.deque()
    for batch in batches:
        array = launch(batch)
        array.copy_to_host_async()
        pending.append((batch, array))
        if len(pending) > _LAUNCHES_IN_FLIGHT:
            yield _taken(*pending.popleft())
    while pending:
        yield _taken(*pending.popleft())


def _in_threads(batches: Iterable[Batch], launch: Launch, workers: int) -> Results:
    """Launches in threads, each of which waits for its own result before it takes another."""
    pending: collections.deque[Future[tuple[Batch, np.ndarray]]] = collections.deque()

    def run(batch: Batch) -> tuple[Batch, np.ndarray]:
        return _taken(batch, launch(batch))

    pool = ThreadPoolExecutor(workers, thread_name_prefix="textzoo-launch")
    try:
        if pool.submit(_settings).result() != _settings():
            # Such a setting (a precision, a device, a mesh) holds in this thread alone.
            yield from _in_a_queue(batches, launch, 1)
            return
        for batch in batches:
            pending.append(pool.submit(run, batch))
            if len(pending) > 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _taken(batch: Batch, array: jax.Array) -> tuple[Batch, np.ndarray]:
    return batch, np.asarray(array)[: len(batch.indices)]


def _settings() -> tuple[Any, ...]:
    """What the calling thread's JAX is set to, by ``with jax.default_matmul_precision(...)``."""
    values = (getattr(jax.config, name, None) for name in jax.config.values)
    return (*values, jax.sharding.get_abstract_mesh())


@functools.cache
def _cores() -> int:
    """Processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
