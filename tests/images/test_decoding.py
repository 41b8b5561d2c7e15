import io
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
import torch
import torchvision.io
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from budwood.errors import PhotoError
from budwood.images.decoding import decode, upright


def hwc(photo):
    return photo.permute(1, 2, 0).numpy().astype(int)


def by_pillow(data):
    """What a careful reader of Pillow's manual would write for a photo without alpha."""
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")).astype(
        int
    )


def raw(data):
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


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
        photo = decode(data)
        assert photo.dtype == torch.uint8
        assert np.abs(hwc(photo) - by_pillow(data)).mean() < 0.5

    def test_adobe_ycck_is_not_inverted(self, scene, encoded):
        original = np.asarray(scene()).astype(int)
        data = encoded(scene().convert("CMYK"), "JPEG", quality=98)
        adobe = data.index(b"Adobe")
        assert data[adobe + 11] in (0, 2)
        assert np.abs(hwc(decode(data)) - original).mean() < 4

    @pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
    def test_alpha_is_laid_over_white(self, encoded, format):
        image = Image.new("RGBA", (8, 8), (200, 0, 0, 0))
        image.paste((200, 0, 0, 255), (0, 0, 4, 8))
        options = {"lossless": True} if format == "WEBP" else {}
        photo = hwc(decode(encoded(image, format, **options)))
        assert (photo[:, :4] == (200, 0, 0)).all()
        assert (photo[:, 4:] == 255).all()

    def test_half_transparent_grey_is_half_white(self, encoded):
        photo = decode(encoded(Image.new("LA", (4, 4), (0, 128)), "PNG"))
        assert (hwc(photo) - 127 == 0).all()

    @pytest.mark.parametrize("format", ["PNG", "GIF"])
    def test_a_transparent_palette_entry_is_white(self, encoded, format):
        image = Image.new("P", (4, 4), 1)
        image.putpalette([10, 20, 30, 40, 50, 60])
        image.putpixel((0, 0), 0)
        photo = hwc(decode(encoded(image, format, transparency=1)))
        assert photo[0, 0].tolist() == [10, 20, 30]
        assert (photo[1:] == 255).all()

    def test_palette_transparency_given_as_bytes_is_composited(self, encoded):
        image = Image.new("P", (4, 4), 1)
        image.putpalette([10, 20, 30, 0, 0, 0])
        assert (hwc(decode(encoded(image, "PNG", transparency=bytes([255, 0])))) == 255).all()

    def test_a_transparent_colour_of_an_rgb_png_is_white(self, encoded):
        data = encoded(Image.new("RGB", (4, 4), (1, 2, 3)), "PNG", transparency=(1, 2, 3))
        assert (hwc(decode(data)) == 255).all()

    @pytest.mark.parametrize("format", ["PNG", "TIFF"])
    def test_16_bit_grey_keeps_its_brightness(self, encoded, format):
        ramp = np.linspace(0, 65535, 64 * 8).reshape(8, 64).astype(np.uint16)
        photo = hwc(decode(encoded(Image.fromarray(ramp), format)))
        assert (photo == np.rint(ramp / 257)[..., None]).all()

    @pytest.mark.parametrize("span", [1.0, 255.0])
    def test_a_float_tiff_spans_0_to_1_or_0_to_255(self, encoded, span):
        ramp = np.linspace(0, span, 256, dtype=np.float32).reshape(16, 16)
        photo = hwc(decode(encoded(Image.fromarray(ramp), "TIFF")))
        assert (photo[..., 0].ravel() == np.arange(256)).all()

    @pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
    def test_of_an_animation_the_first_frame_counts(self, encoded, format):
        frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue", "lime")]
        options = {"lossless": True} if format == "WEBP" else {}
        data = encoded(frames[0], format, save_all=True, append_images=frames[1:], **options)
        assert (hwc(decode(data)) == (255, 0, 0)).all()

    def test_a_lab_tiff_is_converted(self, encoded):
        photo = decode(encoded(Image.new("LAB", (8, 8), (255, 128, 128)), "TIFF"))
        assert (hwc(photo) > 250).all()


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
        photo, expected = hwc(decode(data)), by_pillow(data)
        assert photo.shape == expected.shape
        assert np.abs(photo - expected).mean() < 0.5

    def test_a_compressed_tiff_is_upright(self, scene, encoded):
        data = encoded(scene(), "TIFF", compression="tiff_lzw", tiffinfo={0x0112: 6})
        assert (hwc(decode(data)) == by_pillow(data)).all()

    def test_exif_after_another_block_counts(self, scene, encoded):
        exif = Image.Exif()
        exif[0x0112] = 6
        data = encoded(scene(), "JPEG", exif=exif, xmp=b"<x:xmpmeta/>")
        xmp = b"http://ns.adobe.com/xap/1.0/\0<x/>"
        data = data[:2] + b"\xff\xe1" + (len(xmp) + 2).to_bytes(2, "big") + xmp + data[2:]
        assert decode(data).shape == (3, 160, 120)
        overlooked = torch.ops.image.decode_jpeg(raw(data), 3, True).shape == (3, 120, 160)
        assert overlooked, "torchvision now reads EXIF in the second block"

    @given(st.integers(1, 8))
    def test_turning_keeps_every_pixel(self, orientation):
        photo = torch.arange(24, dtype=torch.uint8).view(3, 2, 4)
        turned = upright(photo, orientation)
        assert sorted(turned.flatten().tolist()) == list(range(24))
        assert turned.shape == ((3, 2, 4) if orientation < 5 else (3, 4, 2))


