"""JPEG by libjpeg-turbo, and which of its warnings are damage.

One rule: a photo is sound if its pixels are those of libjpeg-turbo and none of them is made up. So
rows that are missing and entropy-coded data that make no sense are damage; whatever is wrong with
segments that no pixel depends on is not, and is left out of what the decoder is given. Its warnings
(`jerror.h`) are:

    unknown JFIF revision, thumbnail size    harmless: the segment is written anew
    unknown Adobe color transform code       harmless: read as YCbCr, as by every decoder
    bad ICC marker                           harmless: no profile is used
    extraneous bytes before a segment        harmless: all rows come after it
    extraneous bytes before the end          harmless: all rows came before it
    Invalid SOS parameters for sequential    harmless: such a scan has no parameters
    Premature end of JPEG file               harmless if all rows are there, which is tried
    extraneous bytes before RSTn or a scan   damage: a row ended before its data did
    found marker instead of RSTn             damage: rows are lost
    premature end of data segment            damage: rows are lost
    bad Huffman code, bad arithmetic code    damage
    Inconsistent progression sequence        damage: a scan is lost, or is there twice
"""

import struct
from contextlib import suppress

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image

from budwood.errors import ImageError
from budwood.images.formats import TRUNCATED, Header, is_frame, jpeg_segments, undecodable

JUNK = "bytes between the segments that belong to none, or a bad profile"
NO_END = "no end marker, but all rows"
TRAILING = "bytes after the last row that belong to nothing"
"""What is odd about JPEGs that are sound all the same."""

_BEFORE_THE_END = "extraneous bytes before marker 0xd9"


def decode_jpeg(
    data: bytes, header: Header, reduction: int = 1
) -> tuple[npt.NDArray[np.uint8], str | None] | None:
    """The photo `h w 3` as stored, at a fraction of its size, and what is odd about it.

    None if libjpeg-turbo will not judge it (an odd sampling of colours): that is no damage.
    """
    if header.has_end:
        with suppress(ValueError):  # what of it is damage is seen once the segments are in order
            return _decoded(data, header, reduction), None
    data = _in_order(data, header)
    try:
        return _decoded(data, header, reduction), JUNK if header.has_end else NO_END
    except ValueError as error:
        reason = str(error)
    if not header.has_end and reason.startswith(("Premature", "Corrupt")):
        raise ImageError(TRUNCATED)
    if reason.endswith(_BEFORE_THE_END):  # only the first warning is told, so there was no other
        return _decoded(data, header, reduction, is_strict=False), TRAILING
    if reason.startswith(("Corrupt", "Inconsistent")):
        raise undecodable(reason, str(header))
    return None


def _in_order(data: bytes, header: Header) -> bytes:
    """The JPEG with nothing but what decides its pixels, and with an end."""
    parts = [b"\xff\xd8"]
    scan, rows = 0, len(data)
    for marker, start, end in jpeg_segments(data):
        body = data[start:end]
        if is_frame(marker):  # the height may stand after the scan
            body = body[:1] + struct.pack(">HH", header.height, header.width) + body[5:]
        elif marker == 0xE0 and body.startswith(b"JFIF\0") and len(body) >= 14:
            body = b"JFIF\0\1\1\0\0\1\0\1\0\0"
        elif marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
            transform = (2 if header.components == 4 else 1) if body[11] else 0
            body = body[:11] + bytes([transform])
        elif marker == 0xDA:
            body = body if header.is_progressive else body[:-3] + b"\0\x3f\0"
            scan, rows = start - 4, end
        elif 0xE0 <= marker <= 0xEF or marker == 0xFE:  # of applications, and comments
            continue
        parts += [bytes([0xFF, marker]), struct.pack(">H", len(body) + 2), body]
    if header.has_end:
        return b"".join([*parts, data[rows:]])
    if not _has_all_scans(data, scan, header):
        raise ImageError(TRUNCATED)
    # Zeros are what a file system leaves of what was not written.
    coded = data[rows:].rstrip(b"\0")
    return b"".join([*parts, coded, b"\0" * coded.endswith(b"\xff"), b"\xff\xd9"])


def _has_all_scans(data: bytes, scan: int, header: Header) -> bool:
    """Whether every coefficient of every component is there to its last bit, from `scan` on."""
    there: set[tuple[int, int]] = set()
    while scan >= 0:
        start = scan + 5
        end = start + 2 * int.from_bytes(data[scan + 4 : start], "big")
        if end + 3 > len(data):
            return False
        first, last, bits = data[end : end + 3] if header.is_progressive else (0, 63, 0)
        if bits & 0x0F == 0:
            there |= {(c, k) for c in data[start:end:2] for k in range(first, last + 1)}
        scan = data.find(b"\xff\xda", end)
    return len(there) >= 64 * header.components


def _decoded(
    data: bytes, header: Header, reduction: int, *, is_strict: bool = True
) -> npt.NDArray[np.uint8]:
    """Raises `ValueError` at the first warning if `is_strict`."""
    height, width = (header.height, header.width) if reduction > 1 else (0, 0)
    pixels: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(
        data,
        "CMYK" if header.components == 4 else "RGB",
        min_height=-(-(height or 0) // reduction),
        min_width=-(-(width or 0) // reduction),
        strict=is_strict,
    )
    if header.components == 4:  # Adobe's inks are stored inverted, and all of CMYK is Adobe's
        return np.asarray(Image.fromarray(255 - pixels, "CMYK").convert("RGB"))
    return pixels
