"""The careful way to decode: every format and mode, by Pillow, to 8-bit RGB over white."""

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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
_DEEP_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")


def decode_with_pillow(
    data: bytes, format: str, check_size: Callable[[int, int], None]
) -> npt.NDArray[np.uint8]:
    """The photo's first frame as `h w 3`, as stored; only a TIFF is already turned upright.

    Args:
        data: The bytes of the file.
        format: One of the formats of `Header`.
        check_size: Called with height and width before any pixel is decoded.

    Raises:
        PhotoError: If Pillow cannot read it to its end.
    """
    try:
        with without_pillow_warnings(), _OPENERS[format](BytesIO(data)) as image:
            check_size(image.height, image.width)
            image.load()
            return rgb(image)
    except (PhotoError, MemoryError):
        raise
    except Exception as error:  # Pillow's plugins raise nearly every class there is
        raise _in_plain_words(error) from None


def rgb(image: Image.Image) -> npt.NDArray[np.uint8]:
    """An image of any mode as `h w 3`, alpha laid over white."""
    if image.mode in _DEEP_MODES:
        image = Image.fromarray(eight_bits(np.asarray(image)))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.array(image.convert("RGB"))


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
