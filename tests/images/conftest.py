"""Photos and folders drawn for the tests of this folder."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def scene(height=120, width=160, seed=0):
    """A photo-like picture: smooth colours, a few sharp edges, a little noise; no symmetry."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    colours = np.stack([x * 255 / width, y * 255 / height, 128 + 90 * np.sin((x + 2 * y) / 23)], -1)
    colours[height // 5 : height // 3, width // 8 : width // 2] = (250, 240, 30)
    colours[height // 2 :, width // 2 : width * 3 // 5] //= 2
    noise = random.normal(0, 4, colours.shape)
    return Image.fromarray((colours + noise).clip(0, 255).astype(np.uint8))


def encoded(image, format, **options):
    """The bytes of the file that Pillow writes."""
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@pytest.fixture(name="scene")
def scene_fixture():
    return scene


@pytest.fixture(name="encoded")
def encoded_fixture():
    return encoded


@pytest.fixture
def plant(tmp_path):
    """Makes empty files below a temporary folder: `plant("cats/1.jpg", ...)` returns the folder."""

    def make(*names: str, root: str = "photos") -> Path:
        folder = tmp_path / root
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir() if name.endswith("/") else path.touch()
        return folder

    return make


@pytest.fixture
def class_folders(plant):
    """Makes class folders with so many empty photos: `class_folders(cats=3, dogs=2)`."""

    def make(root: str = "photos", **numbers: int) -> Path:
        names = (f"{name}/{n:03}.jpg" for name, number in numbers.items() for n in range(number))
        return plant(*names, root=root)

    return make


@pytest.fixture
def write_list(plant, tmp_path):
    """Writes a CSV file beside the photos a.jpg to f.jpg."""

    def write(text: str, name: str = "list.csv") -> Path:
        plant(*(f"{letter}.jpg" for letter in "abcdef"))
        file = tmp_path / "photos" / name
        file.write_text(text, encoding="utf-8")
        return file

    return write
