"""Which images show the same picture: the same file, or one made from the other."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from budwood.data.overlaying import ROUGH_SIDE, as_they_lie, overlay, resized, rough_agreement
from budwood.images.preprocessing import Preprocessing


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
    """A group for each of `count` photos, such that those of a pair are in one."""
    components = Components(count)
    for first, second in pairs:
        components.join(first, second)
    found: list[int] = components.labels().tolist()
    return found


def members(of: Sequence[int]) -> Iterator[list[int]]:
    """The photos of each group that has more than one."""
    found: dict[int, list[int]] = {}
    for image, group in enumerate(of):
        found.setdefault(group, []).append(image)
    yield from (images for images in found.values() if len(images) > 1)


_CELLS, _HASHED = 2**22, 1024
"""Pairs that are compared, and copies that are hashed, at once."""

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Pairs: TypeAlias = NDArray[np.int64]
"""`p 3`: two copies by position, and how many bits of their hashes differ."""


def close_pairs(small: NDArray[np.uint8], most: int, components: Components) -> Iterator[Pairs]:
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
        yield np.stack([here[row], there[column], bits], 1)


def _hashes(small: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """The perceptual hash of each copy, 64 times 1 or -1, and that of its mirror image."""
    parts = [_some_hashes(small[i : i + _HASHED]) for i in range(0, max(1, len(small)), _HASHED)]
    first, mirrored = (np.concatenate(of) for of in zip(*parts, strict=True))
    return first, mirrored


def _some_hashes(small: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """Which of the slowest 8 x 8 waves of a copy, halved in size, are above their median; in a
    mirror image every other wave across has the opposite sign."""
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


SIDE = 64
"""Pixels of a small grey copy, across and down, whatever the photo's shape."""
SMALL = Preprocessing(
    size=(SIDE, SIDE), resize=(SIDE, SIDE), interpolation="bilinear", mean=(0.5,), std=(0.5,)
)
"""From a photo to its small grey copy, `64 64 1`."""
DIFFERENT_BITS = 20
"""Hashes of 64 bits that differ in more are of different pictures; by chance 32 do."""
SURE_BITS = 16
"""Pairs whose hashes differ in so few are all looked at, or it is said that they are not."""
MOST_PAIRS = 20_000
"""If hashes name more pairs than that, and than two a photo, only the closest are looked at."""
ROUGHLY = 0.8
"""Correlation of very small copies from which on a pair is worth a closer look."""
AGREEMENT, EDGES = 0.9, 0.9
"""Correlations of grey levels and of edges from which on two copies are of one picture. Of edges,
copies made from another reach 0.96 and more, two dandelions at most 0.88, and other different
pictures 0.55."""
FLAT = 4.0
"""Grey levels; a copy that varies less shows nothing that could be compared."""
_PAIRS, _COPIES = 256, 1024
_SAMPLE, _TRIES = 32, 2
"""Pairs by which it is tried whether a photo's close ones show its picture, and for how many photos
of a block in vain."""


@dataclass(frozen=True)
class SimilarPair:
    """Two photos of one picture, by position."""

    first: int
    second: int
    agreement: float
    """1 for equal files, else the correlation of edges where the two overlap, below 1."""

    @property
    def is_exact(self) -> bool:
        """True for equal files."""
        return self.agreement == 1.0


@dataclass(frozen=True)
class Copies:
    """Photos of which there are copies."""

    pairs: tuple[SimilarPair, ...]
    """Enough of them to link all photos of a picture; not every pair of these."""
    left_out: int = 0
    """Pairs with like hashes that were too many to be looked at."""


def equal_files(digests: Sequence[bytes]) -> list[SimilarPair]:
    """Each photo whose file equals an earlier one, with the first of these."""
    return [
        SimilarPair(first, i, 1.0) for i, first in enumerate(_first_equal(digests)) if first != i
    ]


def spread(small: NDArray[np.uint8]) -> NDArray[np.float64]:
    """By how many grey levels each small copy `n 64 64` varies, the standard deviation."""
    flat = small.reshape(len(small), -1)
    parts = [flat[i : i + _COPIES].std(1) for i in range(0, len(flat), _COPIES)]
    return np.concatenate([np.empty(0), *parts])


def alike(
    small: NDArray[np.uint8],
    candidates: Iterable[tuple[int, int]] = (),
    bits: int = DIFFERENT_BITS,
) -> Copies:
    """Photos of one picture among small grey copies `n 64 64`, made by `SMALL`.

    Pairs are looked at whose hashes differ in `bits` or fewer, and further `candidates`. Equal
    copies are looked at as one, and those that show nothing not at all.
    """
    first = _first_equal([copy.tobytes() for copy in small])
    shows_something = spread(small) >= FLAT
    kept = [i for i, one in enumerate(first) if one == i and shows_something[i]]
    place = {image: position for position, image in enumerate(kept)}
    search = _Search(small[kept])
    search.close(bits)
    search.given(
        (place[first[a]], place[first[b]])
        for a, b in candidates
        if first[a] in place and first[b] in place
    )
    found = [SimilarPair(kept[a], kept[b], edges) for (a, b), edges in search.found.items()]
    equal = [(one, i) for i, one in enumerate(first) if one != i and shows_something[i]]
    found += [SimilarPair(one, i, _BELOW_ONE) for one, i in equal]
    return Copies(tuple(sorted(found, key=lambda pair: (pair.first, pair.second))), search.left_out)


