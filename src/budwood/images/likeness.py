"""Which photos show the same picture: the same file, or one made from the other.

Made from the other means saved again, resized, mirrored or slightly cropped. Hashes of small grey
copies name the pairs that may be; each pair is then laid upon each other, mirrored too and a
little larger or smaller, and counts if the two agree wherever they overlap.

References: Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010 (the
hash, from the library imagehash); Lewis, "Fast Normalized Cross-Correlation", 1995 (the laying
upon each other).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from budwood.images.preprocessing import Preprocessing

SIDE = 64
"""Pixels of a small grey copy, across and down, whatever the photo's shape."""
SMALL = Preprocessing(
    size=(SIDE, SIDE), resize=(SIDE, SIDE), interpolation="bilinear", mean=(0.5,), std=(0.5,)
)
"""From a photo to its small grey copy, `64 64 1`."""
DIFFERENT_BITS = 20
"""Hashes of 64 bits that differ in more are of different pictures; by chance 32 do."""
MOST_PAIRS = 20_000
"""If hashes name more pairs than that, only the closest are looked at."""
AGREEMENT = 0.93
"""Correlation from which on two copies are of one picture."""
SCALES = (1.0, 0.95, 0.9, 0.85, 0.8)
"""Sides of the part of one photo that the other may show."""
FLAT = 4.0
"""Grey levels; a copy that varies less shows nothing that could be compared."""
ROUGH_SIDE, ROUGH_AGREEMENT = 16, 0.8
"""Pixels of a still smaller copy, and the correlation of two such from which on it is worth while
to lay the larger ones upon each other."""
_ROWS, _PAIRS = 2048, 512


@dataclass(frozen=True)
class Alike:
    """Two photos of one picture, by position."""

    first: int
    second: int
    agreement: float
    """1 for equal files, else the correlation where the two overlap."""

    @property
    def is_exact(self) -> bool:
        """True for equal files."""
        return self.agreement == 1.0


def equal_files(digests: Sequence[bytes]) -> list[Alike]:
    """Each photo whose file equals an earlier one, with the first of these."""
    first: dict[bytes, int] = {}
    pairs = []
    for i, photo in enumerate(digests):
        if first.setdefault(photo, i) != i:
            pairs.append(Alike(first[photo], i, 1.0))
    return pairs


def alike(small: NDArray[np.uint8], candidates: Iterable[tuple[int, int]] = ()) -> list[Alike]:
    """The pairs of one picture among small grey copies.

    Args:
        small: `n 64 64`, made by `SMALL`.
        candidates: Further pairs to look at, for example of photos with like features.
    """
    hashes, mirrored = _hashes(small), _hashes(small[:, :, ::-1])
    pairs = {tuple(sorted(pair)) for pair in candidates}
    pairs |= set(_close(hashes, mirrored))
    shows_something = small.reshape(len(small), -1).std(1) >= FLAT
    looked_at = [(a, b) for a, b in sorted(pairs) if shows_something[a] and shows_something[b]]
    found = []
    for first, second in _roughly_alike(small, looked_at):
        value = agreement(small[first], small[second])
        if value >= AGREEMENT:
            found.append(Alike(first, second, min(value, 1 - 1e-6)))
    return found


