"""The surfaces are drawn offline, the same way every time, and share no pixel between splits."""

from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from budwood.course import surfaces
from budwood.course.surfaces import PATCH, SURFACES, draw_surfaces, raw_pixel_baseline
from budwood.errors import ConfigError, DataError
from budwood.tasks.demo import run_demo


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return draw_surfaces(tmp_path_factory.mktemp("surfaces"))


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.png")}


def test_every_surface_has_fifty_patches_in_each_split(drawn):
    for split in ("train", "test"):
        assert sorted(p.name for p in (drawn / split).iterdir()) == sorted(SURFACES)
        assert {len(list(p.iterdir())) for p in (drawn / split).iterdir()} == {50}


def test_patches_are_grey_of_64_pixels_and_not_blank(drawn):
    for path in drawn.rglob("*.png"):
        with Image.open(path) as patch:
            assert (patch.mode, patch.size) == ("L", (PATCH, PATCH))
            assert np.asarray(patch).std() >= 4


def test_the_same_seed_gives_the_same_bytes(drawn, tmp_path):
    assert contents(draw_surfaces(tmp_path)) == contents(drawn)


def test_another_seed_cuts_other_patches(drawn, tmp_path):
    assert contents(draw_surfaces(tmp_path, seed=1)).items() != contents(drawn).items()


def test_train_and_test_share_no_pixel(monkeypatch, tmp_path):
    ramp = np.tile(np.arange(200, dtype=np.uint8), (100, 1))  # a pixel's grey level is its column
    monkeypatch.setattr(surfaces, "_picture", lambda surface: ramp)
    folder = draw_surfaces(tmp_path)
    left = {v for p in folder.glob("train/*/*") for v in np.unique(np.asarray(Image.open(p)))}
    right = {v for p in folder.glob("test/*/*") for v in np.unique(np.asarray(Image.open(p)))}
    assert min(right) - max(left) > 16


def test_no_patch_is_cut_twice(drawn):
    for split in ("train", "test"):
        patches = [p.read_bytes() for p in (drawn / split).rglob("*.png")]
        assert len(set(patches)) == len(patches)


def test_raw_pixels_do_better_than_chance_and_far_from_well(drawn):
    assert 0.4 < raw_pixel_baseline(drawn) < 0.65


def test_a_wheel_holds_all_pictures_and_where_they_are_from():
    folder = files("budwood.course") / "surface_pictures"
    assert {Path(file.name).stem for file in folder.iterdir()} == {*SURFACES, "SOURCES"}
    sources = (folder / "SOURCES.md").read_text(encoding="utf-8")
    assert all(f"| {surface} |" in sources for surface in SURFACES)


def test_the_patches_are_those_of_the_first_version(drawn):
    pixels = b"".join(
        np.asarray(Image.open(path)).tobytes()
        for path in sorted(drawn.rglob("*.png"))
        if path.parent.name != "retina"  # a JPEG: decoders may differ by a level
    )
    assert (
        sha256(pixels).hexdigest()
        == "69f07dca7ac9444d7d1aa750006043b7b669ea5b0ed90c1868bb76307359db41"
    )


def test_a_folder_without_patches_is_told(tmp_path):
    with pytest.raises(DataError, match="`draw_surfaces"):
        raw_pixel_baseline(tmp_path)


def test_the_demo_removes_no_folder_that_it_did_not_make(tmp_path):
    (tmp_path / "surfaces").mkdir()
    (tmp_path / "surfaces" / "mine.jpg").touch()
    for replace in (False, True):
        with pytest.raises(ConfigError, match=r"not empty, and Budwood did not make it.*--out"):
            run_demo(tmp_path, replace=replace)
    assert (tmp_path / "surfaces" / "mine.jpg").exists()
