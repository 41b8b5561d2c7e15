"""Which values are black and white in images of more than 8 bits: decided once, for a folder.

A 16-bit file may hold 10, 12 or 16 bits, and a float anything; one image alone cannot tell a dark
scene from a small range. So the range belongs to the folder that was trained on. It travels with
`Preprocessing` into the store's keys and the capsule: a file gives the same pixels wherever it
lies.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from budwood.display import displayed
from budwood.errors import ConfigError, ImageError

FULL_RANGES: Mapping[str, tuple[float, float]] = {
    "uint12": (0, 2**12 - 1),
    "uint16": (0, 2**16 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "uint32": (0, 2**32 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "float": (0, 1),
}
"""The kinds of samples, with what is black and white where training saw none of that kind."""


@dataclass(frozen=True)
class Samples:
    """The samples of an image of more than 8 bits, as they are stored."""

    kind: str
    """One of `FULL_RANGES`."""
    values: npt.NDArray[Any]
    """`h w` of grey, `h w 3` of colour."""
    stated: float | None = None
    """The largest value, according to the file's tags."""
    zero_is_white: bool = False


@displayed
@dataclass(frozen=True, init=False)
class Depth:
    """Black and white of each kind of deep sample that a folder holds.

    Example:
        >>> depth = Depth({"uint16": (0, 4095)})
        >>> depth.levels(np.array([[0, 2048, 4095]], np.uint16), "uint16")
        array([[  0, 128, 255]], dtype=uint8)
        >>> print(depth)
        uint16 from 0 to 4095
    """

    ranges: tuple[tuple[str, float, float], ...]
    """Kind, black and white, in the order of kinds."""

    def __init__(self, ranges: Mapping[str, Sequence[float]] | None = None) -> None:
        """A range for each kind; the others have their full one."""
        ranges = ranges or {}
        for kind, span in ranges.items():
            if kind not in FULL_RANGES:
                raise ConfigError(
                    f"No kind of sample is called {kind!r}.",
                    expected=f"There are {', '.join(FULL_RANGES)}.",
                )
            if len(span) != 2 or not span[0] < span[1]:
                raise ConfigError(
                    f"The range of {kind} is {list(span)}.",
                    expected="It should be two numbers, black below white.",
                )
        ordered = tuple((kind, *ranges[kind]) for kind in FULL_RANGES if kind in ranges)
        object.__setattr__(self, "ranges", ordered)

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __contains__(self, kind: str) -> bool:
        return any(kind == known for known, _, _ in self.ranges)

    def range_of(self, kind: str) -> tuple[float, float]:
        """What is black and what is white in samples of this kind."""
        known = {name: (black, white) for name, black, white in self.ranges}
        return known.get(kind) or FULL_RANGES[kind]

    def levels(self, values: npt.NDArray[Any], kind: str) -> npt.NDArray[np.uint8]:
        """Samples as 0 to 255; what lies beyond black and white is clipped."""
        return eight_bits(values, *self.range_of(kind))

    def to_json(self) -> dict[str, list[float]]:
        """The ranges as plain JSON values."""
        return {kind: [black, white] for kind, black, white in self.ranges}

    def __str__(self) -> str:
        return ", ".join(f"{kind} from {low:g} to {high:g}" for kind, low, high in self.ranges)


def eight_bits(values: npt.NDArray[Any], black: float, white: float) -> npt.NDArray[np.uint8]:
    """Values as 0 (black or below) to 255 (white or above). NaN is black."""
    if values.dtype.kind == "f" and not np.isfinite(values).any():
        raise ImageError("The photo holds no number, only NaN or infinity.")
    known: npt.NDArray[Any] = values.astype(np.float32 if values.itemsize <= 2 else np.float64)
    scaled = (known - black) * (255 / (white - black))
    clipped = np.nan_to_num(scaled.clip(0, 255), copy=False, nan=0.0)
    return np.asarray(np.rint(clipped), dtype=np.uint8)
