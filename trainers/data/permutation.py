"""Permutations that are computed for the places asked for, and never stored."""

import functools

import numpy as np
from jaxtyping import Int

_ROUNDS = 8


def shuffled(
    places: Int[np.ndarray, "N"], size: int, *key: int
) -> Int[np.ndarray, "N"]:  # fmt: skip
    """What stands at some places of a permutation of ``0 ... size - 1``.

    A Feistel network on the smallest even number of bits that holds ``size``; what falls outside
    is sent through it again until it falls inside ("cycle walking", Black and Rogaway 2002)::

        (l, r) -> (r, l xor f(r xor k_i))     f: the finalizer of splitmix64

    So a permutation of a billion rows takes no memory, any place of it can be asked for, and it
    is the same on every machine and with every version of numpy.

    Args:
        places: between 0 and ``size - 1``.
        size: of the permutation.
        key: whole numbers, not negative; another key is another permutation.
    """
    return _walk(places, size, _round_keys(key)[:, None])


def shuffled_by_turn(
    places: Int[np.ndarray, "N"], size: int, turns: Int[np.ndarray, "N"], *key: int
) -> Int[np.ndarray, "N"]:  # fmt: skip
    """Like :func:`shuffled`, with a permutation for each place: that of ``(*key, turn)``.

    Args:
        places: between 0 and ``size - 1``.
        size: of the permutations.
        turns: the last number of the key of each place.
        key: the numbers before.
    """
    distinct, which = np.unique(turns, return_inverse=True)
    keys = np.stack([_round_keys((*key, int(turn))) for turn in distinct], axis=1)
    return _walk(places, size, keys, which)


def _walk(
    places: np.ndarray, size: int, keys: np.ndarray, which: np.ndarray | None = None
) -> np.ndarray:
    """Sends every place through the network of one of the ``keys``, ``[rounds, networks]``."""
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    values = places.astype(np.uint64)
    outside = np.arange(len(values))
    if which is None or keys.shape[1] == 1:
        which = np.zeros(1, np.int64)
    while len(outside):
        own = which if len(which) == 1 else which[outside]
        values[outside] = _network(values[outside], half, keys, own)
        outside = outside[values[outside] >= size]
    return values.astype(np.int64)


@functools.lru_cache(maxsize=256)
def _round_keys(key: tuple[int, ...]) -> np.ndarray:
    return np.random.SeedSequence(key).generate_state(_ROUNDS, np.uint64)


def _network(values: np.ndarray, half: int, keys: np.ndarray, which: np.ndarray) -> np.ndarray:
    bits, mask = np.uint64(half), np.uint64((1 << half) - 1)
    left, right = values >> bits, values & mask
    for key in keys:
        left, right = right, left ^ (_mix(right ^ key[which]) & mask)
    return left << bits | right


def _mix(values: np.ndarray) -> np.ndarray:
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
