from contextlib import suppress
from io import BytesIO

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from budwood.errors import ImageError
from budwood.images.formats import MULTI_PAGE, exif_orientation, read_header


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_size_is_read_without_decoding(scene, encoded, format):
    header = read_header(encoded(scene(50, 70), format))
    assert (header.format, header.height, header.width) == (format.lower(), 50, 70)


def test_size_of_lossless_and_extended_webp(scene, encoded):
    for options in ({"lossless": True}, {"exif": Image.Exif()}, {"icc_profile": b"x" * 20}):
        header = read_header(encoded(scene(50, 70), "WEBP", **options))
        assert (header.height, header.width) == (50, 70)


@pytest.mark.parametrize("format", ["GIF", "BMP", "TIFF"])
def test_format_and_size_of_what_is_left_to_pillow(scene, encoded, format):
    header = read_header(encoded(scene(), format))
    assert (header.format, header.height, header.width) == (format.lower(), 120, 160)


@pytest.mark.parametrize("bottom_up", [False, True])
def test_size_of_a_bmp_whose_rows_begin_at_the_top(scene, encoded, bottom_up):
    data = bytearray(encoded(scene(50, 70), "BMP"))
    if not bottom_up:
        data[22:26] = (-50).to_bytes(4, "little", signed=True)
    header = read_header(bytes(data))
    assert (header.height, header.width) == (50, 70)


@pytest.mark.parametrize(("mode", "components"), [("L", 1), ("RGB", 3), ("CMYK", 4)])
def test_components_of_a_jpeg(scene, encoded, mode, components):
    assert read_header(encoded(scene().convert(mode), "JPEG")).components == components


def test_the_end_of_a_jpeg_is_seen(scene, encoded):
    data = encoded(scene(), "JPEG")
    assert [read_header(some).has_end for some in (data, data + b"film", data[:-2])] == [
        True, True, False,
    ]  # fmt: skip


class TestFurtherPages:
    def test_pages_are_odd_and_smaller_copies_are_not(self, scene, encoded):
        pages = {"save_all": True, "append_images": [scene(seed=1)]}
        assert read_header(encoded(scene(), "TIFF")).oddity is None
        assert read_header(encoded(scene(), "TIFF", **pages)).oddity == MULTI_PAGE

    @pytest.mark.parametrize("byteorder", ["<", ">"])
    @pytest.mark.parametrize("bigtiff", [False, True])
    def test_smaller_copies_are_no_pages(self, byteorder, bigtiff):
        for subfile, oddity in ((0, MULTI_PAGE), (1, None)):
            file = BytesIO()
            with tifffile.TiffWriter(file, bigtiff=bigtiff, byteorder=byteorder) as tiff:
                tiff.write(np.zeros((32, 48), np.uint8))
                tiff.write(np.zeros((16, 24), np.uint8), subfiletype=subfile)
            header = read_header(file.getvalue())
            assert (header.height, header.width, header.oddity) == (32, 48, oddity)


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
    with pytest.raises(ImageError, match=reason):
        read_header(data)


def test_a_png_without_its_header_is_damaged(scene, encoded):
    data = encoded(scene(), "PNG").replace(b"IHDR", b"CgBI")
    with pytest.raises(ImageError, match="does not begin with its header"):
        read_header(data)


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
@given(cut=st.floats(0.01, 0.98))
def test_a_header_cut_anywhere_is_an_error_not_a_crash(format, cut):
    data = _IMAGES[format]
    with pytest.raises(ImageError, match=r"truncated|not a photo"):
        read_header(data[: int(len(data) * cut)])


@given(st.binary(max_size=200), st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF"]))
def test_arbitrary_bytes_are_an_error_or_a_header(data, signature):
    with suppress(ImageError):
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


def _images():
    files = {}
    for format in ("JPEG", "PNG", "WEBP"):
        file = BytesIO()
        Image.effect_noise((40, 30), 60).convert("RGB").save(file, format)
        files[format] = file.getvalue()
    return files


_IMAGES = _images()
