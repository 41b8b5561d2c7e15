"""A glance at a photo: a small grey copy, its size, and when it was taken; all from one reading."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from budwood.errors import PhotoError
from budwood.images.contents import CONTENTS
from budwood.images.decoding import decode_reduced
from budwood.images.depth import Depth
from budwood.images.likeness import SIDE, SMALL
from budwood.images.moments import HEAD, Moment, moment_of
from budwood.images.reading import workers

ENOUGH = 1.75
"""Pixels that are to be left for each of the small copy's, where a photo is decoded at a fraction
of its size."""


@dataclass(frozen=True)
class Glance:
    """What is seen of a photo at a glance."""

    small: NDArray[np.uint8]
    """`64 64`, see `likeness.py`."""
    size: tuple[int, int]
    """Height and width, upright."""
    moment: Moment | None
    """None where the photo does not say when it was taken."""


def glance(path: Path, depth: Depth | None = None) -> Glance:
    """What is seen of a photo.

    Args:
        path: The photo.
        depth: What is black and white in photos of more than 8 bits.

    Raises:
        PhotoError: If it cannot be read.
    """
    data = CONTENTS.read(path)
    decoded = decode_reduced(data, _reduction, depth=depth)
    small = SMALL.fit(decoded.photo)[..., 0]
    return Glance(small, (decoded.height, decoded.width), moment_of(data))


def glances(paths: Sequence[Path], depth: Depth | None = None) -> list[Glance | None]:
    """What is seen of each photo, by all cores; None of a photo that cannot be read."""
    with ThreadPoolExecutor(workers()) as pool:
        return list(pool.map(partial(_glance_if_readable, depth), paths))


def moments_of(paths: Sequence[Path]) -> list[Moment | None]:
    """When each photo was taken, from the first bytes of its file; None where that is not told."""
    return [_moment_if_readable(path) for path in paths]


def _moment_if_readable(path: Path) -> Moment | None:
    try:
        with path.open("rb") as file:
            return moment_of(file.read(HEAD))
    except OSError:
        return None


def _glance_if_readable(depth: Depth | None, path: Path) -> Glance | None:
    try:
        return glance(path, depth)
    except PhotoError:
        return None


def _reduction(height: int, width: int) -> int:
    spare = min(height, width) / SIDE / ENOUGH
    return next((reduction for reduction in (8, 4, 2) if reduction <= spare), 1)
