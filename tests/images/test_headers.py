from contextlib import suppress
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from budwood.errors import PhotoError
from budwood.images.headers import exif_orientation, read_header


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_size_is_read_without_decoding(scene, encoded, format):
    header = read_header(encoded(scene(50, 70), format))
    assert (header.format, header.height, header.width) == (format.lower(), 50, 70)


def test_size_of_lossless_and_extended_webp(scene, encoded):
    for options in ({"lossless": True}, {"exif": Image.Exif()}, {"icc_profile": b"x" * 20}):
        header = read_header(encoded(scene(50, 70), "WEBP", **options))
        assert (header.height, header.width) == (50, 70)


@pytest.mark.parametrize("format", ["GIF", "BMP", "TIFF"])
def test_rare_formats_are_recognised_and_left_to_pillow(scene, encoded, format):
    header = read_header(encoded(scene(), format))
    assert (header.format, header.is_plain) == (format.lower(), False)


@pytest.mark.parametrize(
    ("mode", "format", "is_plain"),
    [
        ("RGB", "JPEG", True),
        ("L", "JPEG", True),
        ("CMYK", "JPEG", False),
        ("RGB", "PNG", False),
        ("RGB", "WEBP", False),
        ("RGBA", "WEBP", False),
    ],
)
def test_only_plain_photos_take_the_fast_path(scene, encoded, mode, format, is_plain):
    image = scene().convert(mode)
    if mode == "RGBA":
        image.putalpha(100)
    assert read_header(encoded(image, format)).is_plain == is_plain


@pytest.mark.parametrize("lossless", [False, True])
def test_an_animated_webp_is_not_plain(scene, encoded, lossless):
    frames = {"save_all": True, "append_images": [scene(seed=1)], "lossless": lossless}
    assert not read_header(encoded(scene(), "WEBP", **frames)).is_plain


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty.*Copy the file again"),
        (bytes(5000), "nothing but zeros.*Copy the file again"),
        ("Größe und Farbe\n".encode(), "is text, not a photo.*fetch the photo"),
        ("Größe".encode("latin-1"), "is text, not a photo"),
        (b"\n<!DOCTYPE html><html>Not found", r"web page \(HTML\).*fetch the photo itself"),
        (b"\0\0\0\x18ftypheic" + bytes(20), "HEIC or AVIF.*Save it as JPEG"),
        (b"PK\x03\x04\0\0\0", "bytes 50 4b 03 04.*JPEG, PNG, WebP, GIF, BMP and TIFF are read"),
    ],
)
def test_what_is_no_photo_is_said_in_plain_words(data, reason):
    with pytest.raises(PhotoError, match=reason):
        read_header(data)


def test_a_png_without_its_header_is_damaged(scene, encoded):
    data = encoded(scene(), "PNG").replace(b"IHDR", b"CgBI")
    with pytest.raises(PhotoError, match="does not begin with its header"):
        read_header(data)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@given(cut=st.floats(0.01, 0.999))
def test_a_header_cut_anywhere_is_an_error_not_a_crash(format, cut):
    data = _PHOTOS[format]
    with pytest.raises(PhotoError, match=r"truncated|not a photo"):
        read_header(data[: int(len(data) * cut)])


@given(st.binary(max_size=200), st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF"]))
def test_arbitrary_bytes_are_an_error_or_a_header(data, signature):
    with suppress(PhotoError):
        assert 1 <= read_header(signature + data).orientation <= 8


@given(st.binary(max_size=60))
def test_damaged_exif_means_upright_or_an_orientation(data):
    assert exif_orientation(data) == 1
    assert 1 <= exif_orientation(b"II*\0" + data) <= 8


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", [0, 1, 6, 8, 9])
def test_orientation_is_read_in_both_byte_orders(orientation, order):
    exif = Image.Exif()
    exif.endian, exif[0x0112] = order, orientation
    expected = orientation if 1 <= orientation <= 8 else 1
    assert exif_orientation(exif.tobytes().removeprefix(b"Exif\0\0")) == expected


def _photos():
    files = {}
    for format in ("JPEG", "PNG", "WEBP"):
        file = BytesIO()
        Image.effect_noise((40, 30), 60).convert("RGB").save(file, format)
        files[format] = file.getvalue()
    return files


_PHOTOS = _photos()
