"""What the bytes of a photo say before it is decoded, read in microseconds: its format, its size,
and how it lies. Orientation is read here because libjpeg-turbo pays no heed to EXIF.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from budwood.arrays import Photo
from budwood.errors import PhotoError
from budwood.images.png import png_chunks
from budwood.images.tags import COLUMNS, ROWS, SUBFILE, directory
from budwood.images.tags import exif_orientation as exif_orientation
from budwood.images.unreadable import TRUNCATED, not_a_photo, undecodable

MULTI_PAGE = "several pages or channels, of which the first is used"
"""What is odd about a TIFF with more pages than one."""


@dataclass(frozen=True)
class Header:
    """What a photo is before it is decoded."""

    format: str
    """`jpeg`, `png`, `webp`, `gif`, `bmp` or `tiff`."""
    height: int | None = None
    """Stored rows, before the photo is turned upright; None of a TIFF that does not say."""
    width: int | None = None
    """Stored columns, likewise."""
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
        size = "" if self.height is None else f" ({self.width} x {self.height})"
        return f"{self.format.upper() if self.format != 'webp' else 'WebP'}{size}"


@dataclass(frozen=True)
class Decoded:
    """A photo, perhaps at a reduced size."""

    photo: Photo
    height: int
    """Of the photo at its full size, upright."""
    width: int
    """Likewise."""
    reduction: int = 1
    """How many pixels of the full size lie along one of `photo`; the last may be cut off."""


def read_header(data: bytes) -> Header:
    """The photo's format, size and orientation, from its bytes.

    Raises:
        PhotoError: If the bytes are no photo, are cut off, or are of a format that is not read.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp(data)
    if data.startswith((b"GIF87a", b"GIF89a")):
        return _gif(data)
    if data.startswith(b"BM"):
        return _bmp(data)
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return _tiff(data)
    raise not_a_photo(data)


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment's content, up to the first scan or the end.

    What lies between two segments is skipped, as every decoder does.

    Raises:
        PhotoError: If the bytes end before a scan begins.
    """
    at = 2
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 4 > len(data):
            raise PhotoError(TRUNCATED)
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
        raise PhotoError(TRUNCATED)
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
        if name == b"IDAT" and zlib.crc32(view[start - 4 : end]) != _number(view, end):
            raise undecodable("the checksum of its pixels is wrong", "PNG")
    if data[12:16] != b"IHDR":
        raise undecodable("a PNG that does not begin with its header")
    width, height = struct.unpack(">II", data[16:24])
    return Header("png", height, width, orientation)


def _number(data: memoryview, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def _webp(data: bytes) -> Header:
    if len(data) < 25 or 8 + int.from_bytes(data[4:8], "little") > len(data):
        raise PhotoError(TRUNCATED)
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = (
            value & 0x3FFF for value in struct.unpack("<HH", data[26:30].ljust(4, b"\0"))
        )
        return Header("webp", height, width)
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
        raise PhotoError(TRUNCATED)
    width, height = struct.unpack("<HH", data[6:10])
    return Header("gif", height, width)


def _bmp(data: bytes) -> Header:
    """The oldest header has sides of two bytes; rows from the top down have a negative height."""
    if len(data) < 26:
        raise PhotoError(TRUNCATED)
    is_oldest = int.from_bytes(data[14:18], "little") == 12
    width, height = struct.unpack("<HH" if is_oldest else "<ii", data[18 : 22 if is_oldest else 26])
    return Header("bmp", abs(height), width)


def _tiff(data: bytes) -> Header:
    """Its size, and whether there are further pages but smaller copies and masks."""
    try:
        tags, following = directory(data)
        further = directory(data, following)[0] if following else {SUBFILE: 1}
    except struct.error:  # cut off, or damaged: the decoder will say
        return Header("tiff")
    oddity = MULTI_PAGE if not further.get(SUBFILE, 0) & 0b101 else None
    return Header("tiff", tags.get(ROWS), tags.get(COLUMNS), oddity=oddity)
