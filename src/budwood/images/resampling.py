"""Resizing a photo and cropping its middle as one step: only what the crop shows is computed."""

import math
import threading
from dataclasses import dataclass
from typing import Literal

import numpy as np
from cykooz_resizer import (
    CropBox,
    FilterType,
    ImageData,
    PixelType,
    ResizeAlg,
    ResizeOptions,
    Resizer,
)
from numpy.typing import NDArray

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]

_FILTERS = {
    "bilinear": FilterType.bilinear,
    "bicubic": FilterType.catmull_rom,  # Pillow's too: a = -0.5
    "lanczos": FilterType.lanczos3,
}
_REACH = {"bilinear": 1, "bicubic": 2, "lanczos": 3}
"""How far the filters look to either side, in pixels of the photo or of the result: the larger."""
_TYPES = {1: PixelType.U8, 3: PixelType.U8x3}


@dataclass(frozen=True)
class Side:
    """One side of a photo, how long it would become, and how much of that is wanted.

    The middle is that of torchvision's `center_crop`.
    """

    pixels: int
    """How many there are to read."""
    extent: float
    """How many of them the photo spans: of a reduced photo the last may be there in part only."""
    resized: int
    """How many the whole side would become."""
    crop: int
    """How many of these are wanted, from the middle."""

    @property
    def scale(self) -> float:
        """Pixels of the photo for one of the result."""
        return self.extent / self.resized

    @property
    def start(self) -> float:
        """Where in the photo the crop begins, in pixels."""
        return round((self.resized - self.crop) / 2) * self.scale

    def seen(self, reach: int) -> slice:
        """The pixels of the photo that a filter of that reach sees, and one more to be safe."""
        margin = math.ceil(reach * max(1.0, self.scale)) + 1
        first = math.floor(self.start) - margin
        last = math.ceil(self.start + self.crop * self.scale) + margin
        return slice(max(0, first), min(self.pixels, last))

    def nearest(self) -> NDArray[np.intp]:
        """The pixel of the photo under the centre of each of the crop's."""
        first = round((self.resized - self.crop) / 2)
        at = (np.arange(first, first + self.crop) + 0.5) * self.scale
        return np.minimum(at.astype(np.intp), self.pixels - 1)


def resample(
    photo: NDArray[np.uint8], down: Side, across: Side, interpolation: Interpolation
) -> NDArray[np.uint8]:
    """The middle of the resized photo, `h w c` like it: what Pillow's resize, then crop gives.

    Along the rows first, then along the columns, with 8 bits between, as in torchvision and (for
    most shapes) in Pillow: in the other order sharp edges differ by ten grey levels and more.

    Args:
        photo: `h w c` of one or three channels.
        down: Its height and what becomes of it.
        across: Its width, likewise.
        interpolation: All but `nearest` look at every pixel that a new one covers (antialiasing).

    Example:
        >>> ramp = np.arange(8, dtype=np.uint8).reshape(1, 8, 1)
        >>> half = Side(pixels=8, extent=8, resized=4, crop=2)
        >>> resample(ramp, Side(pixels=1, extent=1, resized=1, crop=1), half, "nearest").ravel()
        array([3, 5], dtype=uint8)
    """
    if interpolation == "nearest":
        return photo[down.nearest()[:, None], across.nearest()]
    rows, columns = (side.seen(_REACH[interpolation]) for side in (down, across))
    part = photo[rows, columns]
    height, width, channels = part.shape
    algorithm, kind = ResizeAlg.convolution(_FILTERS[interpolation]), _TYPES[channels]
    left, span = _box(across, columns)
    top, rise = _box(down, rows)
    part_image = ImageData(width, height, kind, part.tobytes())
    narrow = ImageData(across.crop, height, kind)
    _resize(part_image, narrow, algorithm, CropBox(left, 0, span, height))
    result = ImageData(across.crop, down.crop, kind)
    _resize(narrow, result, algorithm, CropBox(0, top, across.crop, rise))
    flat = np.frombuffer(bytearray(result.get_buffer()), np.uint8)  # of bytes it were read-only
    return flat.reshape(down.crop, across.crop, channels)


def _box(side: Side, seen: slice) -> tuple[float, float]:
    """Where in the pixels seen the crop begins and how many it spans; never beyond their end."""
    start = side.start - seen.start
    return start, min(side.crop * side.scale, seen.stop - seen.start - start)


def _resize(source: ImageData, result: ImageData, algorithm: ResizeAlg, box: CropBox) -> None:
    options = ResizeOptions(resize_alg=algorithm, crop_box=box)
    _of_thread.resizer.resize(source, result, options)


class _OfThread(threading.local):
    """A resizer keeps memory between photos, so each thread has its own."""

    def __init__(self) -> None:
        self.resizer = Resizer()


_of_thread = _OfThread()
