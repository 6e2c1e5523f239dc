"""What every noise has in common, and where its chance comes from."""

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from jaxtyping import Float

from textzoo.errors import ConfigError, TextInputError

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclasses.dataclass(frozen=True, slots=True)
class Corrupted:
    """A text with mistakes.

    Attributes:
        text: what has become of it.
        changed: characters or words that were chosen and changed.
        size: characters or words there were to choose from.
    """

    text: str
    changed: int
    size: int


@runtime_checkable
class Noise(Protocol):
    """Texts to texts with mistakes.

    Attributes:
        rate: share of the characters, or words, that are changed.
        seed: another seed makes other mistakes.
    """

    @property
    def rate(self) -> float: ...  # noqa: D102

    @property
    def seed(self) -> int: ...  # noqa: D102

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """The texts with mistakes, in their order."""
        ...

    def corrupt(self, text: str) -> Corrupted:
        """One text, and how much of it was changed."""
        ...

    def with_options(self, *, rate: float | None = None, seed: int | None = None) -> Self:
        """The same noise at another rate, or with another seed."""
        ...

    def describe(self) -> str:
        """Everything that decides what becomes of a text, on one line."""
        ...


class TextNoise:
    """Base of the frozen noise dataclasses: everything that follows from :meth:`corrupt`."""

    __slots__ = ()

    rate: float
    seed: int

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """The texts with mistakes, in their order.

        Raises:
            TextInputError: an item is not a string, or has a lone surrogate.
        """
        if isinstance(texts, str):
            raise TextInputError(f"got the one text {texts!r:.40}; give a list: [text]")
        if isinstance(texts, bytes) or not isinstance(texts, Iterable):
            raise TextInputError(
                f"got {type(texts).__name__} ({texts!r:.40}), expected a list of texts"
            )
        return [self.corrupt(text).text for text in texts]

    def corrupt(self, text: str) -> Corrupted:
        """One text, and how much of it was changed."""
        raise NotImplementedError

    def with_options(self, *, rate: float | None = None, seed: int | None = None) -> Self:
        """The same noise at another rate, or with another seed."""
        given = {"rate": rate, "seed": seed}
        changes: dict[str, Any] = {name: v for name, v in given.items() if v is not None}
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]


def share_changed(noise: Noise, texts: Iterable[str]) -> float:
    """The share of the characters, or words, of some texts that a noise really changes."""
    found = [noise.corrupt(text) for text in texts]
    return sum(one.changed for one in found) / max(1, sum(one.size for one in found))


def check_rate_and_seed(rate: float, seed: int) -> None:
    """Raises :class:`ConfigError` unless the rate is a share and the seed a natural number."""
    if isinstance(rate, bool) or not isinstance(rate, Real) or not 0 <= rate <= 1:
        raise ConfigError(f"rate={rate!r}; use a share from 0 to 1, such as 0.1")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigError(f"seed={seed!r}; use a whole number, 0 or more")


def draws(kind: str, seed: int, text: str, count: int) -> Float[np.ndarray, "N"]:
    """Numbers in ``[0, 1)`` that follow from their arguments alone.

    Counters around a hash of the arguments (BLAKE2b), each through the finalizer of splitmix64
    (Steele et al. 2014): numpy's own generators may draw other numbers in another version.

    Args:
        kind: of noise, so that two kinds with one seed choose different places.
        seed: of the noise.
        text: that is corrupted.
        count: how many numbers.

    Raises:
        TextInputError: the text is not a string, or has a lone surrogate.
    """
    try:
        data = f"{kind}\n{seed}\n{text}".encode()
    except UnicodeEncodeError as error:
        raise TextInputError(
            f"the text {text!r:.40} has a lone surrogate, which is not valid text; repair it, e.g. "
            "with text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')"
        ) from error
    key = np.uint64(int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little"))
    values = key + np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return (values >> np.uint64(11)) * 2.0**-53


def check_text(text: object) -> None:
    """Raises :class:`TextInputError` for what is not a string."""
    if not isinstance(text, str):
        raise TextInputError(
            f"got {type(text).__name__} ({text!r:.40}), expected a text; convert it first"
        )


def rounded(expected: float, draw: float) -> int:
    """A whole number next to the expected one, up or down by chance, so that means are kept."""
    # 0.1 * 30 is 3.0000000000000004 in floating point.
    return int(np.floor(round(expected, 9) + draw))


def weighted_choice(weighted: Sequence[tuple[str, float]], draw: float) -> str:
    """One of several names, each as often as its weight says.

    Args:
        weighted: names and weights above zero; at least one.
        draw: uniform in ``[0, 1)``.
    """
    left = draw * sum(weight for _, weight in weighted)
    for name, weight in weighted:
        left -= weight
        if left < 0:
            return name
    return weighted[-1][0]  # where rounding has left nothing over
