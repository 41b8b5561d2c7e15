"""Damaged photos: each is decoded or an error of this photo, in little time and without a word."""

import importlib.util
import io
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from budwood.errors import ImageError
from budwood.images.decode import decode
from budwood.images.pillow import rgb

pytestmark = pytest.mark.slow

_spec = importlib.util.spec_from_file_location("corpus", Path(__file__).with_name("corpus.py"))
corpus = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(corpus)


def by_pillow(data, monkeypatch):
    """Upright and over white; None where Pillow reads it otherwise, or not."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data)) as image:
            image.load()
            return rgb(image)
    except Exception:
        return None
    finally:
        monkeypatch.undo()


def judged(files, monkeypatch):
    """What became of the files: read, read alike by Pillow, refused; and those that differ."""
    outcomes, wrong = Counter(), []
    for name, data in files:
        monkeypatch.setattr("budwood.images.formats.MEGAPIXELS", 5)
        started = time.perf_counter()
        try:
            image = decode(data)
        except ImageError:
            outcomes["refused"] += 1
            continue
        finally:
            assert time.perf_counter() - started < 5, name
        outcomes["read"] += 1
        other = None if "planes16" in name else by_pillow(data, monkeypatch)
        if other is None or other.shape != image.shape:
            outcomes["Pillow gives no such image"] += 1
        elif np.abs(image.astype(int) - other).max() > 1:
            wrong.append(name)
    return outcomes, wrong


def test_damaged_photos_are_read_as_pillow_reads_them_or_refused(monkeypatch, capfd):
    outcomes, wrong = judged(corpus.mutations(220), monkeypatch)
    assert outcomes["read"] > 30
    assert outcomes["refused"] > 100
    assert wrong == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", corpus.images())
def test_what_is_damaged_was_sound(name):
    assert decode(corpus.images()[name]).shape == (60, 84, 3)
