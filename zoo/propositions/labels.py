"""Which propositions say the same: classes from pairs."""

from collections.abc import Iterable

from textzoo.errors import DataError


def merged_labels(count: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """A label for each of ``count`` things, equal for things that pairs connect (union-find).

    The label is the smallest number of its class. Chains connect: with the pairs (0, 1) and (1, 2),
    all three are one class, which the code of the Sub-Sentence Encoder leaves as two.

    Raises:
        DataError: a pair has a number of nothing.

    Example:
        >>> merged_labels(5, [(3, 1), (4, 3)])
        [0, 1, 2, 1, 1]
    """
    parent = list(range(count))

    def root(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    for first, second in pairs:
        for item in (first, second):
            if not 0 <= item < count:
                raise DataError(f"a pair has {item}; expected numbers from 0 to {count - 1}")
        low, high = sorted((root(first), root(second)))
        parent[high] = low
    return [root(item) for item in range(count)]
