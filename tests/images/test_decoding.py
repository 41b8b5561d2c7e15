import io
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from budwood.errors import ImageError
from budwood.images import decode as decoding_module
from budwood.images import formats
from budwood.images.decode import decode, decoding, upright


def signed(image):
    return image.astype(int)


def by_pillow(data):
    """What a careful reader of Pillow's manual would write for a photo without alpha."""
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")).astype(
        int
    )


class TestFormatsAndModes:
    @pytest.mark.parametrize(
        ("mode", "format", "options"),
        [
            ("RGB", "JPEG", {"quality": 90}),
            ("RGB", "JPEG", {"progressive": True}),
            ("RGB", "JPEG", {"subsampling": 0}),
            ("L", "JPEG", {}),
            ("CMYK", "JPEG", {}),
            ("RGB", "PNG", {}),
            ("L", "PNG", {}),
            ("P", "PNG", {}),
            ("P", "PNG", {"bits": 4}),
            ("1", "PNG", {}),
            ("RGB", "WEBP", {}),
            ("RGB", "WEBP", {"lossless": True}),
            ("RGB", "BMP", {}),
            ("P", "BMP", {}),
            ("1", "BMP", {}),
            ("P", "GIF", {}),
            ("RGB", "TIFF", {}),
            ("RGB", "TIFF", {"compression": "tiff_lzw"}),
            ("L", "TIFF", {}),
            ("1", "TIFF", {"compression": "group4"}),
            ("CMYK", "TIFF", {}),
            ("YCbCr", "TIFF", {}),
        ],
    )
    def test_every_mode_becomes_rgb_as_pillow_reads_it(self, scene, encoded, mode, format, options):
        image = scene().quantize(16) if "bits" in options else scene().convert(mode)
        data = encoded(image, format, **options)
        image = decode(data)
        assert image.dtype == np.uint8
        assert np.abs(signed(image) - by_pillow(data)).mean() < 0.5

    def test_adobe_ycck_is_not_inverted(self, scene, encoded):
        original = np.asarray(scene()).astype(int)
        data = encoded(scene().convert("CMYK"), "JPEG", quality=98)
        adobe = data.index(b"Adobe")
        assert data[adobe + 11] in (0, 2)
        assert np.abs(signed(decode(data)) - original).mean() < 4

    @pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
    def test_alpha_is_laid_over_white(self, encoded, format):
        image = Image.new("RGBA", (8, 8), (200, 0, 0, 0))
        image.paste((200, 0, 0, 255), (0, 0, 4, 8))
        options = {"lossless": True} if format == "WEBP" else {}
        image = signed(decode(encoded(image, format, **options)))
        assert (image[:, :4] == (200, 0, 0)).all()
        assert (image[:, 4:] == 255).all()

    def test_half_transparent_grey_is_half_white(self, encoded):
        image = decode(encoded(Image.new("LA", (4, 4), (0, 128)), "PNG"))
        assert (signed(image) - 127 == 0).all()

    @pytest.mark.parametrize("format", ["PNG", "GIF"])
    def test_a_transparent_palette_entry_is_white(self, encoded, format):
        image = Image.new("P", (4, 4), 1)
        image.putpalette([10, 20, 30, 40, 50, 60])
        image.putpixel((0, 0), 0)
        image = signed(decode(encoded(image, format, transparency=1)))
        assert image[0, 0].tolist() == [10, 20, 30]
        assert (image[1:] == 255).all()

    def test_palette_transparency_given_as_bytes_is_composited(self, encoded):
        image = Image.new("P", (4, 4), 1)
        image.putpalette([10, 20, 30, 0, 0, 0])
        assert (signed(decode(encoded(image, "PNG", transparency=bytes([255, 0])))) == 255).all()

    def test_a_transparent_colour_of_an_rgb_png_is_white(self, encoded):
        data = encoded(Image.new("RGB", (4, 4), (1, 2, 3)), "PNG", transparency=(1, 2, 3))
        assert (signed(decode(data)) == 255).all()

    @pytest.mark.parametrize("format", ["PNG", "TIFF"])
    def test_16_bit_grey_keeps_its_brightness(self, encoded, format):
        ramp = np.linspace(0, 65535, 64 * 8).reshape(8, 64).astype(np.uint16)
        image = signed(decode(encoded(Image.fromarray(ramp), format)))
        assert (image == np.rint(ramp / 257)[..., None]).all()

    def test_a_float_tiff_spans_0_to_1_where_nothing_else_is_known(self, encoded):
        ramp = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
        image = signed(decode(encoded(Image.fromarray(ramp), "TIFF")))
        assert (image[..., 0].ravel() == np.arange(256)).all()

    @pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
    def test_of_an_animation_the_first_frame_counts(self, encoded, format):
        frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue", "lime")]
        options = {"lossless": True} if format == "WEBP" else {}
        data = encoded(frames[0], format, save_all=True, append_images=frames[1:], **options)
        assert (signed(decode(data)) == (255, 0, 0)).all()

    def test_a_lab_tiff_is_converted(self, encoded):
        image = decode(encoded(Image.new("LAB", (8, 8), (255, 128, 128)), "TIFF"))
        assert (signed(image) > 250).all()


