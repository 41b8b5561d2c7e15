"""What the first bytes of a photo say, read in microseconds: its format, size, orientation, and
whether libjpeg-turbo, the fastest decoder, reads it as it should be read.

It reads nothing but JPEG, and pays no heed to EXIF; the inks of CMYK, of which there are several
kinds, are left to Pillow. So only RGB and grey JPEG are `is_plain`, and orientation is read here.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from budwood.errors import PhotoError

TRUNCATED = "The photo ends too early (truncated)."


def undecodable(reason: str) -> PhotoError:
    """The error of a photo that looks like one but that no decoder reads."""
    return PhotoError(f"The photo is damaged or of a rare kind: {reason.rstrip('.')}.")


@dataclass(frozen=True)
class Header:
    """What a photo is before it is decoded."""

    format: str
    """`jpeg`, `png`, `webp`, `gif`, `bmp` or `tiff`."""
    height: int | None = None
    """Stored rows, before the photo is turned upright; None where Pillow has to say."""
    width: int | None = None
    """Stored columns, likewise."""
    orientation: int = 1
    """The EXIF orientation, 1 to 8; 1 is upright."""
    is_plain: bool = False
    """Whether libjpeg-turbo reads it as it should be read."""


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
    for signature, name in _LEFT_TO_PILLOW.items():
        if data.startswith(signature):
            return Header(name)
    raise _not_a_photo(data)


_LEFT_TO_PILLOW = {
    b"GIF87a": "gif",
    b"GIF89a": "gif",
    b"BM": "bmp",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",
    b"MM\0+": "tiff",
}


def _jpeg(data: bytes) -> Header:
    """Size and EXIF stand before the scan; after it there must be an end-of-image marker.

    Inside a scan FF is always followed by 00 or a restart, so the marker cannot appear by chance;
    before it stands the thumbnail, with an end of its own. Bytes after the end are fine: phones
    append a film or a depth map.
    """
    orientation, size, at = 1, None, 2
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
        if marker in (0xDA, 0xD9):
            break
        body = data[at + 4 : at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")]
        if marker == 0xE1 and body.startswith(b"Exif\0\0"):
            orientation = exif_orientation(body[6:])
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and len(body) >= 6:
            size = struct.unpack(">HHB", body[1:6])
        at += 4 + len(body)
    if size is None or data.rfind(b"\xff\xd9", at) < 0:
        raise PhotoError(TRUNCATED)
    height, width, components = size
    return Header("jpeg", height, width, orientation, is_plain=components in (1, 3))


def _png(data: bytes) -> Header:
    orientation = 1
    for name, start, end in _png_chunks(data):
        if name == b"eXIf":
            orientation = exif_orientation(data[start:end])
    if data[12:16] != b"IHDR":
        raise undecodable("a PNG that does not begin with its header")
    width, height = struct.unpack(">II", data[16:24])
    return Header("png", height, width, orientation)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of each chunk's content, up to `IEND`."""
    at, name = 8, b""
    while name != b"IEND":
        if at + 12 > len(data):
            raise PhotoError(TRUNCATED)
        start, name = at + 8, data[at + 4 : at + 8]
        end = start + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            raise PhotoError(TRUNCATED)
        yield name, start, end
        at = end + 4  # a checksum follows


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


def _not_a_photo(data: bytes) -> PhotoError:
    if not data:
        return PhotoError("The photo is empty.", next="Copy the file again.")
    start = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not any(data):
        return PhotoError("The photo holds nothing but zeros.", next="Copy the file again.")
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        return PhotoError(
            "The file is a web page (HTML), not a photo.",
            next="Its download went wrong: fetch the photo itself.",
        )
    if data[4:8] == b"ftyp":
        return PhotoError(
            "The file is a HEIC or AVIF photo or a film, which is not read.",
            next="Save it as JPEG.",
        )
    if _is_text(data[:4096]):
        return PhotoError("The file is text, not a photo.", next="Remove it or fetch the photo.")
    return PhotoError(
        f"The file is not a photo: it begins with the bytes {data[:4].hex(' ')}.",
        expected="JPEG, PNG, WebP, GIF, BMP and TIFF are read.",
    )


def _is_text(start: bytes) -> bool:
    controls = bytes(set(range(32)) - set(b"\t\n\r\f\x1b"))
    return not set(start) & set(controls) and b"\x7f" not in start
