"""What a photo takes on its way through decoder and frozen network, measured on some of them."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from budwood.errors import PhotoError
from budwood.features.engines import preferred_specs, seconds_per_image
from budwood.features.extraction import Decoded, Unreadable, decoded, extract
from budwood.features.verification import PROBES, trusted_engine
from budwood.images.preprocessing import Preprocessing

DECODING, RUNNING = 1.0, 2.5
"""Seconds for decoding alone, and for decoding with the network."""


@dataclass(frozen=True)
class PhotoTimes:
    """Seconds a photo on this machine, all cores together."""

    decoding: float
    running: float
    """Decoding and the network."""
    building: float
    """Seconds, once, for the engine and its verification."""
    photos: int
    """That were decoded."""
    broken: dict[Path, str]
    """Those of them that cannot be, with the reason."""
    measuring: float
    """Seconds that all of this took without the building."""


def photo_times(
    trunk: nn.Module, preprocessing: Preprocessing, paths: Sequence[Path]
) -> PhotoTimes:
    """Decode some photos, and run the network on some; nothing is stored.

    Args:
        trunk: Pixels to a tuple of tensors.
        preprocessing: From file bytes to pixels.
        paths: Photos, of which evenly spread ones are taken.

    Raises:
        PhotoError: If none of the first can be read.
    """
    broken: dict[Path, str] = {}
    spread = _spread(paths)
    started = time.perf_counter()
    first = list(_noting(decoded(spread[:PROBES], preprocessing), broken))
    probe = [image.pixels for image in first if isinstance(image, Decoded)]
    if not probe:
        path, reason = next(iter(broken.items()))
        raise PhotoError(
            f"None of {len(broken)} photos can be read, the first is {path}: {reason}",
            next="Copy the photos again.",
            file=path,
        )
    one = (time.perf_counter() - started) / len(probe)
    some = spread[PROBES:][: int(DECODING / one)] or spread
    decoding = _seconds_each(_noting(decoded(some, preprocessing), broken), len(some))
    began = time.perf_counter()
    specs = preferred_specs("auto", "cpu")
    engine, _ = trusted_engine(trunk, specs, np.stack(probe), lambda _: None)
    count = int(RUNNING / (decoding + seconds_per_image(engine, np.stack(probe))))
    sample = spread[: max(PROBES, count)]
    building = time.perf_counter() - began
    rows = extract(decoded(sample, preprocessing), engine)
    running = _seconds_each(_noting(rows, broken), len(sample))
    measuring = time.perf_counter() - started - building
    return PhotoTimes(decoding, running, building, max(len(some), len(sample)), broken, measuring)


def _spread(paths: Sequence[Path]) -> list[Path]:
    """All photos in an order whose beginning is spread evenly over them."""
    order = np.random.default_rng(0).permutation(len(paths))
    return [paths[i] for i in order]


def _seconds_each(things: Iterable[object], count: int) -> float:
    started = time.perf_counter()
    for _ in things:
        pass
    return (time.perf_counter() - started) / count


def _noting(things: Iterable[object], broken: dict[Path, str]) -> Iterator[object]:
    """The same, with what cannot be read taken down."""
    for thing in things:
        if isinstance(thing, Unreadable):
            broken[thing.path] = thing.reason
        yield thing
