"""TIFFs that Pillow reads wrongly, or not at all, and what libtiff complains of."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
from PIL import Image

from budwood.errors import ImageError
from budwood.images import tiff as libtiff
from budwood.images.decode import decode, decoding
from budwood.images.formats import MULTI_PAGE
from budwood.images.tiff import complaints


def written(values, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, values, **options)
    return file.getvalue()


def difference(data, image):
    return np.abs(decode(data).astype(int) - np.asarray(image)).mean()


@pytest.fixture
def deep(scene):
    """A photo as `h w 3` of 16 bits."""
    return np.asarray(scene()).astype(np.uint16) * 257


class TestSeparatePlanes:
    """python-pillow/Pillow#4641, #5178: one byte of two was read, as noise."""

    @pytest.mark.parametrize("byteorder", ["<", ">"])
    def test_of_16_bits(self, scene, deep, byteorder):
        planes = deep.transpose(2, 0, 1)
        data = written(planes, photometric="rgb", planarconfig="separate", byteorder=byteorder)
        assert difference(data, scene()) == 0

    def test_of_ink(self, scene, deep):
        inks = np.asarray(scene().convert("CMYK")).astype(np.uint16) * 257
        data = written(inks.transpose(2, 0, 1), photometric="separated", planarconfig="separate")
        assert difference(data, scene().convert("CMYK").convert("RGB")) == 0

    def test_with_alpha(self, scene, deep):
        alpha = np.full((120, 160, 1), 65535, np.uint16)
        alpha[:60] = 0
        planes = np.concatenate([deep, alpha], -1).transpose(2, 0, 1)
        data = written(
            planes, photometric="rgb", planarconfig="separate", extrasamples=["unassalpha"]
        )
        expected = np.asarray(scene()).copy()
        expected[:60] = 255
        assert difference(data, expected) == 0

    def test_turned(self, scene, deep):
        data = written(
            deep.transpose(2, 0, 1),
            photometric="rgb",
            planarconfig="separate",
            extratags=[(274, 3, 1, 6, True)],
        )
        assert difference(data, scene().transpose(Image.Transpose.ROTATE_270)) == 0

    def test_cut_short(self, deep):
        data = written(deep.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
        with pytest.raises(ImageError, match="truncated"):
            decode(data[:-5000])

    def test_too_large(self, deep, monkeypatch):
        monkeypatch.setattr("budwood.images.formats.MEGAPIXELS", 0.01)
        data = written(deep.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
        with pytest.raises(ImageError, match="megapixels"):
            decode(data)


class TestKindsThatPillowDoesNotKnow:
    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_floats(self, scene, dtype, channels):
        values = (np.asarray(scene()) / 255).astype(dtype)
        if channels == 1:
            values = values[..., 0]
        data = written(values, photometric="rgb" if channels == 3 else "minisblack")
        image = np.asarray(scene())
        assert difference(data, image if channels == 3 else image[..., :1]) < 0.5

    @pytest.mark.parametrize("compression", [None, "zlib"])
    def test_bigtiff_of_the_other_byte_order(self, scene, deep, compression):
        data = written(
            deep, photometric="rgb", bigtiff=True, byteorder=">", compression=compression
        )
        assert difference(data, scene()) <= 1

    @pytest.mark.parametrize("bits", [10, 12, 14])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_bits_between_8_and_16(self, scene, bits, channels):
        values = np.asarray(scene()).astype(np.uint32)[..., :channels] * (2**bits - 1) // 255
        ones = (values.reshape(120, -1, 1) >> np.arange(bits - 1, -1, -1)) & 1
        packed = np.packbits(ones.reshape(120, -1).astype(np.uint8), axis=1)
        data = bytearray(written(packed, photometric="minisblack"))
        retag(data, {256: 160, 258: bits, 262: 2 if channels == 3 else 1, 277: channels})
        assert difference(bytes(data), np.asarray(scene())[..., :channels]) <= 1

    def test_white_may_be_zero(self, scene):
        values = 1 - np.asarray(scene().convert("L")) / 255
        data = written(values, photometric="miniswhite")
        assert difference(data, np.asarray(scene().convert("L"))[..., None]) < 1

    @pytest.mark.parametrize("change", [{259: 5}, {262: 32844}, {262: 6}])
    def test_what_is_not_read_is_said_with_the_next_step(self, change):
        data = bytearray(written(np.zeros((20, 30), np.float64)))
        retag(data, change)
        with pytest.raises(ImageError, match=r"TIFF \(30 x 20, .*64 float.*magick FILE out"):
            decode(bytes(data))

    def test_a_damaged_one_is_of_no_interest_to_stderr(self, deep, capfd):
        data = bytearray(written(deep, photometric="rgb", bigtiff=True, byteorder=">"))
        for at in range(16, 200, 7):
            data[at] ^= 0xFF
        with pytest.raises(ImageError):
            decode(bytes(data))
        assert capfd.readouterr() == ("", "")


def test_of_several_pages_the_first_is_read_with_a_word(scene, encoded):
    data = encoded(scene(), "TIFF", save_all=True, append_images=[scene(seed=1)])
    odd = []
    with decoding(data, lambda *sides: 1, on_oddity=odd.append) as found:
        assert np.array_equal(found.image, np.asarray(scene()))
    assert odd == [MULTI_PAGE]


needs_libtiff = pytest.mark.skipif(
    not libtiff._listen(), reason="Pillow has no libtiff of its own here"
)


@needs_libtiff
class TestComplaints:
    @pytest.mark.parametrize(
        ("mode", "compression"),
        [("1", "group4"), ("RGB", "tiff_lzw"), ("RGB", "tiff_adobe_deflate"), ("RGB", "jpeg")],
    )
    def test_are_an_error_of_the_photo_and_not_on_stderr(
        self, scene, encoded, mode, compression, capfd
    ):
        data = damaged(encoded(scene().convert(mode), "TIFF", compression=compression))
        with pytest.raises(ImageError, match=r"TIFF.* is damaged[^%]*magick"):
            decode(data)
        assert capfd.readouterr() == ("", "")

    def test_go_to_the_thread_that_decodes(self, scene, encoded):
        sound = encoded(scene().convert("1"), "TIFF", compression="group4")
        bad = damaged(sound)

        def complains(data):
            with complaints() as heard:
                Image.open(io.BytesIO(data)).load()
            return bool(heard)

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(complains, [sound, bad] * 20)) == [False, True] * 20


def damaged(data):
    data = bytearray(data)
    for at in range(300, len(data) - 300, 37):
        data[at] ^= 0x55
    return bytes(data)


def retag(data, changes):
    """Change tags of one short or long in a little-endian TIFF."""
    at = int.from_bytes(data[4:8], "little")
    for entry in range(int.from_bytes(data[at : at + 2], "little")):
        place = at + 2 + 12 * entry
        tag = int.from_bytes(data[place : place + 2], "little")
        if tag in changes:
            data[place + 2 : place + 12] = b"\4\0\1\0\0\0" + changes[tag].to_bytes(4, "little")
