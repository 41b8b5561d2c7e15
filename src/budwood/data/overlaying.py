"""Laying two small grey copies upon each other, to tell whether they are of one picture.

One of them may be mirrored, or show a part of the other. A rough search over sizes and places on
very small copies finds a start; from there size and place along both axes, brightness and contrast
are fitted by least squares, from coarse to fine. Then what counts is that edges fall on edges:
soft shapes, such as a flower before a dark ground, agree in many different pictures.

References: Lewis, "Fast Normalized Cross-Correlation", 1995 (the search); Lucas and Kanade, "An
Iterative Image Registration Technique", IJCAI 1981 (the fit).
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

ROUGH_SIDE = 16
"""Pixels of the copies on which sizes and places are searched."""
ROUGH_SCALES = (1.0, 0.94, 0.88, 0.81)
"""Sides of the part of one copy that the other may show."""
STEPS = ((32, 6), (64, 4))
"""Pixels and number of the steps of the fit."""
BORDER = 3
"""Pixels along the edges that do not count: a copy that was cropped lacks what lies beyond."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Overlay:
    """How well pairs of copies agree once they are laid upon each other, `p` each."""

    agreement: Floats
    """Correlation of grey levels."""
    edges: Floats
    """Correlation of the differences between neighbouring pixels."""


