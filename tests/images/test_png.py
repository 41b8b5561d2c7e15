"""PNGs whose side chunks are bad are read; those whose pixels are, are not.

python-pillow/Pillow#5610, #8363, #2445.
"""

import struct
import zlib

import numpy as np
import pytest

from budwood.errors import ImageError
from budwood.images.decode import decode, decoding
from budwood.images.formats import SIDE_CHUNKS


def chunk(name, body, checksum=None):
    checksum = zlib.crc32(name + body) if checksum is None else checksum
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", checksum)


LONG = b"<x>" + b"<rdf:li>xmp.did:0123456789abcdef</rdf:li>" * 40000
SIDE = {
    "long text": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(LONG)),
    "large profile": chunk(b"iCCP", b"scanner\0\0" + zlib.compress(bytes(2_000_000))),
    "checksum of a text": chunk(b"tEXt", b"Comment\0hello", 0),
    "unknown compression of a profile": chunk(b"iCCP", b"x\0\1" + zlib.compress(bytes(100))),
    "checksum of a colour space": chunk(b"sRGB", b"\0", 0),
}


@pytest.mark.parametrize("side", SIDE)
@pytest.mark.parametrize("mode", ["RGB", "P", "LA"])
def test_what_no_pixel_depends_on_is_no_damage(scene, encoded, side, mode):
    data, odd = encoded(scene().convert(mode), "PNG"), []
    changed = data[:33] + SIDE[side] + data[33:]
    with decoding(changed, lambda *sides: 1, on_oddity=odd.append) as found:
        assert np.array_equal(found.image, decode(data))
    assert odd in ([SIDE_CHUNKS], [])  # Pillow reads some itself


def test_transparency_is_kept_where_side_chunks_are_not(scene, encoded):
    data = encoded(scene().convert("P"), "PNG", transparency=3)
    odd = data[:33] + SIDE["checksum of a text"] + data[33:]
    assert np.array_equal(decode(odd), decode(data))


def test_without_an_end_all_rows_are_there(scene, encoded):
    data = encoded(scene(), "PNG")
    for lost in (4, 11, 12):
        assert np.array_equal(decode(data[:-lost]), decode(data))


@pytest.mark.parametrize("name", [b"IHDR", b"PLTE", b"IDAT", b"tRNS"])
def test_a_wrong_checksum_of_what_pixels_depend_on_is_damage(scene, encoded, name):
    data = bytearray(encoded(scene().convert("P"), "PNG", transparency=3))
    start = data.index(name)
    end = start + 4 + int.from_bytes(data[start - 4 : start], "big")
    data[end : end + 4] = b"\0\0\0\0"
    with pytest.raises(ImageError, match=r"PNG.* is damaged.*checksum.*magick"):
        decode(bytes(data[:33] + SIDE["checksum of a colour space"] + data[33:]))
