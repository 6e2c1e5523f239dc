"""Batches one after the other, prepared ahead on threads, from any place on."""

import dataclasses
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import grain

from textzoo.errors import ResumeError
from textzoo.trainers.batch import LoadedBatch
from textzoo.trainers.data.collate import Counts

_LOGGER = logging.getLogger(__name__)
_ENDLESS = 1 << 62
_STATE_FORMAT = 1


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
        ahead: batches prepared and not yet handed out, at most.
    """

    threads: int = 2
    ahead: int = 4

    def options(self) -> grain.ReadOptions:
        """The same for Grain."""
        return grain.ReadOptions(
            num_threads=self.threads,
            prefetch_buffer_size=max(self.ahead, self.threads) if self.threads else 0,
        )


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
        load: makes the batch of a number; called from several threads.
        identity: what the data are; a state of data with another identity is refused.
        reading: threads and how far they run ahead.
        tally: told of every batch that is handed out.
        length: number of batches; without end if absent.
    """

    def __init__(
        self, load: Callable[[int], tuple[LoadedBatch, Counts]], *, identity: Mapping[str, Any],
        reading: Reading, tally: Tally, length: int | None = None,
    ) -> None:  # fmt: skip
        # As JSON has it, because that is how a saved state comes back.
        self._identity = json.loads(json.dumps(dict(identity)))
        self._tally = tally
        numbers = grain.MapDataset.range(_ENDLESS if length is None else length)
        dataset = numbers.map(load).to_iter_dataset(reading.options())
        self._batches = iter(dataset)

    def __iter__(self) -> "GrainStream":
        return self

    def __next__(self) -> LoadedBatch:
        batch, counts = next(self._batches)
        self._tally.add(counts)
        return batch

    def get_state(self) -> dict[str, Any]:
        """The place after the batches handed out so far, as JSON types.

        It says nothing of processes: the same state serves a run on more or fewer of them.
        """
        return {
            "format": _STATE_FORMAT,
            "data": self._identity,
            "position": self._batches.get_state(),
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
        self._batches.set_state(dict(state["position"]))

    def close(self) -> None:
        """Ends the threads; the stream gives no more batches."""
        self._batches.close()
