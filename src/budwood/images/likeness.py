"""Which photos show the same picture: the same file, or one made from the other.

Made from the other means saved again, resized, mirrored, brightened or slightly cropped. Hashes of
small grey copies name the pairs that may be; each pair is then laid upon each other
(`overlaying.py`), and counts if grey levels and edges agree.

Reference: Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010 (the
hash; as the library imagehash computes it, for all copies at once).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from budwood.images.overlaying import ROUGH_SIDE, overlay, resized, rough_agreement
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
ROUGHLY = 0.8
"""Correlation of very small copies from which on a pair is worth a closer look."""
AGREEMENT, EDGES = 0.9, 0.9
"""Correlations of grey levels and of edges from which on two copies are of one picture. Of edges,
copies made from another reach 0.96 and more, two dandelions at most 0.88, and other different
pictures 0.55."""
FLAT = 4.0
"""Grey levels; a copy that varies less shows nothing that could be compared."""
_CELLS, _PAIRS = 2**23, 256


@dataclass(frozen=True)
class Alike:
    """Two photos of one picture, by position."""

    first: int
    second: int
    agreement: float
    """1 for equal files, else the correlation of edges where the two overlap, below 1."""

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


def alike(
    small: NDArray[np.uint8],
    candidates: Iterable[tuple[int, int]] = (),
    bits: int = DIFFERENT_BITS,
) -> list[Alike]:
    """The pairs of one picture among small grey copies.

    Args:
        small: `n 64 64`, made by `SMALL`.
        candidates: Further pairs to look at, for example of photos with like features.
        bits: By how many bits hashes of pairs that are looked at may differ.
    """
    pairs = {(min(pair), max(pair)) for pair in candidates} | set(_close(small, bits))
    shows_something = small.reshape(len(small), -1).std(1) >= FLAT
    looked_at = [(a, b) for a, b in sorted(pairs) if shows_something[a] and shows_something[b]]
    found = []
    for (first, second), agreement, edges in agreements(small, looked_at):
        if agreement >= AGREEMENT and edges >= EDGES:
            found.append(Alike(first, second, min(edges, 1 - 1e-6)))
    return found


def agreements(
    small: NDArray[np.uint8], pairs: Sequence[tuple[int, int]]
) -> Iterator[tuple[tuple[int, int], float, float]]:
    """The pairs that agree roughly, each with the correlations of its grey levels and its edges.

    Example:
        >>> picture = np.random.default_rng(0).integers(0, 256, (8, 8)).repeat(8, 0).repeat(8, 1)
        >>> both = np.stack([picture, picture[:, ::-1]]).astype(np.uint8)
        >>> [(pair, round(edges, 2)) for pair, _, edges in agreements(both, [(0, 1)])]
        [((0, 1), 1.0)]
    """
    copies = small.astype(np.float32)
    tiny = resized(copies, ROUGH_SIDE)
    for start in range(0, len(pairs), _PAIRS):
        some = np.array(pairs[start : start + _PAIRS])
        values, starts = rough_agreement(tiny[some[:, 0]], tiny[some[:, 1]])
        which, mirrored = np.nonzero(values >= ROUGHLY)
        if not len(which):
            continue
        first = copies[some[which, 0]]
        first = np.where(mirrored[:, None, None], first[:, :, ::-1], first)
        seen = overlay(first, copies[some[which, 1]], starts[which, mirrored])
        best: dict[int, tuple[float, float]] = {}
        for pair, edges, agreement in zip(which.tolist(), seen.edges, seen.agreement, strict=True):
            best[pair] = max(best.get(pair, (-1.0, -1.0)), (float(edges), float(agreement)))
        for pair, (edges, agreement) in best.items():
            yield (int(some[pair, 0]), int(some[pair, 1])), agreement, edges


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


def _close(small: NDArray[np.uint8], most: int) -> list[tuple[int, int]]:
    """Pairs of photos whose hashes differ in few bits, one of them perhaps mirrored."""
    hashes, mirrored = _hashes(small)
    found = [np.empty((0, 3), np.int64)]
    step = max(1, _CELLS // max(1, len(hashes)))
    for start in range(0, len(hashes), step):
        rows = hashes[start : start + step]
        equal = np.maximum(rows @ hashes[start:].T, rows @ mirrored[start:].T)
        bits = (hashes.shape[1] - equal) / 2  # of +1 and -1: the sum is what agrees less the rest
        first, second = np.nonzero(bits <= most)
        later = second > first
        chosen = first[later], second[later]
        moved = np.array([start, start, 0])
        found.append(np.stack([*chosen, bits[chosen]], 1).astype(np.int64) + moved)
    pairs = np.concatenate(found)
    closest = pairs[np.argsort(pairs[:, 2], kind="stable")][:MOST_PAIRS]
    return [(int(a), int(b)) for a, b, _ in closest]


def _hashes(small: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The perceptual hash of each copy, 64 times 1 or -1, and that of its mirror image.

    Which of the slowest 8 x 8 waves of a copy, halved in size, are above their median; in a mirror
    image every other wave across has the opposite sign.
    """
    halved = small.reshape(len(small), SIDE // 2, 2, SIDE // 2, 2).mean((2, 4), dtype=np.float32)
    waves = np.cos(np.pi / SIDE * np.outer(np.arange(8), 2 * np.arange(SIDE // 2) + 1))
    low = waves.astype(np.float32) @ halved @ waves.T.astype(np.float32)
    both = low, low * (-1.0) ** np.arange(8)
    bits = (
        of.reshape(-1, 64) > np.median(of.reshape(-1, 64), axis=1, keepdims=True) for of in both
    )
    first, mirrored = (np.where(of, 1, -1).astype(np.float32) for of in bits)
    return first, mirrored