class TestOrientation:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize(
        ("mode", "format"),
        [("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("RGB", "PNG"), ("RGBA", "PNG"),
         ("RGB", "WEBP"), ("RGBA", "WEBP"), ("RGB", "TIFF")],
    )  # fmt: skip
    def test_photos_are_upright(self, scene, encoded, mode, format, orientation):
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = encoded(scene().convert(mode), format, exif=exif)
        image, expected = signed(decode(data)), by_pillow(data)
        assert image.shape == expected.shape
        assert np.abs(image - expected).mean() < 0.5

    def test_a_compressed_tiff_is_upright(self, scene, encoded):
        data = encoded(scene(), "TIFF", compression="tiff_lzw", tiffinfo={0x0112: 6})
        assert (signed(decode(data)) == by_pillow(data)).all()

    def test_exif_after_another_block_counts(self, scene, encoded):
        exif = Image.Exif()
        exif[0x0112] = 6
        data = encoded(scene(), "JPEG", exif=exif, xmp=b"<x:xmpmeta/>")
        xmp = b"http://ns.adobe.com/xap/1.0/\0<x/>"
        data = data[:2] + b"\xff\xe1" + (len(xmp) + 2).to_bytes(2, "big") + xmp + data[2:]
        assert decode(data).shape == (160, 120, 3)

    @given(st.integers(1, 8))
    def test_turning_keeps_every_pixel(self, orientation):
        image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
        turned = upright(image, orientation)
        assert sorted(turned.ravel().tolist()) == list(range(24))
        assert turned.shape == ((2, 4, 3) if orientation < 5 else (4, 2, 3))


class TestBrokenPhotos:
    @pytest.mark.parametrize("progressive", [False, True])
    @given(cut=st.integers(3, 3000))
    def test_a_jpeg_cut_anywhere_is_truncated(self, progressive, cut):
        data = _JPEGS[progressive]
        with pytest.raises(ImageError, match=r"truncated|not a photo"):
            decode(data[: max(3, len(data) - cut)])

    def test_a_jpeg_filled_up_with_zeros_is_truncated(self):
        data = _JPEGS[False]
        half = len(data) // 2
        with pytest.raises(ImageError, match="truncated"):
            decode(data[:half] + bytes(len(data) - half))

    def test_the_end_of_the_thumbnail_is_not_the_end_of_the_photo(self, scene, encoded):
        thumbnail = b"Exif\0\0" + encoded(scene(20, 20), "JPEG")
        data = _JPEGS[True]
        data = (
            data[:2] + b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail + data[2:]
        )
        assert decode(data).shape == (120, 160, 3)
        with pytest.raises(ImageError, match="truncated"):
            decode(data[:-400])

    @pytest.mark.parametrize("share", [0.5, 0.7, 0.9])
    def test_a_jpeg_that_lost_bytes_in_the_middle_is_damaged(self, share):
        data = _JPEGS[False]
        start = int(len(data) * share)
        with pytest.raises(ImageError, match=r"damaged.*Corrupt JPEG data"):
            decode(data[:start] + data[start + 200 :])

    @given(at=st.floats(0.0, 1.0), bytes_put_in=st.binary(min_size=1, max_size=40))
    def test_a_damaged_jpeg_is_read_or_a_photo_error(self, at, bytes_put_in):
        data = _JPEGS[False]
        start = int(len(data) * at)
        with suppress(ImageError):
            assert decode(data[:start] + bytes_put_in + data[start:]).dtype == np.uint8

    def test_a_jpeg_that_ends_before_its_time_is_damaged(self):
        data = _JPEGS[False]
        with pytest.raises(ImageError, match=r"damaged.*premature end|truncated"):
            decode(data[: len(data) // 2] + b"\xff\xd9")

    def test_a_jpeg_that_ends_within_a_comment_is_truncated(self):
        data = _JPEGS[True]
        after_a_scan = data[: data.rindex(b"\xff\xda")]
        with pytest.raises(ImageError, match="truncated"):
            decode(after_a_scan + b"\xff\xfe\xff\xff with an end: \xff\xd9")

    @pytest.mark.parametrize("trailer", [b"x", b"\0" * 5000, b"film" * 9999])
    def test_bytes_after_the_end_of_a_jpeg_are_fine(self, trailer):
        data = _JPEGS[False]
        assert np.array_equal(decode(data + trailer), decode(data))

    def test_fill_bytes_and_stray_bytes_between_blocks_are_fine(self):
        data = _JPEGS[False]
        assert np.array_equal(decode(data[:2] + b"\xff\xff" + data[2:]), decode(data))

    @pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF", "BMP", "TIFF"])
    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
    @pytest.mark.parametrize("mode", ["RGB", "RGBA"])
    def test_other_formats_cut_short_are_broken(self, scene, encoded, format, share, mode):
        data = encoded(scene().convert(mode), format)
        with pytest.raises(ImageError, match=r"truncated|damaged"):
            decode(data[: int(len(data) * share)])

    @pytest.mark.parametrize("has_checksum", [False, True])
    @pytest.mark.parametrize("at", [0.1, 0.5, 0.9])
    def test_a_damaged_png_is_an_error_not_a_crash(self, scene, encoded, at, has_checksum):
        data = bytearray(encoded(scene(), "PNG"))
        start = data.index(b"IDAT")
        end = start + 4 + int.from_bytes(data[start - 4 : start], "big")
        data[start + 4 + int(at * (end - start - 4))] ^= 0xFF
        if has_checksum:
            data[end : end + 4] = zlib.crc32(data[start:end]).to_bytes(4, "big")
        with pytest.raises(ImageError, match=r"damaged|truncated"):
            decode(bytes(data))

    def test_the_reason_does_not_speak_of_c_plus_plus(self, scene, encoded):
        data = encoded(scene(), "PNG").replace(b"IDAT", b"xDAT")
        with pytest.raises(ImageError, match="damaged") as caught:
            decode(data)
        assert ".cpp" not in str(caught.value)

    @pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
    def test_too_many_pixels_are_refused_with_both_numbers(self, encoded, format, monkeypatch):
        monkeypatch.setattr(formats, "MEGAPIXELS", 1)
        data = encoded(Image.new("L", (2000, 1000)), format)
        with pytest.raises(ImageError, match=r"has 2 megapixels.*At most 1 mega.*Scale it down"):
            decode(data)

    def test_a_decompression_bomb_is_refused_before_it_unfolds(self, encoded):
        data = bytearray(encoded(Image.new("1", (8, 8)), "PNG"))
        data[16:24] = (60000).to_bytes(4, "big") * 2
        with pytest.raises(ImageError, match=r"3,600 megapixels.*At most 200"):
            decode(bytes(data))

    @given(st.binary(max_size=300), st.sampled_from([b"GIF89a", b"BM", b"II*\0", b"MM\0*"]))
    def test_arbitrary_bytes_are_a_photo_error(self, data, signature):
        with suppress(ImageError):
            assert decode(signature + data).dtype == np.uint8


class TestManners:
    def test_pillow_warnings_are_never_heard(self, scene, encoded):
        data = bytearray(encoded(scene(), "TIFF"))
        software = encoded(scene(), "TIFF", tiffinfo={305: "x" * 40})
        damaged = software.replace(b"\x31\x01\x02\x00" + (41).to_bytes(4, "little"),
                                   b"\x31\x01\x02\x00" + (9**9).to_bytes(4, "little"))  # fmt: skip
        assert damaged != software
        with pytest.warns(UserWarning, match="Skipping tag 305|larger than file"):
            Image.open(io.BytesIO(damaged)).load()
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            decode(damaged)
            decode(bytes(data))
        assert not heard

    def test_the_process_keeps_its_warning_filters(self, scene, encoded):
        before = list(warnings.filters)
        decode(encoded(scene(), "BMP"))
        with pytest.raises(ImageError, match=r"damaged|truncated"):
            decode(encoded(scene(), "BMP")[:60])
        assert list(warnings.filters) == before

    def test_many_threads_get_what_one_gets(self, scene, encoded):
        files = [
            encoded(scene(seed=seed), format) for seed in range(8) for format in ("JPEG", "TIFF")
        ]
        expected = [decode(data) for data in files]
        with ThreadPoolExecutor(8) as pool:
            for images in (pool.map(decode, files) for _ in range(4)):
                assert all(map(np.array_equal, images, expected))

    def test_other_threads_run_while_a_photo_is_decoded(self, scene, encoded):
        data = encoded(scene(2000, 3000), "JPEG")
        ticks, done = [0], threading.Event()

        def tick():
            while not done.wait(0.001):
                ticks[0] += 1

        thread = threading.Thread(target=tick)
        thread.start()
        for _ in range(5):
            decode(data)
        done.set()
        thread.join()
        assert ticks[0] > 10


class TestOneBoundary:
    @pytest.mark.parametrize("error", [ZeroDivisionError, IndexError, KeyError, RuntimeError])
    def test_whatever_a_decoder_raises_is_of_this_photo(self, monkeypatch, error):
        def fail(*args):
            raise error("it broke")

        monkeypatch.setattr(decoding_module, "decode_jpeg", fail)
        with pytest.raises(ImageError, match=rf"160 x 120.*it broke.*\({error.__name__}\)"):
            decode(_JPEGS[False])

    def test_whatever_reading_the_header_raises_too(self, monkeypatch):
        monkeypatch.setattr(decoding_module, "read_header", lambda data: 1 // 0)
        with pytest.raises(ImageError, match="ZeroDivisionError"):
            decode(_JPEGS[False])

    @pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
    def test_but_not_what_ends_everything(self, monkeypatch, error):
        def fail(*args):
            raise error

        monkeypatch.setattr(decoding_module, "decode_jpeg", fail)
        with pytest.raises(error):
            decode(_JPEGS[False])

    def test_an_error_of_whoever_uses_the_pixels_is_its_own(self):
        with pytest.raises(KeyError), decoding(_JPEGS[False], lambda *sides: 1):
            raise KeyError

    @pytest.mark.parametrize("size", [(0, 9), (9, 0), (2**31 - 1, 2**31 - 1), (0, 0)])
    @pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
    def test_impossible_sizes_are_refused(self, scene, encoded, format, size):
        data = bytearray(encoded(scene(), format))
        at, bytes_, order = {
            "JPEG": (data.find(b"\xff\xc0") + 5, 2, "big"),
            "PNG": (16, 4, "big"),
            "WEBP": (26, 2, "little"),
            "GIF": (6, 2, "little"),
            "BMP": (18, 4, "little"),
            "TIFF": (None, 4, "little"),
        }[format]
        if at is None:
            for tag, side in ((b"\0\1", size[0]), (b"\1\1", size[1])):
                place = data.find(tag, int.from_bytes(data[4:8], "little"))
                data[place + 2 : place + 4] = b"\4\0"
                data[place + 8 : place + 12] = side.to_bytes(4, "little")
        else:
            for i, side in enumerate(size):
                held = side % 2 ** (14 if format == "WEBP" else 8 * bytes_)
                data[at + i * bytes_ : at + (i + 1) * bytes_] = held.to_bytes(bytes_, order)
        with pytest.raises(ImageError, match=r"pixels|truncated|damaged"):
            decode(bytes(data))


class TestReduced:
    @pytest.mark.parametrize("reduction", [1, 2, 4, 8])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_a_jpeg_is_reduced_and_upright(self, scene, encoded, reduction, orientation):
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = encoded(scene(240, 320), "JPEG", quality=95, exif=exif)
        full = decode(data)
        with decoding(data, lambda height, width: reduction) as reduced:
            assert (reduced.height, reduced.width) == full.shape[:2]
        small = Image.fromarray(full).reduce(reduction)
        assert reduced.image.shape == np.asarray(small).shape
        assert np.abs(signed(reduced.image) - signed(np.asarray(small))).mean() < 3

    def test_upright_height_and_width_decide(self, scene, encoded):
        exif, asked = Image.Exif(), []
        exif[0x0112] = 6
        data = encoded(scene(120, 160), "JPEG", exif=exif)
        with decoding(data, lambda *sides: asked.append(sides) or 1):
            assert asked == [(160, 120)]

    @given(orientation=st.integers(1, 8), height=st.integers(50, 70), width=st.integers(50, 70))
    def test_a_part_of_a_pixel_is_never_turned_to_the_front(self, orientation, height, width):
        exif = Image.Exif()
        exif[0x0112] = orientation
        file = io.BytesIO()
        Image.new("RGB", (width, height)).save(file, "JPEG", exif=exif)
        with decoding(file.getvalue(), lambda *sides: 8) as reduced:
            pass
        is_whole = not (reduced.height % reduced.reduction or reduced.width % reduced.reduction)
        assert is_whole if orientation > 1 else reduced.reduction == 8

    @pytest.mark.parametrize(("mode", "format"), [("RGB", "PNG"), ("P", "GIF")])
    def test_what_pillow_reads_is_not_reduced(self, scene, encoded, mode, format):
        with decoding(encoded(scene().convert(mode), format), lambda *sides: 8) as reduced:
            assert (reduced.image.shape, reduced.reduction) == ((120, 160, 3), 1)


def _jpegs():
    random = np.random.default_rng(0)
    y, x = np.mgrid[0:120, 0:160]
    noise = random.normal(0, 9, (120, 160, 3))
    image = Image.fromarray(
        (np.stack([x, y, x + y], -1) * 0.8 + noise).clip(0, 255).astype(np.uint8)
    )
    files = {}
    for progressive in (False, True):
        file = io.BytesIO()
        image.save(file, "JPEG", progressive=progressive)
        files[progressive] = file.getvalue()
    return files


_JPEGS = _jpegs()
