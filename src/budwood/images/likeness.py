"""Which photos show the same picture: the same file, or one made from the other.

Made from the other means saved again, resized, mirrored or slightly cropped. Hashes of small grey
copies name the pairs that may be; each pair is then laid upon each other, mirrored too and a
little larger or smaller, and counts if the two agree wherever they overlap.

References: Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010 (the
hash, from the library imagehash); Lewis, "Fast Normalized Cross-Correlation", 1995 (the laying
upon each other, from scikit-image).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
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
_ROWS = 2048


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
    found = []
    for first, second in sorted(pairs):
        if shows_something[first] and shows_something[second]:
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
    return max(
        _best_place(whole, part)
        for whole, other in ((first, second), (second, first))
        for part in (other, other[:, ::-1])
    )


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


def _best_place(whole: NDArray[np.uint8], part: NDArray[np.uint8]) -> float:
    """The best correlation of a photo with a part of another, at several sizes."""
    from PIL import Image
    from skimage.feature import match_template

    best = 0.0
    for scale in SCALES:
        side = round(scale * SIDE)
        template = np.asarray(
            Image.fromarray(part).resize((side, side), Image.Resampling.BILINEAR), np.float64
        )
        best = max(best, float(match_template(whole.astype(np.float64), template).max()))
    return best


def pairs_within(photos: Mapping[object, Sequence[int]]) -> Iterator[tuple[int, int]]:
    """Every pair of photos of each group.

    Example:
        >>> list(pairs_within({"a": [1, 4, 6]}))
        [(1, 4), (1, 6), (4, 6)]
    """
    for positions in photos.values():
        yield from combinations(positions, 2)
