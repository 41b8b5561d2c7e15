"""The careful way to decode: every format and mode, by Pillow, to 8-bit RGB over white."""

import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from budwood.errors import PhotoError
from budwood.images.headers import Decoded, Header
from budwood.images.libtiff import complaints
from budwood.images.tiff import is_read_wrongly, read_tiff
from budwood.images.unreadable import TRUNCATED, undecodable

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
_ORIENTATION = 0x0112
log = logging.getLogger("budwood")
logging.getLogger("PIL").addHandler(logging.NullHandler())  # its errors went to stderr otherwise
_NO_REASON = r"decoder error -?\d+|broken data stream when reading image file"
_DEEP_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")


LARGE = 50_000_000
"""Pixels; larger photos are made smaller before they leave Pillow, if they may be."""
_BAND = 256
"""Rows that are turned into RGB at a time: the whole would be there twice."""


def decode_with_pillow(
    data: bytes,
    header: Header,
    check_size: Callable[[int, int], None],
    reduce: Callable[[int, int], int],
) -> Decoded:
    """The photo's first frame as stored; only a TIFF is already turned upright.

    Args:
        data: The bytes of the file.
        header: What they say.
        check_size: Called with height and width before any pixel is decoded.
        reduce: By how much a photo of that height and width, as stored, may be reduced.

    Raises:
        PhotoError: If Pillow cannot read it to its end.
    """
    try:
        with without_pillow_warnings(), _opened(data, header, check_size) as image:
            check_size(image.height, image.width)
            with complaints() as heard:
                _load(image, heard, header)
            is_large = image.height * image.width > LARGE
            reduction = reduce(image.height, image.width) if is_large else 1
            return Decoded(rgb(image, reduction), image.height, image.width, reduction)
    except (PhotoError, MemoryError):
        raise
    except Exception as error:  # Pillow's plugins raise nearly every class there is
        raise _in_plain_words(error, header) from None


def _load(image: Image.Image, heard: list[str], header: Header) -> None:
    """Decode it; what libtiff complains of meanwhile says more than Pillow does."""
    try:
        image.load()
    except OSError:
        if not heard:
            raise
    if heard:
        raise undecodable(heard[0], str(header))


def _opened(data: bytes, header: Header, check_size: Callable[[int, int], None]) -> Image.Image:
    """The image, not decoded yet; of a TIFF that Pillow does not read it is decoded."""
    if header.format != "tiff":
        return _OPENERS[header.format](BytesIO(data))
    try:
        image = TiffImageFile(BytesIO(data))
        if not is_read_wrongly(image):
            return image
    except Exception:  # it is no kind that Pillow knows, or damaged: tifffile tells
        log.debug("Pillow does not open this TIFF", exc_info=True)
    pixels, orientation = read_tiff(data, check_size, eight_bits)
    pixels.getexif()[_ORIENTATION] = orientation
    return ImageOps.exif_transpose(pixels)


def rgb(image: Image.Image, reduction: int = 1) -> npt.NDArray[np.uint8]:
    """An image of any mode as `h w 3`, alpha laid over white, and at a fraction of its size."""
    if image.mode in _DEEP_MODES:
        image = Image.fromarray(eight_bits(np.asarray(image)))
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


def eight_bits(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Deep grey values as 0 to 255.

    16-bit integers span their whole type. Everything deeper says nothing about its span, so the
    values tell: within 0 and 1 (fractions only), 255 or 65535 that is the span, otherwise the
    photo's own darkest and brightest value are. NaN counts as the darkest.

    Example:
        >>> eight_bits(np.array([[0.0, 0.5, 1.0]]))
        array([[  0, 128, 255]], dtype=uint8)
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise PhotoError("The photo holds no number, only NaN or infinity.")
    low, high = float(finite.min()), float(finite.max())
    spans = [1.0] * (values.dtype.kind == "f") + [255.0, 65535.0]
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        spans = [65535.0]
    fitting = [(0.0, span) for span in spans if low >= 0 and high <= span]
    dark, bright = fitting[0] if fitting else (low, high)
    known = np.nan_to_num(values.astype(np.float64), nan=dark)
    scaled = (known - dark) / ((bright - dark) or 1.0)  # of one value only: black
    return np.asarray(np.rint(scaled.clip(0, 1) * 255), dtype=np.uint8)


def _in_plain_words(error: Exception, header: Header) -> PhotoError:
    text = str(error) or type(error).__name__
    if isinstance(error, EOFError) or "truncated" in text.lower():
        return PhotoError(TRUNCATED)
    log.debug("Pillow does not read this photo", exc_info=error)
    text = re.sub(_NO_REASON, "its pixels cannot be decoded", text.rstrip("."))
    return undecodable(f"{text} ({type(error).__name__})", str(header))


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
