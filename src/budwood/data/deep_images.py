"""Images of more than 8 bits in a folder: what their values span, and the depth that follows.

The header of a file tells whether it is one of these; only they are decoded here. A file's own
largest value says nothing (a dark scene), nor do tags that state it file by file (MaxSampleValue is
"for statistical purposes", says TIFF 6.0); nor does PNG's sBIT, which names the bits of a camera
whose values were then stretched to 16. What all training images together say is believed.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain
from math import ceil, floor, log10
from pathlib import Path

import numpy as np

from budwood.data.labels import Note
from budwood.errors import ImageError
from budwood.images.contents import CONTENTS, found_once, workers
from budwood.images.decode import deep_samples_of
from budwood.images.depth import FULL_RANGES, Depth, Samples
from budwood.text import count

BITS = (8, 10, 12, 14, 16)
"""What cameras and scanners put into 16-bit files; of integers with more, any number."""
UNITS = (0.25, 1.01)
"""Floats whose brightest value lies between these are taken for 0 to 1, resampled perhaps."""
TAILS = (0.1, 99.9)
"""Percentiles of an image beyond which floats and signed values do not count: hot pixels."""
FLAT = 4 / 255
"""An image whose values span less of the brightest one shows nothing."""
FAR = 16
"""Images whose brightest value is so many times below white are of another camera, if ..."""
MANY = 0.05
"""... they are so large a share of all."""
GROUP = 32
"""Files that a thread looks at without asking for more work."""
VERSION = 1
"""Raised when files come to be measured in another way: what is kept is stale."""
_WORDS = {
    "uint12": "12-bit",
    "uint16": "16-bit",
    "int16": "signed 16-bit",
    "uint32": "32-bit",
    "int32": "signed 32-bit",
    "float": "floating-point",
}


@dataclass(frozen=True)
class Extent:
    """What the samples of one image of more than 8 bits span."""

    kind: str
    """One of `FULL_RANGES`."""
    low: float
    high: float
    dark: float
    """The percentiles `TAILS`."""
    bright: float
    stated: float | None
    """The largest value, according to the file's tags."""

    @property
    def is_flat(self) -> bool:
        """True if the image shows nothing, however bright it is made."""
        return self.bright - self.dark < FLAT * max(abs(self.dark), abs(self.bright)) or (
            self.bright == self.dark
        )


def extents_of(paths: Sequence[Path], *, keep: bool = False) -> dict[Path, Extent]:
    """What the samples span, of those images that have more than 8 bits and can be read."""

    def find() -> dict[int, Extent]:
        groups = [paths[i : i + GROUP] for i in range(0, len(paths), GROUP)]
        with ThreadPoolExecutor(workers()) as pool:
            measured = chain.from_iterable(pool.map(_extents, groups))
            return {i: extent for i, extent in enumerate(measured) if extent is not None}

    if not keep:
        return {paths[i]: extent for i, extent in find().items()}
    found = found_once(
        "depths",
        paths,
        str(VERSION),
        find,
        lambda found: {i: asdict(extent) for i, extent in found.items()},
        lambda kept: {int(i): Extent(**extent) for i, extent in kept.items()},
    )
    return {paths[i]: extent for i, extent in found.items()}


def depth_of(extents: Collection[Extent]) -> Depth:
    """Black and white of each kind of sample, from all training images of that kind.

    Integers span the next of 8, 10, 12, 14, 16 bits, or what the tags of all files alike state.
    Floats are 0 to 1 where nearly all values are; otherwise, as signed integers below 0, they span
    the lowest and the highest of the percentiles 0.1 and 99.9, from 0 where none is below.
    """
    kinds = {extent.kind for extent in extents} - {"uint12"}  # as it says, 12 bits
    return Depth({k: _range_of(k, [e for e in extents if e.kind == k]) for k in kinds})


def depth_notes(depth: Depth, paths: Sequence[Path], extents: Mapping[Path, Extent]) -> list[Note]:
    """What the user should know of the depth that was chosen for training images."""
    of_kind: dict[str, list[Extent]] = {}
    for path in paths:
        if path in extents:
            of_kind.setdefault(extents[path].kind, []).append(extents[path])
    notes = []
    for kind, found in of_kind.items():
        black, white = depth.range_of(kind)
        if (black, white) != FULL_RANGES[kind]:
            notes.append(Note("depth", _chosen(kind, found, black, white)))
        faint = [e for e in found if not e.is_flat and e.bright * FAR <= white]
        if MANY * len(found) <= len(faint) < len(found):
            most = max(e.high for e in faint)
            notes.append(
                Note(
                    "mixed-depths",
                    f"{_holding(len(faint), 'training photo', len(found))} no value above "
                    f"{most:g}, and white is {white:g}: they are nearly black. If they are of "
                    "another source, scale them to the range of the others.",
                )
            )
    numbers = [(len(found), _WORDS[kind]) for kind, found in of_kind.items()]
    shallow = len(paths) - sum(number for number, _ in numbers)
    numbers += [(shallow, "8-bit")] * bool(shallow)
    if len(numbers) > 1:
        said = ", ".join(f"{number:,} {words}" for number, words in numbers)
        text = f"Training photos are of different depth ({said}): each is read in its own range."
        notes.append(Note("mixed-depths", text))
    return notes


