"""The one way from a photo's file to what a network is fed, bound to the network's weights.

Resizing a photo and cropping its middle are one step: only what the crop shows is computed.
"""

import math
import threading
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
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

from budwood.arrays import ImageArray
from budwood.display import displayed
from budwood.errors import ConfigError
from budwood.images.decode import OnOddity, decoding
from budwood.images.depth import Depth
from budwood.images.formats import DecodedImage

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
    """One side of a photo, how long it would become, and how much of its middle is wanted, which is
    that of torchvision's `center_crop`."""

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
    image: NDArray[np.uint8], down: Side, across: Side, interpolation: Interpolation
) -> NDArray[np.uint8]:
    """The middle of the resized photo, `h w c` like it: what Pillow's resize, then crop gives.

    Along the rows first, then along the columns, with 8 bits between, as in torchvision and (for
    most shapes) in Pillow: in the other order sharp edges differ by ten grey levels and more.
    """
    if interpolation == "nearest":
        return image[down.nearest()[:, None], across.nearest()]
    rows, columns = (side.seen(_REACH[interpolation]) for side in (down, across))
    part = image[rows, columns]
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


class _ThreadResizer(threading.local):
    """A resizer keeps memory between photos, so each thread has its own."""

    def __init__(self) -> None:
        self.resizer = Resizer()


_of_thread = _ThreadResizer()


PIXELS = 3
"""Raised when photos come to give other pixels: rows that were made of the old ones are stale."""

ENOUGH = 3
"""A photo may be decoded at a fraction of its size if so many of its pixels are left for each of
the resized photo's. Then the result differs by half a grey level on average, and by 2.2 in the
photo of the strongest colours that we met; with 2 instead of 3 it is nearly twice as much. An
eighth of the size would differ more and save nothing."""


