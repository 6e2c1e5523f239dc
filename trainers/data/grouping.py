"""Batches of texts of similar length, so that there is little padding."""

import functools
from collections.abc import Callable

import numpy as np
from jaxtyping import Int

from textzoo.trainers.data.order import Order, Places
from textzoo.trainers.data.permutation import shuffled, shuffled_by_turn

_BATCHES, _WITHIN = 2, 3  # First numbers of keys; those of the order are 0 and 1.


class GroupedOrder:
    """An order whose rows are sorted by length within windows of some batches.

    The rows of ``window`` batches in a row are sorted and dealt out to these batches again, whose
    order, and the order within each, is random. So every row still comes as often as before.

    Args:
        order: whose batches are taken.
        lengths: tokens of each of some rows.
        window: batches in a window.
        batch_size: rows per batch.
        seed: of the order of batches.
    """

    def __init__(
        self, order: Order, lengths: Callable[[Places], Int[np.ndarray, "N"]], *, window: int,
        batch_size: int, seed: int,
    ) -> None:  # fmt: skip
        self._order = order
        self._lengths = lengths
        self._window = window
        self._batch_size = batch_size
        self._seed = seed
        # Batches that threads prepare at once are of one window, or of two.
        self._sorted = functools.lru_cache(maxsize=4)(self._sort)

    def places(self, batch: int, first: int, last: int) -> Places:
        """Rows ``first`` to ``last - 1`` of a batch."""
        window, slot = divmod(batch, self._window)
        start = slot * self._batch_size
        return self._sorted(window).take(slice(start + first, start + last))

    def _sort(self, window: int) -> Places:
        """All places of a window, as they are dealt out."""
        numbers = np.arange(window * self._window, (window + 1) * self._window)
        parts = [self._order.places(number, 0, self._batch_size) for number in numbers.tolist()]
        joined = Places.join(parts)
        by_length = np.argsort(self._lengths(joined), kind="stable")
        turns = shuffled(np.arange(self._window), self._window, _BATCHES, self._seed, window)
        inside = shuffled_by_turn(
            np.tile(np.arange(self._batch_size), self._window), self._batch_size,
            np.repeat(numbers, self._batch_size), _WITHIN, self._seed,
        )  # fmt: skip
        dealt = np.repeat(turns, self._batch_size) * self._batch_size + inside
        return joined.take(by_length[dealt])
