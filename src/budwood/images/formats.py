"""What the first bytes of an image say: its format, size and orientation; and what is wrong."""

import logging
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from budwood.arrays import ImageArray
from budwood.errors import ImageError

TRUNCATED = "The photo ends too early (truncated)."
MEGAPIXELS = 200
"""Photos with more are refused before they are decoded: a few kilobytes can unfold to terabytes."""
_NO_REASON = r"decoder error -?\d+|broken data stream when reading image file"
log = logging.getLogger("budwood")


def check_size(height: int, width: int) -> None:
    """Raise unless a photo has pixels, and not too many of them."""
    if height < 1 or width < 1:
        raise ImageError(
            f"The header of the photo says that it has {width} x {height} pixels.",
            next="Open it in an image program and save it again, or copy the file again.",
        )
    if height * width > MEGAPIXELS * 1e6:
        raise ImageError(
            f"The photo has {height * width / 1e6:,.0f} megapixels ({width} x {height}).",
            expected=f"At most {MEGAPIXELS:,.0f} megapixels are accepted.",
            next="Scale it down.",
        )


@contextmanager
def image_errors(kind: str) -> Iterator[None]:
    """Whatever a decoder raises within says that this photo cannot be read, and ends nothing else.

    Decoders, and Pillow's plugins above all, raise nearly every class there is.
    """
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        text = str(error) or type(error).__name__
        if isinstance(error, EOFError) or "truncated" in text.lower():
            raise ImageError(TRUNCATED) from None
        log.debug("A photo cannot be decoded", exc_info=error)
        text = re.sub(_NO_REASON, "its pixels cannot be decoded", text.rstrip("."))
        raise undecodable(f"{text} ({type(error).__name__})", kind) from None


def undecodable(reason: str, kind: str = "photo") -> ImageError:
    """The error of a photo that looks like one but that no decoder reads."""
    return ImageError(
        f"The {kind} is damaged or of a rare kind: {reason.rstrip('.')}.",
        next="If other programs show it, convert it, for example: magick FILE out.png.",
    )


def not_an_image(data: bytes) -> ImageError:
    """What a file is that does not begin as a photo does."""
    if not any(data):
        what = "holds nothing but zeros" if data else "is empty"
        return ImageError(f"The photo {what}.", next="Copy the file again.")
    start = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        return ImageError(
            "The file is a web page (HTML), not a photo.",
            next="Its download went wrong: fetch the photo itself.",
        )
    if data[4:8] == b"ftyp":
        return ImageError(
            "The file is a HEIC or AVIF photo or a film, which is not read.",
            next="Save it as JPEG.",
        )
    controls = set(range(32)) - set(b"\t\n\r\f\x1b") | {0x7F}
    if controls.isdisjoint(data[:4096]):
        return ImageError("The file is text, not a photo.", next="Remove it or fetch the photo.")
    return ImageError(
        f"The file is not a photo: it begins with the bytes {data[:4].hex(' ')}.",
        expected="JPEG, PNG, WebP, GIF, BMP and TIFF are read.",
    )


SIDE_CHUNKS = "chunks beside the pixels that are damaged or too large"
"""What is odd about a PNG that is sound without them."""
_PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of each chunk's content, up to `IEND` or where the bytes end."""
    at, name, has_pixels = 8, b"", False
    while name != b"IEND":
        start, name = at + 8, data[at + 4 : at + 8]
        end = start + int.from_bytes(data[at : at + 4], "big")
        if len(name) < 4 or end + 4 > len(data):
            if has_pixels and name != b"IDAT":
                return
            raise ImageError(TRUNCATED)
        has_pixels |= name == b"IDAT"
        yield name, start, end
        at = end + 4  # a checksum follows


def without_side_chunks(data: bytes) -> bytes | None:
    """A PNG with nothing but what decides its pixels; None if there is nothing else.

    Pillow refuses a whole photo for a long text or profile, or a wrong checksum in one, though none
    is used (python-pillow/Pillow#5610, #8363, #2445).
    """
    chunks = list(png_chunks(data))
    kept = [chunk for chunk in chunks if chunk[0] in _PIXEL_CHUNKS]
    if len(kept) == len(chunks):
        return None
    return data[:8] + b"".join(data[start - 8 : end + 4] for _, start, end in kept)


_SUBFILE, _COLUMNS, _ROWS = 254, 256, 257
"""Tags: whether a page is a smaller copy (bit 0) or a mask (bit 2), and its size."""


