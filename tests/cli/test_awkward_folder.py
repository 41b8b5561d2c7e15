"""A folder with everything that goes wrong in folders: training succeeds and says it all, once."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .conftest import draw_class, draw_image


@pytest.fixture(scope="module")
def awkward(place) -> Path:
    """The folder; its good photos outnumber the broken ones in every class."""
    root = place.folder / "awkward"
    train, test = root / "train", root / "test"
    for part, count in ((train, 14), (test, 4)):
        draw_class(part / "rosé", 240, count, "jpg")
        draw_class(part / "鸟", 40, count)
    draw_class(train / "katze", 120, 5)
    draw_class(train / "lonely", 190, 1)
    draw_class(test / "lonely", 190, 1)
    draw_class(test / "zebra", 10, 2)
    (train / "empty").mkdir()
    (root / ".git").mkdir()
    draw_image(root / ".git" / "logo.png", 0, 0)

    roses = train / "rosé"
    whole = (roses / "rosé-00.jpg").read_bytes()
    (roses / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (roses / "words.jpg").write_text("not a photo at all")
    (roses / "nothing.jpg").write_bytes(b"")
    frame = whole.index(b"\xff\xc0") + 5  # where its height is
    (roses / "flat.jpg").write_bytes(whole[:frame] + b"\0\0" + whole[frame + 2 :])
    for i in (1, 2):
        sound = (roses / f"rosé-{i:02}.jpg").read_bytes()
        (roses / f"junk-{i}.jpg").write_bytes(sound[:-2] + bytes(99) + sound[-2:])
    cmyk = Image.open(roses / "rosé-01.jpg").convert("CMYK")
    cmyk.save(roses / "cmyk.jpg")
    grey = np.linspace(0, 65535, 80 * 96).astype(np.uint16).reshape(80, 96)
    Image.fromarray(grey).save(roses / "sixteen.png")
    Image.open(roses / "rosé-02.jpg").convert("P").save(roses / "palette.gif")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(roses / "rosé-03.jpg").save(roses / "sideways.jpg", exif=exif)
    return root


PROBLEMS = (
    "truncated.jpg",
    "words.jpg",
    "nothing.jpg",
    "flat.jpg",
    ".git",
    "train/empty",
    "'lonely'",
    "no photo of class 'katze'",
    "class 'zebra'",
)
FINE = ("cmyk.jpg", "sixteen.png", "palette.gif", "sideways.jpg")


@pytest.fixture(scope="module")
def outcomes(place, awkward):
    """With --json, with --strict, with both."""
    train = ["train", "awkward", "--precision", "fp32"]
    options = (["--json"], ["--strict"], ["--strict", "--json"])
    return place.run_several([[*train, *chosen] for chosen in options])


def test_training_succeeds(outcomes):
    assert outcomes[0].code == 0
    assert outcomes[0].json["test"]["images"] == 9


@pytest.mark.parametrize("problem", PROBLEMS)
def test_every_problem_is_named_once(outcomes, problem):
    naming = [line for line in outcomes[0].err.splitlines() if problem in line]
    assert len(naming) == 1, outcomes[0].err


@pytest.mark.parametrize("name", FINE)
def test_unusual_photos_are_no_problem(outcomes, name):
    assert name not in outcomes[0].err


def test_the_notes_are_in_the_json_too(outcomes):
    result = outcomes[0].json
    for problem in PROBLEMS:
        assert sum(problem in note for note in result["notes"]) == 1, problem
    assert result["classes"] == ["katze", "lonely", "rosé", "鸟"]
    assert result["images"] == {"train": 40, "val": 0, "test": 9, "unreadable": 4}


def test_sound_photos_with_junk_in_them_are_one_line(outcomes):
    (line,) = [line for line in outcomes[0].err.splitlines() if "junk-" in line]
    assert "2 photos have bytes after the last row" in line
    assert "the first is" in line


def test_strict_is_one_line_that_names_the_broken_photos(outcomes):
    assert outcomes[1].code == 1
    (line,) = [line for line in outcomes[1].err.splitlines() if line.startswith("budwood: ")]
    assert all(name in line for name in PROBLEMS[:4])
    assert "go on without --strict" in line
    assert not outcomes[1].out


def test_strict_as_json_is_one_object(outcomes):
    assert outcomes[2].code == 1
    assert outcomes[2].json["error"].startswith("4 photos cannot be read")
    assert outcomes[2].json["file"].endswith(".jpg")
    assert outcomes[2].json["expected"] == "--strict allows none."