class TestBrokenPhotos:
    @pytest.mark.parametrize("progressive", [False, True])
    @given(cut=st.integers(1, 3000))
    def test_a_jpeg_cut_anywhere_is_truncated(self, progressive, cut):
        data = _JPEGS[progressive]
        with pytest.raises(PhotoError, match=r"truncated|not a photo"):
            decode(data[: max(3, len(data) - cut)])

    def test_a_jpeg_filled_up_with_zeros_is_truncated(self):
        data = _JPEGS[False]
        half = len(data) // 2
        with pytest.raises(PhotoError, match="truncated"):
            decode(data[:half] + bytes(len(data) - half))

    def test_the_end_of_the_thumbnail_is_not_the_end_of_the_photo(self, scene, encoded):
        thumbnail = b"Exif\0\0" + encoded(scene(20, 20), "JPEG")
        data = _JPEGS[True]
        data = (
            data[:2] + b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail + data[2:]
        )
        assert decode(data).shape == (3, 120, 160)
        with pytest.raises(PhotoError, match="truncated"):
            decode(data[:-400])

    @pytest.mark.parametrize("trailer", [b"x", b"\0" * 5000, b"film" * 9999])
    def test_bytes_after_the_end_of_a_jpeg_are_fine(self, trailer):
        data = _JPEGS[False]
        assert torch.equal(decode(data + trailer), decode(data))

    def test_fill_bytes_and_stray_bytes_between_blocks_are_fine(self):
        data = _JPEGS[False]
        assert torch.equal(decode(data[:2] + b"\xff\xff" + data[2:]), decode(data))

    @pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF", "BMP", "TIFF"])
    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
    @pytest.mark.parametrize("mode", ["RGB", "RGBA"])
    def test_other_formats_cut_short_are_broken(self, scene, encoded, format, share, mode):
        data = encoded(scene().convert(mode), format)
        with pytest.raises(PhotoError, match=r"truncated|damaged"):
            decode(data[: int(len(data) * share)])

    @pytest.mark.parametrize("has_checksum", [False, True])
    @pytest.mark.parametrize("at", [0.1, 0.5, 0.9])
    def test_a_damaged_png_is_an_error_not_a_crash(self, scene, encoded, at, has_checksum):
        """On such a file torchvision's operator ends the process, see pytorch/vision#3613."""
        data = bytearray(encoded(scene(), "PNG"))
        start = data.index(b"IDAT")
        end = start + 4 + int.from_bytes(data[start - 4 : start], "big")
        data[start + 4 + int(at * (end - start - 4))] ^= 0xFF
        if has_checksum:
            data[end : end + 4] = zlib.crc32(data[start:end]).to_bytes(4, "big")
        with pytest.raises(PhotoError, match=r"damaged|truncated"):
            decode(bytes(data))

    def test_the_reason_does_not_speak_of_c_plus_plus(self, scene, encoded):
        data = encoded(scene(), "PNG").replace(b"IDAT", b"xDAT")
        with pytest.raises(PhotoError, match="damaged") as caught:
            decode(data)
        assert ".cpp" not in str(caught.value)

    @pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
    def test_too_many_pixels_are_refused_with_both_numbers(self, encoded, format):
        data = encoded(Image.new("L", (2000, 1000)), format)
        with pytest.raises(PhotoError, match=r"has 2 megapixels.*At most 1 mega.*Scale it down"):
            decode(data, megapixels=1)

    def test_a_decompression_bomb_is_refused_before_it_unfolds(self, encoded):
        data = bytearray(encoded(Image.new("1", (8, 8)), "PNG"))
        data[16:24] = (60000).to_bytes(4, "big") * 2
        with pytest.raises(PhotoError, match=r"3,600 megapixels.*At most 200"):
            decode(bytes(data))

    @given(st.binary(max_size=300), st.sampled_from([b"GIF89a", b"BM", b"II*\0", b"MM\0*"]))
    def test_arbitrary_bytes_are_a_photo_error(self, data, signature):
        with suppress(PhotoError):
            assert decode(signature + data).dtype == torch.uint8


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
        with pytest.raises(PhotoError, match=r"damaged|truncated"):
            decode(encoded(scene(), "BMP")[:60])
        assert list(warnings.filters) == before

    def test_torchvision_does_not_warn_that_decoders_will_move(self):
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            decode(_JPEGS[False])
        assert not heard

    def test_many_threads_get_what_one_gets(self, scene, encoded):
        files = [
            encoded(scene(seed=seed), format) for seed in range(8) for format in ("JPEG", "TIFF")
        ]
        expected = [decode(data) for data in files]
        with ThreadPoolExecutor(8) as pool:
            for photos in (pool.map(decode, files) for _ in range(4)):
                assert all(map(torch.equal, photos, expected))

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