@displayed
@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How photos are resized, cropped and normalised for a network.

    Example:
        >>> grey = Preprocessing(size=(224, 224), resize=256, mean=(0.5,), std=(0.2,))
        >>> print(grey)
        shorter side to 256 (bicubic), centre 224 x 224, mean 0.5, std 0.2, grey
        >>> grey.at_size(112).resize
        128
    """

    size: tuple[int, int]
    """Height and width of the network input."""
    resize: int | tuple[int, int]
    """The shorter side before the centre crop, or an exact height and width."""
    interpolation: Interpolation = "bicubic"
    """How pixels are resampled; all but `nearest` with antialiasing."""
    mean: tuple[float, ...]
    """Subtracted from each channel of 0 to 1; one value makes the photo grey."""
    std: tuple[float, ...]
    """What each channel is then divided by."""
    depth: Depth = field(default_factory=Depth)
    """What is black and white in photos of more than 8 bits: that of the training photos."""

    def __post_init__(self) -> None:
        sides = (self.resize,) if isinstance(self.resize, int) else self.resize
        needed = max(self.size) if isinstance(self.resize, int) else self.size
        if min(*self.size, *sides) < 1:
            raise ConfigError(
                f"Photos cannot be resized to {self.resize} and cropped to {self.size}.",
                expected="Every side must be at least 1 pixel.",
            )
        if np.any(np.array(sides) < np.array(needed)):
            raise ConfigError(
                f"The crop of {self.size[0]} x {self.size[1]} pixels is larger than a photo "
                f"resized to {self.resize}.",
                next="Raise `resize`, or give it as an exact (height, width).",
            )
        if self.interpolation not in get_args(Interpolation):
            raise ConfigError(
                f"No interpolation is called {self.interpolation!r}.",
                expected=f"There are {', '.join(get_args(Interpolation))}.",
            )
        if len(self.mean) not in (1, 3) or len(self.std) != len(self.mean):
            raise ConfigError(
                f"mean has {len(self.mean)} values and std {len(self.std)}.",
                expected="Both must have 3 (RGB) or both 1 (grey).",
            )
        if min(self.std) <= 0:
            raise ConfigError(f"std is {self.std}.", expected="Every value must be above 0.")

    def pixels(self, data: bytes, on_oddity: OnOddity = lambda kind: None) -> npt.NDArray[np.uint8]:
        """The network input of a photo from the bytes of its file: `h w c`, 0 to 255, contiguous.

        Args:
            data: The bytes of the file.
            on_oddity: Told what is odd about a photo that can be decoded.

        Raises:
            ImageError: If the photo cannot be decoded.
        """
        with decoding(data, self._reduction, depth=self.depth, on_oddity=on_oddity) as decoded:
            return self._fitted(decoded)

    def fit(self, image: ImageArray) -> npt.NDArray[np.uint8]:
        """The network input of a decoded photo, `h w 3` uint8: `h w c`, 0 to 255, contiguous.

        Raises:
            ConfigError: If `image` is of another type or shape.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ConfigError(
                f"A photo of shape {image.shape} and type {image.dtype} cannot be fitted.",
                expected="It must be `h w 3`, uint8.",
            )
        return self._fitted(DecodedImage(image, *image.shape[:2]))

    def at_size(self, px: int) -> "Preprocessing":
        """The same for another input size; the crop keeps its share of the photo."""
        scale = px / max(self.size)

        def scaled(side: int) -> int:
            return max(1, round(side * scale))

        resize = (
            scaled(self.resize)
            if isinstance(self.resize, int)
            else (scaled(self.resize[0]), scaled(self.resize[1]))
        )
        return replace(self, size=(scaled(self.size[0]), scaled(self.size[1])), resize=resize)

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values; `depth` only where there is one to tell of, so that
        rows of 8-bit photos keep the key that they had before there were any."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        depth = values.pop("depth")
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
        } | ({"depth": depth.to_json()} if depth else {})

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> "Preprocessing":
        """What `to_json` gave, again.

        Raises:
            ConfigError: If a field is missing, unknown or impossible.
        """
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in saved.items()
        }
        if "depth" in given:
            given["depth"] = Depth(given["depth"])
        try:
            return cls(**given)
        except TypeError as error:
            raise ConfigError(
                f"This is not a preprocessing: {str(error).split('__init__() ')[-1]}.",
                expected=f"The fields are {', '.join(cls.__dataclass_fields__)}.",
            ) from None

    def __str__(self) -> str:
        if isinstance(self.resize, int):
            resize = f"shorter side to {self.resize}"
        else:
            resize = f"exactly {self.resize[0]} x {self.resize[1]}"
        grey = ", grey" if len(self.mean) == 1 else ""
        mean, std = (" ".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        return (
            f"{resize} ({self.interpolation}), centre {self.size[0]} x {self.size[1]}, "
            f"mean {mean}, std {std}{grey}{f', {self.depth}' if self.depth else ''}"
        )

    def _resized_shape(self, height: int, width: int) -> tuple[int, int]:
        if not isinstance(self.resize, int):
            return self.resize
        if height <= width:
            return self.resize, int(self.resize * width / height)
        return int(self.resize * height / width), self.resize

    def _reduction(self, height: int, width: int) -> int:
        """By how much a photo may be reduced while it is decoded, see `ENOUGH`."""
        if self.interpolation == "nearest":  # it would pick from other pixels
            return 1
        rows, columns = self._resized_shape(height, width)
        spare = min(height / rows, width / columns) / ENOUGH
        return next((reduction for reduction in (4, 2) if reduction <= spare), 1)

    def _fitted(self, decoded: DecodedImage) -> npt.NDArray[np.uint8]:
        image = luma(decoded.image) if len(self.mean) == 1 else decoded.image
        reduction = decoded.reduction
        height, width = self._resized_shape(decoded.height, decoded.width)
        down = Side(image.shape[0], decoded.height / reduction, height, self.size[0])
        across = Side(image.shape[1], decoded.width / reduction, width, self.size[1])
        return resample(image, down, across, self.interpolation)


def luma(image: ImageArray) -> npt.NDArray[np.uint8]:
    """The grey `h w 1` of an RGB photo, as Pillow's mode L makes it (ITU-R 601)."""
    red, green, blue = (image[..., channel].astype(np.int32) for channel in range(3))
    grey = (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16
    return grey.astype(np.uint8)[..., None]  # h w -> h w 1