def rough_agreement(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    """The best correlation of pairs of copies `p 16 16`, as they are and with the first mirrored.

    Returns:
        The correlations `p 2`, and where they are found, `p 2 4`: 1 if the second shows a part of
        the first and 0 if the first one of the second, the part's side, and its place down and
        across, as shares of the side.
    """
    side = first.shape[1]
    best = np.full((len(first), 2), -1, np.float32)
    where = np.zeros((len(first), 2, 4), np.float32)
    everyone = np.arange(len(first))
    for is_second_part in (0, 1):
        for part_side in sorted({round(scale * side) for scale in ROUGH_SCALES}):
            if is_second_part and part_side == side:
                continue
            for mirrored in (0, 1):
                left = first[:, :, ::-1] if mirrored else first
                part, whole = (second, left) if is_second_part else (left, second)
                values = _correlations(resized(part, part_side), whole)  # p places
                place = values.argmax(1)
                value = values[everyone, place]
                down, across = np.divmod(place, side - part_side + 1)
                better = value > best[:, mirrored]
                best[better, mirrored] = value[better]
                found = [np.full(len(place), is_second_part), np.full(len(place), part_side / side)]
                found += [down / side, across / side]
                where[better, mirrored] = np.stack(found, 1)[better]
    return best, where


def overlay(first: Floats, second: Floats, starts: Floats) -> Overlay:
    """How well pairs agree at the best place near a start."""
    is_second_part = starts[:, 0].astype(bool)[:, None, None]
    part = np.where(is_second_part, second, first)
    whole = np.where(is_second_part, first, second)
    scale: Floats = starts[:, [1, 1]]  # down, across
    # Of the part's centre, as a share of the side.
    shift: Floats = (starts[:, 2:] + (scale - 1) / 2).astype(np.float32)
    for side, times in STEPS:
        seen, from_ = (resized(copies, side) for copies in (part, whole))
        for _ in range(times):
            scale, shift = _closer(seen, from_, scale, shift)
    return as_they_lie(part, _laid(whole, scale, shift, part.shape[1]))


def as_they_lie(first: Floats, second: Floats) -> Overlay:
    """How well copies `p 64 64` agree where nothing is moved; one `1 64 64` is laid on each."""
    inner = np.s_[:, BORDER:-BORDER, BORDER:-BORDER]
    edges = [
        _correlation(np.diff(_softened(first), axis=axis)[inner],
                     np.diff(_softened(second), axis=axis)[inner])
        for axis in (1, 2)
    ]  # fmt: skip
    return Overlay(_correlation(first[inner], second[inner]), np.minimum(*edges))


def resized(copies: Floats, side: int) -> Floats:
    """Square copies `n s s` with fewer pixels, each the mean of what it covers."""
    if copies.shape[1] == side:
        return copies
    edges = np.linspace(0, copies.shape[1], side + 1)
    low, high = edges[:-1, None], edges[1:, None]
    pixels = np.arange(copies.shape[1])
    covered = np.clip(np.minimum(high, pixels + 1) - np.maximum(low, pixels), 0, None)
    weights = (covered / (high - low)).astype(np.float32)  # side s
    smaller: Floats = weights @ copies @ weights.T
    return smaller


def _correlations(part: Floats, whole: Floats) -> Floats:
    """Of parts `p s s` with every place of that size in the wholes `p side side`: `p places`."""
    side = part.shape[1]
    flat = part.reshape(len(part), -1, 1)
    flat = flat - flat.mean(1, keepdims=True)
    flat = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    places = sliding_window_view(whole, (side, side), (1, 2)).reshape(len(whole), -1, side**2)
    places = places - places.mean(2, keepdims=True)
    lengths = np.maximum(np.linalg.norm(places, axis=2), 1e-6)
    values: Floats = (places @ flat)[..., 0] / lengths
    return values


def _closer(part: Floats, whole: Floats, scale: Floats, shift: Floats) -> tuple[Floats, Floats]:
    """Scale and shift `p 2` after one step of least squares."""
    p, side, _ = part.shape
    laid = _laid(whole, scale, shift, side)
    from_centre = (np.arange(side, dtype=np.float32) + 0.5) / side - 0.5
    slopes = [np.gradient(laid, axis=axis + 1) * side / scale[:, axis, None, None]
              for axis in (0, 1)]  # fmt: skip
    columns = [
        slopes[0] * from_centre[:, None], slopes[0], slopes[1] * from_centre, slopes[1],
        laid, np.ones_like(laid),
    ]  # fmt: skip
    a = np.stack(columns, 1).reshape(p, 6, -1)  # p 6 pixels
    products = a @ a.transpose(0, 2, 1)
    products += np.eye(6, dtype=np.float32) * (
        1e-5 * np.trace(products, axis1=1, axis2=2)[:, None, None] / 6 + 1e-6
    )
    solved = np.linalg.solve(products, a @ part.reshape(p, -1, 1))[..., 0]
    # The fit of `part` by contrast x (laid + slopes x move): moves come times the contrast.
    contrast = np.where(np.abs(solved[:, 4]) < 0.2, 0.2, solved[:, 4])[:, None]
    moves = np.clip(solved[:, :4] / contrast, -0.05, 0.05)
    return (
        np.clip(scale + moves[:, [0, 2]], 0.6, 1.1).astype(np.float32),
        np.clip(shift + moves[:, [1, 3]], -0.3, 0.3).astype(np.float32),
    )


def _laid(whole: Floats, scale: Floats, shift: Floats, side: int) -> Floats:
    """The part of each whole that is `scale` as large and lies `shift` from the centre."""
    rows = _interpolation(scale[:, 0], shift[:, 0], side, whole.shape[1])
    columns = _interpolation(scale[:, 1], shift[:, 1], side, whole.shape[2])
    laid: Floats = np.matmul(rows @ whole, columns.transpose(0, 2, 1))
    return laid


def _interpolation(scale: Floats, shift: Floats, side: int, pixels: int) -> Floats:
    """Weights `p side pixels` that read between pixels, linearly; beyond the edge is the edge."""
    from_centre = (np.arange(side, dtype=np.float32) + 0.5) / side - 0.5
    places = (scale[:, None] * from_centre + shift[:, None] + 0.5) * pixels - 0.5  # p side
    apart = np.abs(np.clip(places, 0, pixels - 1)[..., None] - np.arange(pixels))
    weights: Floats = np.maximum(0, 1 - apart).astype(np.float32)
    return weights


def _softened(copies: Floats) -> Floats:
    """Each pixel with its neighbours, so that grain and the blocks of JPEG count for little."""
    side = copies.shape[1]
    apart = np.abs(np.subtract.outer(np.arange(side), np.arange(side)))
    weights = np.maximum(0, 2 - apart).astype(np.float32)
    weights /= weights.sum(1, keepdims=True)
    softened: Floats = weights @ copies @ weights.T
    return softened


def _correlation(a: Floats, b: Floats) -> Floats:
    a, b = (x.reshape(len(x), -1) for x in (a, b))
    a, b = (x - x.mean(1, keepdims=True) for x in (a, b))
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    values: Floats = (a * b).sum(1) / np.maximum(lengths, 1e-6)
    return values
