"""Which things are linked, directly or through others."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray


class Components:
    """Things that are joined pair by pair; those that are linked in any way are one component."""

    def __init__(self, count: int) -> None:
        self._parent = np.arange(count)

    def join(self, first: int, second: int) -> None:
        """From now on both are in one component."""
        low, high = sorted((self._root(first), self._root(second)))
        self._parent[high] = low

    def labels(self) -> NDArray[np.int64]:
        """The component of each: the number of its first member."""
        while not np.array_equal(above := self._parent[self._parent], self._parent):
            self._parent = above
        return self._parent.copy()

    def _root(self, one: int) -> int:
        while (above := int(self._parent[one])) != one:
            self._parent[one] = self._parent[above]
            one = above
        return one


def groups(count: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """A group for each of `count` photos, such that those of a pair are in one.

    Example:
        >>> groups(5, [(0, 3), (3, 4)])
        [0, 1, 2, 0, 0]
    """
    components = Components(count)
    for first, second in pairs:
        components.join(first, second)
    found: list[int] = components.labels().tolist()
    return found


def members(of: Sequence[int]) -> Iterator[list[int]]:
    """The photos of each group that has more than one."""
    found: dict[int, list[int]] = {}
    for photo, group in enumerate(of):
        found.setdefault(group, []).append(photo)
    yield from (photos for photos in found.values() if len(photos) > 1)
