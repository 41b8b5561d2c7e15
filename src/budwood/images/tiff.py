"""TIFF: what libtiff complains of while Pillow decodes one, and those that Pillow does not read.

libtiff speaks on the process's stderr, from C and without a file's name, and often goes on with
rows that it made up. Here its complaints are handed to the thread that decodes, where Pillow brings
libtiff as a library of its own (its wheels for Linux and macOS do); elsewhere it speaks as before.

Through tifffile go 16-bit colour in separate planes (python-pillow/Pillow#4641), 10, 12 and 14
bits, half and double precision, float or 32-bit colour, and BigTIFF of the other byte order.
Compression other than deflate would need `imagecodecs`: such a photo is refused by its kind.
"""

import ctypes
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from budwood.errors import ImageError
from budwood.images.depth import FULL_RANGES, Depth, Samples, eight_bits
from budwood.images.formats import TRUNCATED, check_size, undecodable

if TYPE_CHECKING:
    from tifffile import TiffPage

_Handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)


class _Messages(threading.local):
    heard: list[str] | None = None


_of_thread = _Messages()


@contextmanager
def complaints() -> Iterator[list[str]]:
    """What libtiff complains of within, in this thread; numbers are left out of its sentences."""
    _listen()
    heard: list[str] = []
    _of_thread.heard = heard
    try:
        yield heard
    finally:
        _of_thread.heard = None


@cache
def _listen() -> tuple[Any, ...]:
    """Both handlers of libtiff are ours from now on; what is returned must be kept."""
    root = Path(PIL.__file__).parent
    places = [*root.parent.glob("pillow.libs/libtiff*"), *root.glob(".dylibs/libtiff*")]
    if not places:
        return ()
    library = ctypes.CDLL(str(places[0]))
    on_error, on_warning = _Handler(_on_error), _Handler(_on_warning)
    for name, handler in (("Error", on_error), ("Warning", on_warning)):
        setter = getattr(library, f"TIFFSet{name}Handler")
        setter.restype = ctypes.c_void_p
        setter(handler)
    return library, on_error, on_warning


def _on_error(module: bytes | None, format: bytes | None, values: int | None) -> None:
    if _of_thread.heard is not None:
        where, what = ((words or b"").decode(errors="replace") for words in (module, format))
        _of_thread.heard.append(f"{where}: {re.sub('%[a-z]+', '...', what)}")


def _on_warning(module: bytes | None, format: bytes | None, values: int | None) -> None:
    """Unknown tags are no damage; rows of a fax that are too short are."""
    if (module or b"").startswith(b"Fax"):
        _on_error(module, format, values)


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


def read_tiff(data: bytes, depth: Depth) -> tuple[Image.Image, int]:
    """The first page as an 8-bit image as stored, and its orientation."""
    with _first_page(data) as page:
        orientation = page.tags.get(274)
        return _image(page, depth), 1 if orientation is None else int(orientation.value)


def tiff_samples(data: bytes) -> Samples | None:
    """The samples of the first page, if they have more than 8 bits and the file does not say what
    is black and white."""
    with _first_page(data) as page:
        values, mode = _values(page), _MODES[page.photometric]
        kind = _kind(page, values)
        if kind is None:
            return None
        colours = values[..., 0] if mode == "L" else values[..., : _CHANNELS[mode]]
        return Samples(kind, colours, zero_is_white=page.photometric == _MIN_IS_WHITE)


@contextmanager
def _first_page(data: bytes) -> "Iterator[TiffPage]":
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
            raise ImageError(TRUNCATED)
        try:
            yield page
        except (ValueError, NotImplementedError) as error:
            if "imagecodecs" not in str(error):
                raise
            raise _unread(page, "its compression is not read") from None


def _image(page: "TiffPage", depth: Depth) -> Image.Image:
    """A page as an image; the first further channel may be alpha."""
    values, mode = _values(page), _MODES[page.photometric]
    kind = _kind(page, values)

    def levels(some: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        if kind is not None:
            return depth.levels(some, kind)
        return eight_bits(some, 0, 2.0**page.bitspersample - 1)

    pixels = levels(values[..., : _CHANNELS[mode]])
    if page.photometric == _MIN_IS_WHITE:
        pixels = 255 - pixels
    image = Image.fromarray(pixels[..., 0] if mode == "L" else pixels, mode)
    if mode == "RGB" and page.extrasamples and page.extrasamples[0] == _UNASSOCIATED:
        image.putalpha(Image.fromarray(levels(values[..., 3])))
    return image


def _kind(page: "TiffPage", values: npt.NDArray[Any]) -> str | None:
    """The kind of deep sample, see `depth.py`; None where black and white are known."""
    if page.bitspersample == 12:
        return "uint12"
    if page.bitspersample not in _USUAL_BITS or values.dtype.itemsize == 1:
        return None
    name = "float" if values.dtype.kind == "f" else values.dtype.name
    if name not in FULL_RANGES:
        raise _unread(page, f"{name} values are not read")
    return name


def _values(page: "TiffPage") -> npt.NDArray[Any]:
    """The values as stored, `h w c`."""
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
    return np.concatenate(parts)


def _unread(page: "TiffPage", reason: str) -> ImageError:
    compression = getattr(page.compression, "name", page.compression)
    kind = "float" if page.sampleformat == 3 else "bits"
    return ImageError(
        f"The photo is a TIFF ({page.imagewidth} x {page.imagelength}, {page.samplesperpixel} "
        f"channels, {page.bitspersample} {kind}, compression {compression}) that cannot be read: "
        f"{reason}.",
        next="Convert it, for example: magick FILE out.png.",
    )