class TestWhyPillowReadsSome:
    """Facts about torchvision that `Header.is_plain` rests on: if one fails, look at it again."""

    def test_alpha_is_dropped(self, encoded):
        data = encoded(Image.new("RGBA", (4, 4), (9, 9, 9, 0)), "PNG")
        assert (torch.ops.image.decode_png(raw(data), 3) == 9).all()

    def test_alpha_of_webp_is_dropped(self, encoded):
        image = Image.new("RGBA", (4, 4), (9, 9, 9, 0))
        data = encoded(image, "WEBP", lossless=True, exact=True)
        assert (torch.ops.image.decode_webp(raw(data), 3) == 9).all()

    def test_16_bit_png_stays_16_bit(self, encoded):
        data = encoded(Image.fromarray(np.full((4, 4), 40000, np.uint16)), "PNG")
        assert torch.ops.image.decode_png(raw(data), 3).dtype == torch.uint16

    def test_an_animated_gif_has_four_dimensions(self, encoded):
        frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
        data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
        assert torch.ops.image.decode_gif(raw(data)).ndim == 4

    @pytest.mark.parametrize("format", ["BMP", "TIFF"])
    def test_bmp_and_tiff_are_refused(self, scene, encoded, format):
        with pytest.raises(RuntimeError, match="Unsupported image file"):
            torch.ops.image.decode_image(raw(encoded(scene(), format)), 3)

    def test_an_animated_webp_is_refused(self, encoded):
        frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
        data = encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:])
        with pytest.raises(RuntimeError, match="Animated webp"):
            torch.ops.image.decode_webp(raw(data), 3)

    def test_the_deprecated_python_function_and_the_operator_agree(self):
        with pytest.warns(DeprecationWarning, match="TorchCodec"):
            expected = torchvision.io.decode_jpeg(
                raw(_JPEGS[False]), torchvision.io.ImageReadMode.RGB
            )
        assert torch.equal(torch.ops.image.decode_jpeg(raw(_JPEGS[False]), 3), expected)


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