def _directory(data: bytes, at: int | None = None) -> tuple[dict[int, int], int]:
    """The tags of a TIFF's page (the first, or that at `at`) that hold one whole number, and where
    the next page is, or 0."""
    order = "<" if data.startswith(b"II") else ">"
    is_big = data[2:4] in (b"+\0", b"\0+")
    offset, number, entry = ("Q", "Q", 20) if is_big else ("I", "H", 12)
    if at is None:
        (at,) = struct.unpack_from(order + offset, data, 8 if is_big else 4)
    (entries,) = struct.unpack_from(order + number, data, at)
    first = at + struct.calcsize(order + number)
    if entries * entry > len(data):
        raise struct.error
    tags = {}
    for place in range(first, first + entries * entry, entry):
        tag, kind = struct.unpack_from(order + "HH", data, place)
        if letter := {3: "H", 4: "I", 16: "Q"}.get(kind):
            (tags[tag],) = struct.unpack_from(order + letter, data, place + (12 if is_big else 8))
    (following,) = struct.unpack_from(order + offset, data, first + entries * entry)
    return tags, following


def exif_orientation(exif: bytes) -> int:
    """The orientation an EXIF block gives, 1 where it gives none that makes sense.

    Read here because Pillow warns of damaged blocks, which say nothing about the photo.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return 1
    try:
        (first,) = struct.unpack_from(order + "I", exif, 4)
        (entries,) = struct.unpack_from(order + "H", exif, first)
        for entry in range(entries):
            tag, _, _, value = struct.unpack_from(order + "HHIH", exif, first + 2 + 12 * entry)
            if tag == 0x0112:
                return value if 1 <= value <= 8 else 1
    except struct.error:  # the block is cut off before it says
        return 1
    return 1


MULTI_PAGE = "several pages or channels, of which the first is used"
"""What is odd about a TIFF with more pages than one."""


@dataclass(frozen=True)
class Header:
    """What a photo is before it is decoded."""

    format: str
    """`jpeg`, `png`, `webp`, `gif`, `bmp` or `tiff`."""
    height: int | None = None
    width: int | None = None
    """As stored, before the photo is turned upright; None of a TIFF that does not say."""
    orientation: int = 1
    """The EXIF orientation, 1 to 8; 1 is upright."""
    components: int = 3
    """Of a JPEG: 1 is grey, 3 is colour, 4 is ink."""
    is_progressive: bool = False
    """Of a JPEG: whether all of it is held as coefficients before there is a pixel."""
    has_end: bool = True
    """Of a JPEG: whether its end is marked."""
    oddity: str | None = None
    """What the user should know of a photo that can be read."""

    def __str__(self) -> str:
        name = "WebP" if self.format == "webp" else self.format.upper()
        return name if self.height is None else f"{name} ({self.width} x {self.height})"


@dataclass(frozen=True)
class DecodedImage:
    """A photo, perhaps at a reduced size."""

    image: ImageArray
    height: int
    width: int
    """Of the photo at its full size, upright."""
    reduction: int = 1
    """How many pixels of the full size lie along one of `image`; the last may be cut off."""


def read_header(data: bytes) -> Header:
    """The photo's format, size and orientation, from its bytes."""
    for format in FORMATS:
        if format.begins(data):
            return format.header(data)
    raise not_an_image(data)


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment's content, up to the first scan or the end.

    What lies between two segments is skipped, as every decoder does.
    """
    at = 2
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 4 > len(data):
            raise ImageError(TRUNCATED)
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD8:  # they have no body
            at += 2
            continue
        start = at + 4
        end = min(len(data), at + 2 + int.from_bytes(data[at + 2 : at + 4], "big"))
        yield marker, start, end
        if marker in (0xDA, 0xD9):
            return
        at = max(start, end)


def is_frame(marker: int) -> bool:
    """Whether a JPEG's marker is that of its frame, which tells its size."""
    return 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)


def _jpeg(data: bytes) -> Header:
    """Size and EXIF stand before the scan; after it there should be an end-of-image marker.

    Inside a scan FF is always followed by 00 or a restart, so the marker cannot appear by chance;
    before it stands the thumbnail, with an end of its own. Bytes after the end are fine: phones
    append a film or a depth map.
    """
    orientation, frame, scan = 1, None, len(data)
    for marker, start, end in jpeg_segments(data):
        scan = start
        if marker == 0xE1 and data.startswith(b"Exif\0\0", start, end):
            orientation = exif_orientation(data[start + 6 : end])
        elif is_frame(marker) and end - start >= 6:
            frame = marker, *struct.unpack(">HHB", data[start + 1 : start + 6])
    if frame is None:
        raise ImageError(TRUNCATED)
    marker, height, width, components = frame
    if height == 0:  # it is told after the first scan, drewnoakes/metadata-extractor#243
        told = data.find(b"\xff\xdc\0\x04", scan)
        height = int.from_bytes(data[told + 4 : told + 6], "big") if told >= 0 else 0
    return Header(
        "jpeg",
        height,
        width,
        orientation,
        components=components,
        is_progressive=marker in (0xC2, 0xC6, 0xCA, 0xCE),
        has_end=data.rfind(b"\xff\xd9", scan) >= 0,
    )


