"""Photos that belong together: equal files, copies of one picture, bursts."""

import shutil

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from budwood.data import duplicates as module
from budwood.data.duplicates import together
from budwood.data.near_duplicates import Copies, SimilarPair
from budwood.data.parts import LabelledImage, LabelledParts, join_groups


def picture(seed, size=(150, 200)):
    """Shapes with edges, as photos have them."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (6, 8, 3), np.uint8)
    image = np.array(Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC))
    for _ in range(8):
        y, x = (int(random.integers(0, side - 30)) for side in size)
        image[y : y + int(random.integers(8, 60)), x : x + int(random.integers(8, 60))] = (
            random.integers(0, 256, 3)
        )
    return Image.fromarray(image)


def save(image, path, when=None, quality=90):
    exif = Image.Exif()
    if when:
        exif[ExifTags.Base.Model] = "Camera"
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = when
    image.save(path, "JPEG", quality=quality, exif=exif)
    return path


@pytest.fixture
def images(tmp_path):
    return [save(picture(seed), tmp_path / f"{seed}.jpg") for seed in range(12)]


def test_photos_of_their_own_stand_for_themselves(images):
    seen = together(images)
    assert seen.is_empty
    assert seen.was_searched


def test_equal_files_copies_and_bursts_are_each_one_group(images, tmp_path):
    shutil.copy(images[0], tmp_path / "equal.jpg")
    save(ImageOps.mirror(picture(3)), tmp_path / "mirrored.jpg", quality=50)
    burst = [
        save(picture(100 + i), tmp_path / f"burst{i}.jpg", f"2024:05:01 12:00:0{i}")
        for i in range(3)
    ]
    seen = together([*images, tmp_path / "equal.jpg", tmp_path / "mirrored.jpg", *burst])
    assert seen.groups[12] == seen.groups[0]
    assert seen.groups[13] == seen.groups[3]
    assert len(set(seen.groups[14:])) == 1
    assert len(set(seen.groups)) == 13
    assert str(seen) == "7 photos (2 equal files, 2 the same picture, 3 bursts)"


def test_what_cannot_be_read_stands_for_itself(images, tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "empty2.jpg").touch()
    (tmp_path / "torn.jpg").write_bytes(images[0].read_bytes()[:900])
    names = ("empty.jpg", "empty2.jpg", "torn.jpg", "gone.jpg", "gone2.jpg")
    assert together([*images, *(tmp_path / name for name in names)]).is_empty


def test_equal_files_are_kept_together_even_if_they_are_no_photos(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_text("no photo")
    assert together([tmp_path / "a.jpg", tmp_path / "b.jpg"]).groups == (0, 0)


def test_of_too_many_bytes_only_equal_files_and_bursts_are_looked_for(
    images, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    shutil.copy(images[0], tmp_path / "equal.jpg")
    save(ImageOps.mirror(picture(3)), tmp_path / "mirrored.jpg")
    burst = [
        save(picture(100 + i), tmp_path / f"b{i}.jpg", f"2024:05:01 12:00:0{i}") for i in (0, 4)
    ]
    seen = together([*images, tmp_path / "equal.jpg", tmp_path / "mirrored.jpg", *burst])
    assert not seen.was_searched
    assert (seen.equal, seen.alike, seen.bursts) == (2, 0, 2)


def test_what_was_found_is_kept_until_a_file_changes(images, tmp_path, monkeypatch):
    shutil.copy(images[0], tmp_path / "equal.jpg")
    paths = [*images, tmp_path / "equal.jpg"]
    first = together(paths)
    with monkeypatch.context() as patch:
        patch.setattr(module, "glances", None)  # nothing is opened
        assert together(paths) == first
    save(picture(50), tmp_path / "equal.jpg")
    assert together(paths).is_empty


def test_damage_to_what_is_kept_does_no_harm(images, budwood_home):
    first = together(images)
    (kept,) = (budwood_home / "groups").iterdir()
    for damage in (b"", b"{}", b'{"groups": [1]}', kept.read_bytes().replace(b"[0, ", b"[")):
        kept.write_bytes(damage)
        assert together(images) == first


def test_a_home_that_cannot_be_written_does_no_harm(images, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("BUDWOOD_HOME", str(tmp_path / "file"))
    assert together(images).is_empty


def test_photos_alone_or_none_at_all_have_nobody_to_belong_to(images):
    assert together([]).is_empty
    assert together(images[:1]).is_empty


def test_pairs_that_were_not_compared_are_told(images, monkeypatch):
    monkeypatch.setattr(
        module, "alike", lambda small, bits: Copies((SimilarPair(0, 1, 0.95),), 12_000)
    )
    seen = together(images)
    assert seen.left_out == 12_000
    assert together(images).left_out == 12_000  # what is kept tells it, too
    found = LabelledParts({"train": [LabelledImage(path, "a") for path in images]}, [])
    join_groups(found, images[0].parent)
    text = "12,000 pairs of photos that are alike at a glance"
    assert any(text in str(note) for note in found.notes)
