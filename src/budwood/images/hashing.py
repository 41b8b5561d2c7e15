"""Pairs of small grey copies whose perceptual hashes are close, in bounded memory.

Reference: Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010 (the
hash; as the library imagehash computes it, for all copies at once).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from budwood.images.components import Components

_CELLS, _COPIES = 2**22, 1024
"""Pairs that are compared, and copies that are hashed, at once."""

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class ClosePairs:
    """Pairs of copies, by position, in three columns of one length."""

    first: Integers
    second: Integers
    bits: Integers
    """How many bits of their hashes differ."""

    def __len__(self) -> int:
        return len(self.first)

    def of(self, which: NDArray[np.bool_] | Integers) -> "ClosePairs":
        """Those that a mask or positions name."""
        return ClosePairs(self.first[which], self.second[which], self.bits[which])

    def apart(self, components: Components) -> "ClosePairs":
        """Those whose two copies are not joined yet."""
        of = components.labels()
        return self.of(of[self.first] != of[self.second])

    def by_closeness(self) -> "ClosePairs":
        """The same, those that differ in fewest bits first."""
        return self.of(np.argsort(self.bits, kind="stable"))

    def __add__(self, other: "ClosePairs") -> "ClosePairs":
        pairs = zip(self._columns(), other._columns(), strict=True)
        return ClosePairs(*(np.concatenate(both) for both in pairs))

    def _columns(self) -> tuple[Integers, Integers, Integers]:
        return self.first, self.second, self.bits


NO_PAIRS = ClosePairs(*np.empty((3, 0), np.int64))


def close_pairs(
    small: NDArray[np.uint8], most: int, components: Components
) -> Iterator[ClosePairs]:
    """Pairs of copies `n 64 64` whose hashes differ in `most` bits or fewer, some at a time.

    One of a pair may be mirrored. Copies that `components` has joined by the time their turn
    comes are passed over.
    """
    hashes, mirrored = _hashes(small)
    count, width = hashes.shape
    step = max(1, _CELLS // max(1, count))
    for start in range(0, count, step):
        of = components.labels()
        here, there = np.arange(start, min(start + step, count)), np.arange(start, count)
        if (of[here] == of[start]).all():
            there = there[of[there] != of[start]]
        # Of +1 and -1: the sum is the bits that agree less those that differ.
        equal = hashes[here] @ hashes[there].T
        np.maximum(equal, hashes[here] @ mirrored[there].T, out=equal)
        is_close = equal >= width - 2 * most
        is_close &= of[here, None] != of[there]
        is_close &= here[:, None] < there
        row, column = np.nonzero(is_close)
        bits = (width - equal[row, column]).astype(np.int64) // 2
        yield ClosePairs(here[row], there[column], bits)


def _hashes(small: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """The perceptual hash of each copy, 64 times 1 or -1, and that of its mirror image."""
    parts = [_some_hashes(small[i : i + _COPIES]) for i in range(0, max(1, len(small)), _COPIES)]
    first, mirrored = (np.concatenate(of) for of in zip(*parts, strict=True))
    return first, mirrored


def _some_hashes(small: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """Which of the slowest 8 x 8 waves of a copy, halved in size, are above their median.

    In a mirror image every other wave across has the opposite sign.
    """
    side = small.shape[1]
    halved = small.reshape(len(small), side // 2, 2, side // 2, 2).mean((2, 4), dtype=np.float32)
    waves = np.cos(np.pi / side * np.outer(np.arange(8), 2 * np.arange(side // 2) + 1))
    low = waves.astype(np.float32) @ halved @ waves.T.astype(np.float32)
    both = low, low * (-1.0) ** np.arange(8)
    bits = (
        of.reshape(-1, 64) > np.median(of.reshape(-1, 64), axis=1, keepdims=True) for of in both
    )
    first, mirrored = (np.where(of, 1, -1).astype(np.float32) for of in bits)
    return first, mirrored
