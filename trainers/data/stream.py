"""Batches one after the other, prepared ahead on threads, from any place on."""

import collections
import dataclasses
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import grain

from textzoo.errors import ResumeError
from textzoo.trainers.batch import LoadedBatch
from textzoo.trainers.data.collate import Counts

_LOGGER = logging.getLogger(__name__)
_ENDLESS = 1 << 62
_STATE_FORMAT = 1

Load = Callable[[range], Sequence[tuple[LoadedBatch, Counts]]]
"""Makes the batches of some numbers."""


class BatchStream(Protocol):
    """Batches without end, and the place in them."""

    def __iter__(self) -> Iterator[LoadedBatch]:
        """Itself."""
        ...

    def __next__(self) -> LoadedBatch:
        """The next batch."""
        ...

    def get_state(self) -> dict[str, Any]:
        """The place after the batches handed out so far, as JSON types."""
        ...

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes to a place; raises ``ResumeError`` for a place in other data."""
        ...

    def close(self) -> None:
        """Ends the threads."""
        ...


class TrainingData(Protocol):
    """What the loop trains on."""

    def stream(self, *, process_index: int = 0, process_count: int = 1) -> BatchStream:
        """This process's rows of every global batch, from the beginning."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How batches are prepared ahead.

    Attributes:
        threads: that prepare batches; 0 prepares each when it is asked for.
        ahead: batches prepared and not yet handed out, at most; batches of few rows are prepared
            several at a time.
    """

    threads: int = 2
    ahead: int = 4

    def options(self, together: int = 1) -> grain.ReadOptions:
        """The same for Grain, where so many batches are prepared together."""
        ahead = max(-(-self.ahead // together), self.threads) if self.threads else 0
        return grain.ReadOptions(num_threads=self.threads, prefetch_buffer_size=ahead)


class Tally:
    """Adds up what was handed out, from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = Counts()

    def add(self, counts: Counts) -> None:
        """Adds the counts of a batch."""
        with self._lock:
            is_first = counts.cut > 0 and self._counts.cut == 0
            self._counts = self._counts + counts
        if is_first:
            _LOGGER.warning(
                "%d of the %d texts of a batch are longer than the longest length, and their "
                "ends are cut off; report() counts them", counts.cut, counts.texts,
            )  # fmt: skip

    @property
    def counts(self) -> Counts:
        """The sum so far."""
        return self._counts


class GrainStream:
    """Batches by number, loaded on Grain's threads.

    Args:
        load: called from several threads.
        identity: what the data are; a state of data with another identity is refused.
        reading: threads and how far they run ahead.
        tally: told of every batch that is handed out.
        length: number of batches; without end if absent.
        together: batches that are loaded with one call.
    """

    def __init__(
        self, load: Load, *, identity: Mapping[str, Any], reading: Reading, tally: Tally,
        length: int | None = None, together: int = 1,
    ) -> None:  # fmt: skip
        # As JSON has it, because that is how a saved state comes back.
        self._identity = json.loads(json.dumps(dict(identity)))
        self._tally = tally
        count = _ENDLESS if length is None else length

        def load_group(group: int) -> list[tuple[LoadedBatch, Counts] | Exception]:
            first = group * together
            return _load_each(load, range(first, min(first + together, count)))

        groups = grain.MapDataset.range(-(-count // together)).map(load_group)
        self._groups = iter(groups.to_iter_dataset(reading.options(together)))
        self._together = together
        self._next = 0
        self._waiting: collections.deque[tuple[LoadedBatch, Counts] | Exception]
        self._waiting = collections.deque()

    def __iter__(self) -> "GrainStream":
        return self

    def __next__(self) -> LoadedBatch:
        if not self._waiting:
            group = next(self._groups)
            self._waiting.extend(group[self._next % self._together :])
        found = self._waiting[0]
        if isinstance(found, Exception):
            raise found
        self._waiting.popleft()
        batch, counts = found
        self._next += 1
        self._tally.add(counts)
        return batch

    def get_state(self) -> dict[str, Any]:
        """The place after the batches handed out so far, as JSON types.

        It says nothing of processes: the same state serves a run on more or fewer of them.
        """
        return {
            "format": _STATE_FORMAT,
            "data": self._identity,
            "position": {"next_index": self._next},
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes to a place.

        Raises:
            ResumeError: the state is of other data, or of another order of them.
        """
        found = state.get("data")
        if state.get("format") != _STATE_FORMAT or not isinstance(found, Mapping):
            raise ResumeError(
                f"{state!r:.200} is no position in data; expected what get_state returned"
            )
        names = sorted(found.keys() | self._identity.keys())
        changed = [n for n in names if found.get(n) != self._identity.get(n)]
        if changed:
            listed = "; ".join(
                f"{name} was {found.get(name)!r}, is {self._identity.get(name)!r}"
                for name in changed
            )
            raise ResumeError(
                f"the run was begun with other data: {listed}. Continue with the same data and "
                "options, or begin a new run"
            )
        place = int(state["position"]["next_index"])
        self._groups.set_state({"next_index": place // self._together})
        self._next = place
        self._waiting.clear()

    def close(self) -> None:
        """Ends the threads; the stream gives no more batches."""
        self._waiting.clear()
        self._groups.close()


def _load_each(load: Load, numbers: range) -> list[tuple[LoadedBatch, Counts] | Exception]:
    """Batches, and errors in the place of those that cannot be loaded."""
    if len(numbers) == 1:
        return list(load(numbers))
    try:
        return list(load(numbers))
    except Exception:  # Which batch it is of is found below.
        found: list[tuple[LoadedBatch, Counts] | Exception] = []
    for number in numbers:
        try:
            found += load(range(number, number + 1))
        except Exception as error:  # Raised when the batch is asked for.
            found.append(error)
    return found