_BELOW_ONE = 1 - 1e-6


class _Search:
    """Pairs of one picture among copies no two of which are equal."""

    def __init__(self, small: NDArray[np.uint8]) -> None:
        self._small = small
        self._components = Components(len(small))
        self._most = max(MOST_PAIRS, 2 * len(small))
        self.found: dict[tuple[int, int], float] = {}
        """Pairs with the correlation of their edges."""
        self.left_out = 0

    def close(self, bits: int) -> None:
        """Look at the pairs with like hashes, the closest if they are too many."""
        waiting: Pairs = np.empty((0, 3), np.int64)
        for block in close_pairs(self._small, bits, self._components):
            if len(waiting) + len(block) > self._most:
                block = self._without_crowds(block, self._most - len(waiting))
            waiting = _by_closeness(self._apart(np.concatenate([waiting, block])))
            self.left_out += int((waiting[self._most :, 2] <= SURE_BITS).sum())
            waiting = waiting[: self._most]
        self._look_at(waiting)

    def given(self, candidates: Iterable[tuple[int, int]]) -> None:
        """Look at further pairs."""
        pairs = sorted({(min(pair), max(pair), 0) for pair in candidates})
        self._look_at(np.array(pairs, np.int64).reshape(-1, 3))

    def _apart(self, pairs: Pairs) -> Pairs:
        """Those whose two copies are not joined yet."""
        of = self._components.labels()
        apart: Pairs = pairs[of[pairs[:, 0]] != of[pairs[:, 1]]]
        return apart

    def _without_crowds(self, pairs: Pairs, room: int) -> Pairs:
        """Pairs that are left once photos are linked to the many that show the same picture."""
        tries = _TRIES
        of_no_crowd: set[int] = set()
        while len(pairs) > room and tries:
            number = np.bincount(pairs[:, 0])
            number[list(of_no_crowd)] = 0
            middle = int(number.argmax())
            if number[middle] < _SAMPLE:
                break
            of_no_crowd.add(middle)
            others = _by_closeness(pairs[pairs[:, 0] == middle])[:, 1]
            if self._join_alike(middle, others[:_SAMPLE]) < _SAMPLE // 4:
                tries -= 1
                continue
            self._join_alike(middle, others[_SAMPLE:])
            pairs = self._apart(pairs)
        return pairs

    def _join_alike(self, middle: int, others: Integers) -> int:
        """Join the copies that show the picture of one, as they lie; their number."""
        joined = 0
        for start in range(0, len(others), _COPIES):
            some = others[start : start + _COPIES]
            seen = as_they_lie(
                self._small[[middle]].astype(np.float32), self._small[some].astype(np.float32)
            )
            agrees = (seen.agreement >= AGREEMENT) & (seen.edges >= EDGES)
            for other, edges in zip(some[agrees].tolist(), seen.edges[agrees], strict=True):
                self._join((middle, other), float(edges))
            joined += int(agrees.sum())
        return joined

    def _look_at(self, pairs: Pairs) -> None:
        while len(pairs := self._apart(pairs)):
            for pair, agreement, edges in agreements(self._small, pairs[:_PAIRS, :2].tolist()):
                if agreement >= AGREEMENT and edges >= EDGES:
                    self._join(pair, edges)
            pairs = pairs[_PAIRS:]

    def _join(self, pair: tuple[int, int], edges: float) -> None:
        self._components.join(*pair)
        self.found[pair] = min(edges, _BELOW_ONE)


def _by_closeness(pairs: Pairs) -> Pairs:
    return pairs[np.argsort(pairs[:, 2], kind="stable")]


def agreements(
    small: NDArray[np.uint8], pairs: Sequence[tuple[int, int]]
) -> Iterator[tuple[tuple[int, int], float, float]]:
    """The pairs that agree roughly, each with the correlations of its grey levels and its edges."""
    for start in range(0, len(pairs), _PAIRS):
        some = np.array(pairs[start : start + _PAIRS])
        left, right = (small[some[:, side]].astype(np.float32) for side in (0, 1))
        values, starts = rough_agreement(resized(left, ROUGH_SIDE), resized(right, ROUGH_SIDE))
        which, mirrored = np.nonzero(values >= ROUGHLY)
        if not len(which):
            continue
        first = np.where(mirrored[:, None, None], left[which, :, ::-1], left[which])
        seen = overlay(first, right[which], starts[which, mirrored])
        best: dict[int, tuple[float, float]] = {}
        for pair, edges, agreement in zip(which.tolist(), seen.edges, seen.agreement, strict=True):
            best[pair] = max(best.get(pair, (-1.0, -1.0)), (float(edges), float(agreement)))
        for pair, (edges, agreement) in best.items():
            yield (int(some[pair, 0]), int(some[pair, 1])), agreement, edges


def _first_equal(values: Sequence[bytes]) -> list[int]:
    """The position of the first value that is equal to each."""
    first: dict[bytes, int] = {}
    return [first.setdefault(value, i) for i, value in enumerate(values)]
