"""Moments: when and by which camera a photo was taken, and which follow each other closely."""

from io import BytesIO
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from budwood.data.duplicates import CaptureTime, bursts, moment_of


def jpeg(**tags):
    exif = Image.Exif()
    details = exif.get_ifd(ExifTags.IFD.Exif)
    for name, value in tags.items():
        tag = ExifTags.Base[name]
        (exif if name in ("Make", "Model", "DateTime") else details)[tag] = value
    file = BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", exif=exif)
    return file.getvalue()


def test_time_and_camera_are_read():
    first = moment_of(
        jpeg(
            Make="Reconyx",
            Model="HC500",
            BodySerialNumber="17",
            DateTimeOriginal="2024:05:01 12:00:03",
            SubsecTimeOriginal="25",
        )
    )
    later = moment_of(
        jpeg(
            Make="Reconyx",
            Model="HC500",
            BodySerialNumber="17",
            DateTimeOriginal="2024:05:01 12:00:04",
        )
    )
    assert first.camera == later.camera == "Reconyx HC500 17"
    assert later.seconds - first.seconds == pytest.approx(0.75)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_other_formats_tell_it_too(format):
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = "HC500"
    exif[ExifTags.Base.DateTime] = "2024:05:01 12:00:03"
    file = BytesIO()
    Image.new("RGB", (8, 8)).save(file, format, exif=exif)
    assert moment_of(file.getvalue()).camera == "HC500"


def test_where_the_camera_is_known_the_time_of_the_file_will_do():
    said = jpeg(Model="HC500", DateTime="2024:05:01 12:00:00")
    assert moment_of(said).camera == "HC500"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no photo",
        jpeg(),
        jpeg(Make="Reconyx"),
        jpeg(DateTimeOriginal="0000:00:00 00:00:00"),
        jpeg(DateTimeOriginal="yesterday"),
        jpeg(DateTime="2024:05:01 12:00:00"),
        jpeg(DateTimeOriginal="2024:05:01 12:00:00")[:50],
        b"\xff\xd8 Exif\0\0 and then nothing that makes sense" * 9,
    ],
    ids=[
        "empty",
        "text",
        "no exif",
        "no time",
        "no such time",
        "words",
        "of a program",
        "torn",
        "nonsense",
    ],
)
def test_where_no_time_is_told_there_is_none(data):
    assert moment_of(data) is None


def test_cameras_are_kept_apart_and_pauses_end_a_burst():
    moments = [
        CaptureTime("a", 30.0),
        CaptureTime("b", 1.0),
        CaptureTime("a", 0.0),
        CaptureTime("a", 8.0),
        None,
    ]
    assert bursts(moments, pause=10) == [[2, 3]]
    assert bursts(moments, pause=25) == [[2, 3, 0]]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 100)), max_size=30))
def test_every_photo_is_in_one_burst_at_most_and_neighbours_are_close(taken):
    moments = [CaptureTime(*one) for one in taken]
    found = bursts(moments, pause=5)
    together = [i for burst in found for i in burst]
    assert len(set(together)) == len(together)
    for burst in found:
        assert len({moments[i].camera for i in burst}) == 1
        times = [moments[i].seconds for i in burst]
        assert times == sorted(times)
        assert all(b - a <= 5 for a, b in pairwise(times))