def misfit_notes(depth: Depth, extents: Collection[Extent]) -> Iterator[Note]:
    """What the user should know of images that were not trained on."""
    for kind in FULL_RANGES:
        found = [extent for extent in extents if extent.kind == kind]
        if not found or kind == "uint12":
            continue
        black, white = depth.range_of(kind)
        if kind not in depth:
            text = (
                f"{_holding(len(found))} {_WORDS[kind]} values, and of training photos that did "
                f"nothing is known: {black:g} is taken as black and {white:g} as white."
            )
            yield Note("unknown-depth", text)
        is_exact = kind.startswith("u")
        beyond = [
            e
            for e in found
            if (e.high if is_exact else e.bright) > white or (e.low if is_exact else e.dark) < black
        ]
        if beyond:
            lowest, highest = min(e.low for e in beyond), max(e.high for e in beyond)
            whose = ", the range of the training photos" if kind in depth else ""
            text = (
                f"{_holding(len(beyond), of=len(found))} {_WORDS[kind]} values from "
                f"{lowest:g} to {highest:g}, beyond {black:g} to {white:g}{whose}: those are "
                "clipped."
            )
            yield Note("clipped", text)


def _extents(paths: Sequence[Path]) -> list[Extent | None]:
    return [_extent(path) for path in paths]


def _extent(path: Path) -> Extent | None:
    try:
        if not _may_be_deep(path):
            return None
        samples = deep_samples_of(CONTENTS.read(path))
    except (OSError, ImageError):  # what cannot be read is reported where photos are read
        return None
    return None if samples is None else _measured(samples)


def _may_be_deep(path: Path) -> bool:
    """Whether the first bytes are of a PNG of 16 bits, or a TIFF, which says it further on."""
    with path.open("rb", buffering=0) as file:
        start = file.read(25)
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return start[24:] == b"\x10"
    return start.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"))


def _measured(samples: Samples) -> Extent | None:
    values = samples.values
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
        if not values.size:
            return None
    low, high = float(values.min()), float(values.max())
    dark, bright = (float(value) for value in np.percentile(values, TAILS))
    return Extent(samples.kind, low, high, dark, bright, samples.stated)


def _range_of(kind: str, found: Sequence[Extent]) -> tuple[float, float]:
    low, high = min(e.low for e in found), max(e.high for e in found)
    dark, bright = min(e.dark for e in found), max(e.bright for e in found)
    if kind != "float" and low >= 0:
        stated = {extent.stated for extent in found}
        said = stated.pop() if len(stated) == 1 else None
        return 0.0, said if said and said >= high else _white(high, FULL_RANGES[kind][1])
    if kind == "float" and dark >= -0.01 and UNITS[0] < bright <= UNITS[1]:
        return 0.0, 1.0
    black = -_rounded_up(-dark) if dark < 0 else 0.0
    white = _rounded_up(bright)
    return black, white if white > black else black + 1.0


def _white(highest: float, most: float) -> float:
    """White of integers of which none is above `highest`."""
    bits = next((b for b in BITS if highest < 2**b), int(highest).bit_length())
    return float(min(2**bits - 1, most))


def _rounded_up(value: float) -> float:
    """To three digits, away from what is smaller; less than a grey level, and few photos more
    change nothing."""
    if value == 0:
        return 0.0
    step = 10.0 ** (floor(log10(abs(value))) - 2)
    return round(ceil(value / step - 1e-4) * step, 12)


def _chosen(kind: str, found: Sequence[Extent], black: float, white: float) -> str:
    low, high = min(e.low for e in found), max(e.high for e in found)
    images, files = _holding(len(found), "training photo"), f"{_WORDS[kind]} files"
    bits = int(white).bit_length()
    if black == 0 and kind != "float" and white == 2**bits - 1 and low >= 0:
        said = f"{images} {bits}-bit values (at most {high:g}) in {files}"
        return f"{said}; {white:g} is taken as white, here and for prediction."
    said = f"{images} values from {low:g} to {high:g} in {files}"
    return f"{said}; {black:g} is taken as black and {white:g} as white, here and for prediction."


def _holding(number: int, what: str = "photo", of: int | None = None) -> str:
    total = "" if of is None else f" of {of:,}"
    return f"{count(number, what)}{total} {'holds' if number == 1 else 'hold'}"