def agreement(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """The best correlation of two copies `64 64`: either may be mirrored, or a part of the other.

    Example:
        >>> picture = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
        >>> round(agreement(picture, picture[:, ::-1]), 3)
        1.0
    """
    return float(_agreements(first[None], second[None], SIDE)[0])


def groups(count: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """A group for each of `count` photos, such that those of a pair are in one.

    Example:
        >>> groups(5, [(0, 3), (3, 4)])
        [0, 1, 2, 0, 0]
    """
    parent = list(range(count))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for a, b in pairs:
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    return [root(i) for i in range(count)]


def members(of: Sequence[int]) -> Iterator[list[int]]:
    """The photos of each group that has more than one."""
    found: dict[int, list[int]] = {}
    for photo, group in enumerate(of):
        found.setdefault(group, []).append(photo)
    yield from (photos for photos in found.values() if len(photos) > 1)


def _hashes(small: NDArray[np.uint8]) -> NDArray[np.uint64]:
    from imagehash import phash
    from PIL import Image

    bits = [phash(Image.fromarray(copy)).hash.ravel() for copy in small]
    packed = np.packbits(np.array(bits, bool).reshape(len(small), 64), axis=1)
    return packed.view(np.uint64).ravel()


def _close(hashes: NDArray[np.uint64], mirrored: NDArray[np.uint64]) -> list[tuple[int, int]]:
    """Pairs of photos whose hashes differ in few bits, one of them perhaps mirrored."""
    found: list[NDArray[np.int64]] = []
    for start in range(0, len(hashes), _ROWS):
        rows = hashes[start : start + _ROWS, None]
        bits = np.minimum(
            np.bitwise_count(rows ^ hashes[None]), np.bitwise_count(rows ^ mirrored[None])
        )
        first, second = np.nonzero(bits <= DIFFERENT_BITS)
        later = second > first + start
        chosen = first[later], second[later]
        found.append(np.stack([chosen[0] + start, chosen[1], bits[chosen].astype(np.int64)], 1))
    pairs = np.concatenate(found) if found else np.empty((0, 3), np.int64)
    closest = pairs[np.argsort(pairs[:, 2], kind="stable")][:MOST_PAIRS]
    return [(int(a), int(b)) for a, b, _ in closest]


def _roughly_alike(
    small: NDArray[np.uint8], pairs: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """The pairs that agree well enough on still smaller copies, which is quickly found out."""
    tiny = _resized(small.astype(np.float32), ROUGH_SIDE)
    for start in range(0, len(pairs), _PAIRS):
        some = pairs[start : start + _PAIRS]
        first, second = np.array(some).T
        values = _agreements(tiny[first], tiny[second], ROUGH_SIDE)
        yield from (some[i] for i in np.flatnonzero(values >= ROUGH_AGREEMENT).tolist())


def _agreements(first: NDArray[Any], second: NDArray[Any], side: int) -> NDArray[np.floating]:
    """The best correlation of each pair of copies `p side side`, at several sizes and places."""
    best = np.zeros(len(first), np.float32)
    for wholes, parts in ((first, second), (second, first)):
        for part_side in sorted({round(scale * side) for scale in SCALES}):
            seen = _resized(parts.astype(np.float32), part_side)
            both = np.stack([seen, seen[:, :, ::-1]], -1).reshape(len(seen), -1, 2)  # p pixels 2
            both = both - both.mean(1, keepdims=True)
            both /= np.maximum(np.linalg.norm(both, axis=1, keepdims=True), 1e-6)
            views = sliding_window_view(wholes.astype(np.float32), (part_side, part_side), (1, 2))
            places = views.reshape(len(wholes), -1, part_side**2)  # p places pixels
            places = places - places.mean(2, keepdims=True)
            lengths = np.maximum(np.linalg.norm(places, axis=2), 1e-6)
            values = (places @ both).max(2) / lengths
            best = np.maximum(best, values.max(1))
    return best


def _resized(copies: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Copies `n s s` with fewer pixels, each the mean of what it covers."""
    edges = np.linspace(0, copies.shape[1], side + 1)
    low, high = edges[:-1, None], edges[1:, None]
    pixels = np.arange(copies.shape[1])
    covered = np.clip(np.minimum(high, pixels + 1) - np.maximum(low, pixels), 0, None)
    weights = (covered / (high - low)).astype(np.float32)  # side s
    resized: NDArray[np.float32] = weights @ copies @ weights.T
    return resized


def pairs_within(photos: Mapping[object, Sequence[int]]) -> Iterator[tuple[int, int]]:
    """Every pair of photos of each group.

    Example:
        >>> list(pairs_within({"a": [1, 4, 6]}))
        [(1, 4), (1, 6), (4, 6)]
    """
    for positions in photos.values():
        yield from combinations(positions, 2)
