"""The directory of tags that a TIFF begins with, and the EXIF block of every other format."""

import struct

SUBFILE, COLUMNS, ROWS = 254, 256, 257
"""Tags: whether a page is a smaller copy (bit 0) or a mask (bit 2), and its size."""


def directory(data: bytes, at: int | None = None) -> tuple[dict[int, int], int]:
    """The tags of a TIFF's page that hold one whole number, and where the next page is, or 0.

    Args:
        data: The bytes of the file.
        at: Where the page's directory is; None is the first page.

    Raises:
        struct.error: If the bytes end before.
    """
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
        if kind in (3, 4, 16):
            value = place + (12 if is_big else 8)
            (tags[tag],) = struct.unpack_from(order + {3: "H", 4: "I", 16: "Q"}[kind], data, value)
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
