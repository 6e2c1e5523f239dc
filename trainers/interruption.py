"""A signal to stop becomes a flag that the loop reads between steps."""

import signal
import threading
from types import FrameType
from typing import Any, Self

import jax
import numpy as np
from jax.experimental import multihost_utils


class Interruption:
    """Catches SIGTERM and SIGINT (control-C) once, so that the loop can save and leave.

    ::

        with Interruption() as stop:
            for step in range(steps):
                ...
                if stop.agreed(step):
                    checkpoints.save(...)
                    break

    The first signal sets the flag and puts back what handled signals before. So a second one does
    what it would have done without this class: SIGTERM ends the process, SIGINT raises
    ``KeyboardInterrupt``. On leaving the context, earlier handlers are back in any case.

    Python handles signals in the main thread alone. In another thread the context does nothing
    and the flag stays false.

    Several processes must save the same step, and a signal reaches them at different ones, or
    reaches only some. So they ask one another, in a gather of one number, every ``check_every``
    steps. It waits for the step before it, which costs the overlap of host and device at these
    steps; choose ``check_every`` so that it is a small share of them, and so that its steps and a
    save fit into the time between SIGTERM and SIGKILL. JAX has a cheaper way to agree,
    ``multihost_utils.reached_preemption_sync_point``: it knows SIGTERM only, and none at all once
    Python has a handler of its own.

    Args:
        check_every: how many steps apart several processes ask one another; one process looks at
            its flag at every step.
    """

    def __init__(self, *, check_every: int = 10) -> None:
        if isinstance(check_every, bool) or not isinstance(check_every, int) or check_every < 1:
            raise ValueError(f"check_every={check_every!r}; use a whole number of at least 1")
        self.check_every = check_every
        self._requested = False
        self._previous: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether this process was asked to stop."""
        return self._requested

    def agreed(self, step: int) -> bool:
        """Whether to stop at this step: the same answer in every process.

        Args:
            step: number of the step; every process calls this at the same ones.
        """
        if jax.process_count() == 1:
            return self._requested
        if step % self.check_every:
            return False
        return bool(np.any(multihost_utils.process_allgather(np.int32(self._requested))))

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        self._put_back()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._requested = True
        self._put_back()

    def _put_back(self) -> None:
        while self._previous:
            number, handler = self._previous.popitem()
            # None: a handler that was not set from Python, and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
