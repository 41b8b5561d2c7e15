"""A glance at a photo: a small grey copy, its size, and when it was taken; all from one reading."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from budwood.errors import PhotoError
from budwood.images.contents import CONTENTS
from budwood.images.decoding import decoding
from budwood.images.depth import Depth
from budwood.images.gate import turn_of
from budwood.images.likeness import SIDE, SMALL
from budwood.images.moments import HEAD, Moment, moment_of
from budwood.images.reading import workers

ENOUGH = 1.75
"""Pixels that are to be left for each of the small copy's, where a photo is decoded at a fraction
of its size."""
FIRST_WORD, OTHER_WORDS = 1.0, 10.0
"""Seconds after which it is said how far it is."""


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
    with turn_of(path):
        data = CONTENTS.read(path)
        with decoding(data, _reduction, depth=depth) as decoded:
            small = SMALL.fit(decoded.photo)[..., 0]
        return Glance(small, (decoded.height, decoded.width), moment_of(data))


def glances(
    paths: Sequence[Path],
    depth: Depth | None = None,
    on_note: Callable[[str], None] = lambda note: None,
) -> list[Glance | None]:
    """What is seen of each photo, by all cores; None of a photo that cannot be read.

    Args:
        paths: Photos.
        depth: What is black and white in those of more than 8 bits.
        on_note: Told how far it is, if it takes longer than a second.
    """
    with ThreadPoolExecutor(workers()) as pool:
        try:
            seen = [pool.submit(_glance_if_readable, depth, path) for path in paths]
            _say_how_far(seen, on_note)
            return [one.result() for one in seen]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _say_how_far(seen: Sequence[Future[Glance | None]], on_note: Callable[[str], None]) -> None:
    """Say it after a second, and now and then until all are done."""
    pause = FIRST_WORD
    while left := wait(seen, timeout=pause).not_done:
        pause = OTHER_WORDS
        done = len(seen) - len(left)
        on_note(f"Looking for copies of a picture: {done:,} of {len(seen):,} photos so far.")


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
