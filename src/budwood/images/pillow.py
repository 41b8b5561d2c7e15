"""The careful way to decode: every format and mode, by Pillow, to 8-bit RGB over white."""

import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from budwood.errors import PhotoError
from budwood.images.depth import FULL_RANGES, Depth
from budwood.images.headers import TRUNCATED, undecodable

_OPENERS: dict[str, Callable[[BytesIO], ImageFile]] = {
    # Not `Image.open`: it tries formats that nobody expects in a folder of photos, and has a limit
    # of its own, the same for the whole process.
    "bmp": BmpImageFile,
    "gif": GifImageFile,
    "jpeg": JpegImageFile,
    "png": PngImageFile,
    "tiff": TiffImageFile,
    "webp": WebPImageFile,
}
_FULL = Depth()
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT, _STATED = 258, 262, 339, (281, 341)
"""Tags of TIFF; the last are MaxSampleValue and SMaxSampleValue."""
_SWAPPED = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}


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


def decode_with_pillow(
    data: bytes, format: str, check_size: Callable[[int, int], None], depth: Depth = _FULL
) -> npt.NDArray[np.uint8]:
    """The photo's first frame as `h w 3`, as stored; only a TIFF is already turned upright.

    Args:
        data: The bytes of the file.
        format: One of the formats of `Header`.
        check_size: Called with height and width before any pixel is decoded.
        depth: What is black and white in samples of more than 8 bits.

    Raises:
        PhotoError: If Pillow cannot read it to its end.
    """
    with _opened(data, format) as image:
        check_size(image.height, image.width)
        is_cut = depth.range_of("uint16") != FULL_RANGES["uint16"]
        colours = _deep_colours(image, data, format) if is_cut else None
        if colours is None:
            return rgb(image, depth)
        return _over_white(depth.levels(colours, "uint16"), image)


def deep_samples(
    data: bytes, format: str, check_size: Callable[[int, int], None]
) -> Samples | None:
    """The samples of an image of more than 8 bits; None of any other.

    Raises:
        PhotoError: If Pillow cannot read it to its end.
    """
    with _opened(data, format) as image:
        check_size(image.height, image.width)
        colours = _deep_colours(image, data, format)
        return _grey_samples(image) if colours is None else Samples("uint16", colours)


@contextmanager
def _opened(data: bytes, format: str) -> Iterator[ImageFile]:
    """An image whose pixels are not decoded yet; what Pillow raises within is a `PhotoError`."""
    try:
        with without_pillow_warnings(), _OPENERS[format](BytesIO(data)) as image:
            yield image
    except (PhotoError, MemoryError):
        raise
    except Exception as error:  # Pillow's plugins raise nearly every class there is
        raise _in_plain_words(error) from None


def rgb(image: Image.Image, depth: Depth = _FULL) -> npt.NDArray[np.uint8]:
    """An image of any mode as `h w 3`, alpha laid over white."""
    deep = _grey_samples(image)
    if deep is not None:
        levels = depth.levels(deep.values, deep.kind)
        image = Image.fromarray(255 - levels if deep.zero_is_white else levels)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.array(image.convert("RGB"))


def _grey_samples(image: Image.Image) -> Samples | None:
    """The samples of a grey image of more than 8 bits; None of any other."""
    tags: Any = image.tag_v2 if isinstance(image, TiffImageFile) else {}
    bits, sample_format = (_first(tags.get(tag)) for tag in (_BITS, _SAMPLE_FORMAT))
    if image.mode.startswith("I;16"):
        kind = "uint12" if bits == 12 else "uint16"
    elif image.mode == "F":
        kind = "float"
    elif image.mode == "I":
        # What says nothing of it is an image in memory, which Pillow holds as signed.
        kind = "uint32" if tags and sample_format in (None, 1) else f"int{bits or 32}"
    else:
        return None
    values = np.asarray(image)
    if kind == "uint32":  # Pillow holds its bits as a signed number
        values = values.view(np.uint32)
    tagged = [_first(tags.get(tag)) for tag in _STATED]
    stated = max((float(most) for most in tagged if isinstance(most, int | float)), default=None)
    return Samples(kind, values, stated, tags.get(_PHOTOMETRIC) == 0)


def _first(value: Any) -> Any:
    """The value of a tag, or the first of several."""
    return value[0] if isinstance(value, tuple) and value else value


def _deep_colours(image: ImageFile, data: bytes, format: str) -> npt.NDArray[np.uint16] | None:
    """The colours of an image of 16 bits a sample, `h w 3`; None of any other.

    Pillow keeps the upper byte of each sample only (python-pillow/Pillow#1888). Asked for the other
    byte order it keeps the lower one.
    """
    raw = _raw_mode(image)
    if raw == "LA;16B":  # grey and alpha: four bytes, which pass for four samples of a byte
        with _OPENERS[format](BytesIO(data)) as other:
            other.tile = [_with_raw_mode(tile, "RGBA") for tile in other.tile]
            pairs = np.asarray(other).astype(np.uint16)
        grey = pairs[..., 0] << 8 | pairs[..., 1]
        return np.repeat(grey[..., None], 3, axis=2)  # h w -> h w 3
    layout, _, order = raw.partition(";")
    if layout not in ("RGB", "RGBX", "RGBA") or order not in _SWAPPED:
        return None
    with _OPENERS[format](BytesIO(data)) as other:
        swapped = f"{layout};{_SWAPPED[order]}"
        other.tile = [_with_raw_mode(tile, swapped) for tile in other.tile]
        lower = np.asarray(other)[..., :3]
    colours: npt.NDArray[np.uint16] = np.asarray(image)[..., :3].astype(np.uint16) << 8 | lower
    return colours


def _raw_mode(image: ImageFile) -> str:
    """How samples are stored, in Pillow's words, such as `RGB;16B`."""
    args = image.tile[0].args if image.tile else ""
    return str(_first(args))


def _with_raw_mode(tile: Any, raw: str) -> Any:
    args = raw if isinstance(tile.args, str) else (raw, *tile.args[1:])
    return tile._replace(args=args)


def _over_white(colours: npt.NDArray[np.uint8], image: Image.Image) -> npt.NDArray[np.uint8]:
    """Colours `h w 3` with the alpha of an image, if it has one, laid over white."""
    photo = Image.fromarray(colours)
    if image.mode == "RGBA":
        photo.putalpha(image.getchannel("A"))
    return rgb(photo)


def _in_plain_words(error: Exception) -> PhotoError:
    text = str(error) or type(error).__name__
    if isinstance(error, EOFError) or "truncated" in text.lower():
        return PhotoError(TRUNCATED)
    return undecodable(text)


@contextmanager
def without_pillow_warnings() -> Iterator[None]:
    """Pillow's warnings off, its alone: a photo is read or it is not.

    Not `warnings.catch_warnings`: it swaps the filters of the whole process, and where threads
    overlap they are swapped back in the wrong order.
    """
    filters = cast(list[object], warnings.filters)
    silence = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
    filters.insert(0, silence)
    try:
        yield
    finally:
        with suppress(ValueError):  # somebody called `warnings.resetwarnings` meanwhile
            filters.remove(silence)
