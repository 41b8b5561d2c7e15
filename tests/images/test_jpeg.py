"""JPEGs that every viewer shows are read, with a word on what is odd; damaged ones are not."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from budwood.errors import ImageError
from budwood.images.decode import decode, decoding
from budwood.images.jpeg import JUNK, NO_END, TRAILING


def _jpeg(mode="RGB", **options):
    random = np.random.default_rng(0)
    y, x = np.mgrid[0:64, 0:88]
    image = np.stack([x * 2, y * 3, x + y], -1) + random.normal(0, 9, (64, 88, 3))
    file = io.BytesIO()
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


KINDS = {
    "baseline": _jpeg(),
    "progressive": _jpeg(progressive=True),
    "grey": _jpeg("L"),
    "ink": _jpeg("CMYK"),
}


def segment(marker, body):
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def after_start(data, inserted):
    return data[:2] + inserted + data[2:]


def before_end(data, inserted):
    return data[:-2] + inserted + data[-2:]


def before_scan(data, inserted):
    at = data.index(b"\xff\xda")
    return data[:at] + inserted + data[at:]


SOUND = {
    "a segment too long by two bytes": (
        lambda data: after_start(data, b"\xff\xe1\0\x08Exif\0\0\0\0"), JUNK),
    "junk between segments": (lambda data: before_scan(data, b"junk" * 9), JUNK),
    "an empty profile, 0 of 1": (
        lambda data: after_start(data, segment(0xE2, b"ICC_PROFILE\0\0\1")), JUNK),
    "a profile after the frame": (
        lambda data: before_scan(data, segment(0xE2, b"ICC_PROFILE\0\2\1junk")), JUNK),
    "junk after the last row": (lambda data: before_end(data, b"\0" * 99), TRAILING),
    "other junk after the last row": (lambda data: before_end(data, bytes(range(1, 99))), TRAILING),
    "no end": (lambda data: data[:-2], NO_END),
    "zeros for an end": (lambda data: data[:-2] + b"\0" * 7, NO_END),
    "many zeros for an end": (lambda data: data[:-2] + b"\0" * 4096, NO_END),
    "parameters of a progressive scan": (
        lambda data: data.replace(b"\0\x3f\0", b"\1\x3f\0", 1), JUNK),
    "an unknown version of JFIF": (
        lambda data: data.replace(b"JFIF\0\1", b"JFIF\0\7"), JUNK),
    "a short Adobe segment": (lambda data: before_scan(data, segment(0xEE, b"Adobe")), None),
    "fill bytes": (lambda data: after_start(data, b"\xff\xff"), None),
    "a film after the end": (lambda data: data + b"film" * 99, None),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", SOUND)
def test_what_no_pixel_depends_on_is_no_damage(kind, fault):
    data, (change, expected) = KINDS[kind], SOUND[fault]
    changed, odd = change(data), []
    with decoding(changed, lambda height, width: 1, on_oddity=odd.append) as found:
        assert np.array_equal(found.image, decode(data))
    assert odd == [expected] * (changed != data and expected is not None)


def test_an_unknown_transform_of_adobe_is_ycbcr():
    data = KINDS["baseline"]
    adobe = after_start(data[:2] + data[20:], segment(0xEE, b"Adobe\0d\0\0\0\0\7"))
    assert np.array_equal(decode(adobe), decode(data))


@pytest.mark.parametrize("kind", KINDS)
@given(lost=st.integers(3, 600))
def test_a_photo_without_its_end_is_read_only_if_all_rows_are_there(kind, lost):
    for ending in (b"", b"\0" * lost):
        with pytest.raises(ImageError, match="truncated"):
            decode(KINDS[kind][:-lost] + ending)


def test_a_progressive_photo_without_its_last_scans_is_truncated():
    data = KINDS["progressive"]
    with pytest.raises(ImageError, match="truncated"):
        decode(data[: data.rindex(b"\xff\xc4")])


@pytest.mark.parametrize("kind", ["baseline", "ink"])
@pytest.mark.parametrize("fault", ["an empty profile, 0 of 1", "junk between segments"])
def test_damage_is_seen_behind_what_is_harmless(kind, fault):
    data = KINDS[kind]
    damaged = data[: len(data) * 3 // 4] + data[len(data) * 3 // 4 + 150 :]
    with pytest.raises(ImageError, match=r"JPEG \(88 x 64\) is damaged.*Corrupt.*magick"):
        decode(SOUND[fault][0](damaged))


class TestHeight:
    """drewnoakes/metadata-extractor#243, image-rs/jpeg-decoder#164."""

    @pytest.fixture
    def without(self):
        data = bytearray(KINDS["baseline"])
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 2] = b"\0\0"
        return bytes(data)

    def test_none_is_an_unreadable_photo(self, without):
        with pytest.raises(ImageError, match=r"says that it has 88 x 0 pixels.*save it again"):
            decode(without)

    def test_it_may_be_told_after_the_scan(self, without):
        told = before_end(without, b"\xff\xdc\0\4\0\x40")
        assert np.array_equal(decode(told), decode(KINDS["baseline"]))

    def test_neither_in_the_thumbnail(self, without):
        thumbnail = segment(0xE1, b"Exif\0\0" + KINDS["baseline"] + b"\xff\xdc\0\4\0\x40")
        with pytest.raises(ImageError, match="88 x 0"):
            decode(after_start(without, thumbnail))