def _png(data: bytes) -> Header:
    """The checksums of its pixels are compared here: Pillow looks at those of other chunks only."""
    orientation, view = 1, memoryview(data)
    for name, start, end in png_chunks(data):
        if name == b"eXIf":
            orientation = exif_orientation(data[start:end])
        checksum = int.from_bytes(view[end : end + 4], "big")
        if name == b"IDAT" and zlib.crc32(view[start - 4 : end]) != checksum:
            raise undecodable("the checksum of its pixels is wrong", "PNG")
    if data[12:16] != b"IHDR":
        raise undecodable("a PNG that does not begin with its header")
    width, height = struct.unpack(">II", data[16:24])
    return Header("png", height, width, orientation)


def _webp(data: bytes) -> Header:
    if len(data) < 25 or 8 + int.from_bytes(data[4:8], "little") > len(data):
        raise ImageError(TRUNCATED)
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", data[26:30].ljust(4, b"\0"))
        return Header("webp", height & 0x3FFF, width & 0x3FFF)
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return Header("webp", (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1)
    width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    return Header("webp", height, width, _webp_orientation(data))


def _webp_orientation(data: bytes) -> int:
    at = 12
    while at + 8 <= len(data):
        start, length = at + 8, int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"EXIF":
            return exif_orientation(data[start : start + length].removeprefix(b"Exif\0\0"))
        at = start + length + length % 2
    return 1


def _gif(data: bytes) -> Header:
    """The size of the whole picture; a frame may be smaller."""
    if len(data) < 10:
        raise ImageError(TRUNCATED)
    width, height = struct.unpack("<HH", data[6:10])
    return Header("gif", height, width)


def _bmp(data: bytes) -> Header:
    """The oldest header has sides of two bytes; rows from the top down have a negative height."""
    if len(data) < 26:
        raise ImageError(TRUNCATED)
    is_oldest = int.from_bytes(data[14:18], "little") == 12
    width, height = struct.unpack("<HH" if is_oldest else "<ii", data[18 : 22 if is_oldest else 26])
    return Header("bmp", abs(height), width)


def _tiff(data: bytes) -> Header:
    """Its size, and whether there are further pages but smaller copies and masks."""
    try:
        tags, following = _directory(data)
        further = _directory(data, following)[0] if following else {_SUBFILE: 1}
    except struct.error:  # cut off, or damaged: the decoder will say
        return Header("tiff")
    oddity = MULTI_PAGE if not further.get(_SUBFILE, 0) & 0b101 else None
    return Header("tiff", tags.get(_ROWS), tags.get(_COLUMNS), oddity=oddity)


@dataclass(frozen=True)
class Format:
    """A format that is read: all that has to be known to read another one."""

    name: str
    suffixes: tuple[str, ...]
    magic: str
    """What a file begins with, a regular expression over bytes as Latin-1."""
    header: Callable[[bytes], Header]
    opener: Callable[[BytesIO], ImageFile]
    """Pillow's class for it. Not `Image.open`: it tries formats that nobody expects in a folder of
    images, and has a limit of its own, the same for the whole process."""

    def begins(self, data: bytes) -> bool:
        """Whether a file with these bytes is of this format."""
        return re.match(self.magic, data[:12].decode("latin-1"), re.DOTALL) is not None


FORMATS = (
    Format("jpeg", (".jpg", ".jpeg", ".jpe", ".jfif"), "\xff\xd8\xff", _jpeg, JpegImageFile),
    Format("png", (".png",), "\x89PNG\r\n\x1a\n", _png, PngImageFile),
    Format("webp", (".webp",), "RIFF....WEBP", _webp, WebPImageFile),
    Format("gif", (".gif",), "GIF8[79]a", _gif, GifImageFile),
    Format("bmp", (".bmp",), "BM", _bmp, BmpImageFile),
    Format("tiff", (".tif", ".tiff"), "II[*+]\0|MM\0[*+]", _tiff, TiffImageFile),
)


def opened(data: bytes, format: str) -> ImageFile:
    """A file of a format, opened by Pillow's class for it."""
    return next(each for each in FORMATS if each.name == format).opener(BytesIO(data))


def is_image_name(name: str) -> bool:
    """True for the name of a file that ends as images of a format do."""
    return name.lower().endswith(tuple(suffix for each in FORMATS for suffix in each.suffixes))
