"""The chunks of a PNG: those that decide its pixels, and the others."""

from collections.abc import Iterator

from budwood.errors import PhotoError
from budwood.images.unreadable import TRUNCATED

SIDE_CHUNKS = "chunks beside the pixels that are damaged or too large"
"""What is odd about a PNG that is sound without them."""
_PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of each chunk's content, up to `IEND` or where the bytes end.

    Raises:
        PhotoError: If the bytes end before or within the pixels. What is cut off after them is not
            used; whether all rows are there is told when they are decoded.
    """
    at, name, has_pixels = 8, b"", False
    while name != b"IEND":
        start, name = at + 8, data[at + 4 : at + 8]
        end = start + int.from_bytes(data[at : at + 4], "big")
        if len(name) < 4 or end + 4 > len(data):
            if has_pixels and name != b"IDAT":
                return
            raise PhotoError(TRUNCATED)
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
