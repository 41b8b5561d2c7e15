"""The TIFFs that Pillow reads wrongly or not at all, by tifffile.

These are 16-bit colour in separate planes (python-pillow/Pillow#4641), 10, 12 and 14 bits, half and
double precision, float or 32-bit colour, and BigTIFF of the other byte order. Compression other
than deflate would need `imagecodecs`: such a photo is refused with a word on what it is.
"""

import logging
from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from budwood.errors import PhotoError
from budwood.images.unreadable import TRUNCATED, undecodable

if TYPE_CHECKING:
    from tifffile import TiffPage

_BITS, _COMPRESSION, _PLANES = 258, 259, 284
_USUAL_BITS = (1, 2, 4, 8, 16, 32, 64)
_MODES = {0: "L", 1: "L", 2: "RGB", 5: "CMYK"}
"""Of each reading of the values that is known; white may be 0."""
_CHANNELS = {"L": 1, "RGB": 3, "CMYK": 4}
_MIN_IS_WHITE, _UNASSOCIATED = 0, 2


def is_read_wrongly(image: TiffImageFile) -> bool:
    """Whether Pillow, which opened it, would give other pixels than there are."""
    bits = image.tag_v2.get(_BITS, (1,))
    is_split = image.tag_v2.get(_PLANES, 1) == 2 and image.tag_v2.get(_COMPRESSION, 1) == 1
    return bits[0] not in _USUAL_BITS or (is_split and len(bits) > 1 and bits[0] > 8)


def read_tiff(
    data: bytes,
    check_size: Callable[[int, int], None],
    eight_bits: Callable[[npt.NDArray[Any]], npt.NDArray[np.uint8]],
) -> tuple[Image.Image, int]:
    """The first page as an 8-bit image as stored, and its orientation.

    Args:
        data: The bytes of the file.
        check_size: Called with height and width before any pixel is decoded.
        eight_bits: From values of any type to 0 to 255.

    Raises:
        PhotoError: If it is of a kind that is not read, or ends too early.
        Exception: Whatever tifffile raises of a damaged file.
    """
    import tifffile  # takes a third of a second, and few photos need it

    logging.getLogger("tifffile").addHandler(logging.NullHandler())  # else it writes to stderr
    with tifffile.TiffFile(BytesIO(data)) as file:
        page = file.pages.first
        check_size(page.imagelength, page.imagewidth)
        mode = _MODES.get(page.photometric)
        if mode is None or page.imagedepth != 1 or page.samplesperpixel < _CHANNELS[mode]:
            raise _unread(page, "its colours are of a rare kind")
        if not 0 < len(page.dataoffsets) == len(page.databytecounts):
            raise undecodable("it does not say where its pixels are", "TIFF")
        ends = zip(page.dataoffsets, page.databytecounts, strict=True)
        if max(start + length for start, length in ends) > len(data):
            raise PhotoError(TRUNCATED)
        try:
            values = _values(page)
        except (ValueError, NotImplementedError) as error:
            if "imagecodecs" not in str(error):
                raise
            raise _unread(page, "its compression is not read") from None
        orientation = page.tags.get(274)
        image = _image(values, mode, page, eight_bits)
        return image, 1 if orientation is None else int(orientation.value)


def _image(
    values: npt.NDArray[Any],
    mode: str,
    page: "TiffPage",
    eight_bits: Callable[[npt.NDArray[Any]], npt.NDArray[np.uint8]],
) -> Image.Image:
    """Values `h w c` as an image; the first further channel may be alpha."""
    colours = _CHANNELS[mode]
    pixels = eight_bits(values[..., :colours])
    if page.photometric == _MIN_IS_WHITE:
        pixels = 255 - pixels
    image = Image.fromarray(pixels if colours > 1 else pixels[..., 0], mode)
    if mode == "RGB" and page.extrasamples and page.extrasamples[0] == _UNASSOCIATED:
        image.putalpha(Image.fromarray(eight_bits(values[..., 3])))
    return image


def _values(page: "TiffPage") -> npt.NDArray[Any]:
    """The values as stored, `h w c`; whole numbers of odd widths are scaled to 16 bits."""
    shape = page.imagelength, page.imagewidth, page.samplesperpixel
    is_planar = page.planarconfig == 2 and shape[2] > 1
    if page.bitspersample in _USUAL_BITS:
        values = page.asarray(maxworkers=1)
    else:
        values = _unpacked(page, shape[1] * (1 if is_planar else shape[2]))
    if is_planar:
        return np.moveaxis(values.reshape(shape[2], *shape[:2]), 0, 2)
    return values.reshape(shape)


def _unpacked(page: "TiffPage", row: int) -> npt.NDArray[np.uint16]:
    """Values of 10, 12 or 14 bits, `row` of them in each line of whole bytes."""
    bits = page.bitspersample
    if page.is_tiled or page.compression != 1 or not 8 < bits < 16:
        raise _unread(page, f"{bits} bits are read only in strips without compression")
    line = -(-row * bits // 8)
    weights = 1 << np.arange(bits - 1, -1, -1, dtype=np.uint16)
    parts = []
    for start, length in zip(page.dataoffsets, page.databytecounts, strict=True):
        page.parent.filehandle.seek(start)
        lines = np.frombuffer(page.parent.filehandle.read(length), np.uint8)
        ones = np.unpackbits(lines[: len(lines) // line * line].reshape(-1, line), axis=1)
        parts.append(ones[:, : row * bits].reshape(-1, row, bits) @ weights)
    values = np.concatenate(parts).astype(np.uint32)
    return np.asarray(values * 65535 // (2**bits - 1), np.uint16)


def _unread(page: "TiffPage", reason: str) -> PhotoError:
    compression = getattr(page.compression, "name", page.compression)
    kind = "float" if page.sampleformat == 3 else "bits"
    return PhotoError(
        f"The photo is a TIFF ({page.imagewidth} x {page.imagelength}, {page.samplesperpixel} "
        f"channels, {page.bitspersample} {kind}, compression {compression}) that cannot be read: "
        f"{reason}.",
        next="Convert it, for example: magick FILE out.png.",
    )
