"""The careful way to decode: every format and mode, by Pillow, to 8-bit RGB over white."""

import logging
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from budwood.images.depth import FULL_RANGES, Depth, Samples
from budwood.images.formats import (
    DecodedImage,
    Header,
    check_size,
    image_errors,
    opened,
    undecodable,
)
from budwood.images.tiff import complaints, is_read_wrongly, read_tiff, tiff_samples

_ORIENTATION = 0x0112
log = logging.getLogger("budwood")
logging.getLogger("PIL").addHandler(logging.NullHandler())  # its errors went to stderr otherwise
_FULL = Depth()
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT, _STATED = 258, 262, 339, (281, 341)
"""Tags of TIFF; the last are MaxSampleValue and SMaxSampleValue."""
_SWAPPED = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}

LARGE = 50_000_000
"""Pixels; larger photos are made smaller before they leave Pillow, if they may be."""
_BAND = 256
"""Rows that are turned into RGB at a time: the whole would be there twice."""


def decode_with_pillow(
    data: bytes, header: Header, reduce: Callable[[int, int], int], depth: Depth = _FULL
) -> DecodedImage:
    """The photo's first frame as stored; only a TIFF is already turned upright.

    `reduce` tells by how much a photo of that height and width, as stored, may be reduced.
    """
    with without_pillow_warnings(), image_errors(str(header)):
        image = _opened(data, header)
        if image is None:
            pixels, orientation = read_tiff(data, depth)
            pixels.getexif()[_ORIENTATION] = orientation
            return _at_a_fraction(ImageOps.exif_transpose(pixels), reduce, depth)
        with image:
            check_size(image.height, image.width)
            raw = _raw_mode(image)
            with complaints() as heard:
                _load(image, heard, header)
            is_cut = depth.range_of("uint16") != FULL_RANGES["uint16"]
            colours = _deep_colours(image, raw, data, header.format) if is_cut else None
            if colours is None:
                return _at_a_fraction(image, reduce, depth)
            levels = Image.fromarray(depth.levels(colours, "uint16"))
            if image.mode == "RGBA":
                levels.putalpha(image.getchannel("A"))
            return _at_a_fraction(levels, reduce, depth)


def deep_samples(data: bytes, header: Header) -> Samples | None:
    """The samples of an image of more than 8 bits; None of any other."""
    with without_pillow_warnings(), image_errors(str(header)):
        image = _opened(data, header)
        if image is None:
            return tiff_samples(data)
        with image:
            check_size(image.height, image.width)
            raw = _raw_mode(image)
            with complaints():  # they are told where the photo is decoded
                colours = _deep_colours(image, raw, data, header.format)
                return _grey_samples(image) if colours is None else Samples("uint16", colours)


def _load(image: Image.Image, heard: list[str], header: Header) -> None:
    """Decode it; what libtiff complains of meanwhile says more than Pillow does."""
    try:
        image.load()
    except OSError:
        if not heard:
            raise
    if heard:
        raise undecodable(heard[0], str(header))


def _opened(data: bytes, header: Header) -> ImageFile | None:
    """The image, not decoded yet; None of a TIFF that Pillow does not read, or reads wrongly."""
    if header.format != "tiff":
        return opened(data, header.format)
    try:
        image = TiffImageFile(BytesIO(data))
    except Exception:  # it is no kind that Pillow knows, or damaged: tifffile tells
        log.debug("Pillow does not open this TIFF", exc_info=True)
        return None
    return None if is_read_wrongly(image) else image


def _at_a_fraction(
    image: Image.Image, reduce: Callable[[int, int], int], depth: Depth
) -> DecodedImage:
    """An image's pixels: of a very large one fewer, if it may be reduced."""
    is_large = image.height * image.width > LARGE
    reduction = reduce(image.height, image.width) if is_large else 1
    return DecodedImage(rgb(image, reduction, depth), image.height, image.width, reduction)


def rgb(image: Image.Image, reduction: int = 1, depth: Depth = _FULL) -> npt.NDArray[np.uint8]:
    """An image of any mode as `h w 3`, alpha laid over white, and at a fraction of its size."""
    deep = _grey_samples(image)
    if deep is not None:
        levels = depth.levels(deep.values, deep.kind)
        image = Image.fromarray(255 - levels if deep.zero_is_white else levels)
    if image.height <= _BAND:
        return np.array(_over_white(image, reduction))
    size = -(-image.height // reduction), -(-image.width // reduction), 3
    pixels = np.empty(size, np.uint8)
    for top in range(0, image.height, _BAND):
        rows = image.crop((0, top, image.width, min(top + _BAND, image.height)))
        band = np.asarray(_over_white(rows, reduction))
        pixels[top // reduction : top // reduction + len(band)] = band
    return pixels


def _over_white(image: Image.Image, reduction: int) -> Image.Image:
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    image = image.convert("RGB")
    return image.reduce(reduction) if reduction > 1 else image


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


def _deep_colours(
    image: ImageFile, raw: str, data: bytes, format: str
) -> npt.NDArray[np.uint16] | None:
    """The colours of an image of 16 bits a sample, `h w 3`; None of any other.

    `raw` is how they are stored, which an image that has been decoded does not tell any more.

    Pillow keeps the upper byte of each sample only (python-pillow/Pillow#1888). Asked for the other
    byte order it keeps the lower one.
    """
    if raw == "LA;16B":  # grey and alpha: four bytes, which pass for four samples of a byte
        with opened(data, format) as other:
            other.tile = [_with_raw_mode(tile, "RGBA") for tile in other.tile]
            pairs = np.asarray(other).astype(np.uint16)
        grey = pairs[..., 0] << 8 | pairs[..., 1]
        return np.repeat(grey[..., None], 3, axis=2)  # h w -> h w 3
    layout, _, order = raw.partition(";")
    if layout not in ("RGB", "RGBX", "RGBA") or order not in _SWAPPED:
        return None
    with opened(data, format) as other:
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
