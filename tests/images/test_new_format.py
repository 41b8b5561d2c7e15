"""A format that this file adds in one row is found in folders, read, and damaged ones are told."""

import numpy as np
import pytest
from PIL import Image
from PIL.PpmImagePlugin import PpmImageFile

from budwood.data.folder import load_folder
from budwood.errors import ImageError
from budwood.images import formats
from budwood.images.decode import decode
from budwood.images.formats import Format, Header


def header(data):
    """Of a portable pixmap: `P6 WIDTH HEIGHT 255`."""
    _, width, height, _ = data.split(maxsplit=4)[:4]
    return Header("ppm", int(height), int(width))


@pytest.fixture(autouse=True)
def row(monkeypatch):
    added = Format("ppm", (".ppm",), r"P6\s", header, PpmImageFile)
    monkeypatch.setattr(formats, "FORMATS", (*formats.FORMATS, added))


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)


def test_its_pixels_are_read(pixels, tmp_path):
    Image.fromarray(pixels).save(tmp_path / "a.ppm")
    np.testing.assert_array_equal(decode((tmp_path / "a.ppm").read_bytes()), pixels)


def test_a_file_that_ends_too_early_is_refused(pixels, tmp_path):
    Image.fromarray(pixels).save(tmp_path / "a.ppm")
    with pytest.raises(ImageError, match="truncated"):
        decode((tmp_path / "a.ppm").read_bytes()[:-20])


def test_a_folder_of_them_is_a_data_set(tmp_path):
    random = np.random.default_rng(1)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(4):
            noise = random.integers(0, 256, (40, 40, 3)).astype(np.uint8)
            Image.fromarray(noise).save(tmp_path / name / f"{i}.PPM", format="PPM")
    found = load_folder(tmp_path)
    assert found.classes == ("a", "b")
    assert len(found.train) + len(found.test) == 8
