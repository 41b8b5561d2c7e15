"""A glance at a photo: a small grey copy, its size, when it was taken."""

import threading

import numpy as np
import pytest
from PIL import Image

from budwood.data import duplicates as glances_module
from budwood.data.duplicates import glance, glances, moments_of
from budwood.data.near_duplicates import SMALL
from budwood.errors import ImageError
from budwood.reporter import Reporter


@pytest.mark.parametrize("size", [(120, 160), (700, 900), (64, 64), (20, 30), (2000, 300)])
def test_the_small_copy_is_that_of_the_whole_photo(tmp_path, scene, encoded, size):
    data = encoded(scene(*size), "JPEG", quality=95)
    (tmp_path / "a.jpg").write_bytes(data)
    seen = glance(tmp_path / "a.jpg")
    assert seen.size == size
    whole = SMALL.pixels(data)[..., 0].astype(int)
    assert np.abs(seen.small.astype(int) - whole).mean() < 4


def test_a_photo_on_its_side_is_seen_upright(tmp_path, scene, encoded):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a.jpg").write_bytes(encoded(scene(120, 160), "JPEG", exif=exif))
    assert glance(tmp_path / "a.jpg").size == (160, 120)


def test_other_formats_are_seen_too(tmp_path, scene, encoded):
    for ending in ("PNG", "WEBP", "GIF"):
        (tmp_path / f"a.{ending}").write_bytes(encoded(scene(), ending))
        assert glance(tmp_path / f"a.{ending}").size == (120, 160)


def test_of_many_the_unreadable_are_none(tmp_path, scene, encoded):
    (tmp_path / "good.jpg").write_bytes(encoded(scene(), "JPEG"))
    (tmp_path / "torn.jpg").write_bytes(encoded(scene(), "JPEG")[:500])
    paths = [tmp_path / name for name in ("good.jpg", "torn.jpg", "gone.jpg")]
    assert [one is None for one in glances(paths)] == [False, True, True]
    assert moments_of(paths) == [None, None, None]
    with pytest.raises(ImageError, match="truncated"):
        glance(tmp_path / "torn.jpg")


def test_how_far_it_is_is_said_while_it_takes_long(tmp_path, monkeypatch):
    told, notes = threading.Event(), []
    monkeypatch.setattr(glances_module, "FIRST_WORD", 0.01)

    def hear(note):
        notes.append(note)
        told.set()

    monkeypatch.setattr(glances_module, "glance", lambda path, depth: told.wait(5))
    glances([tmp_path / "a.jpg", tmp_path / "b.jpg"], reporter=Reporter(note=hear))
    assert notes == ["Looking for copies of a picture: 0 of 2 photos so far."]


def test_nothing_is_said_of_what_is_quickly_done(tmp_path, scene, encoded):
    notes = []
    (tmp_path / "a.jpg").write_bytes(encoded(scene(), "JPEG"))
    glances([tmp_path / "a.jpg"], notes.append)
    assert notes == []
