"""CSV lists: they name the same files when they are read again, and are no formulas."""

import os
from pathlib import Path

import pytest

from budwood.data.lists import find_in_list
from budwood.errors import DataError
from budwood.files import csv_bytes, path_cell, write_list
from budwood.reporting.records import ListedImage, images_of, write_images

LATIN = os.fsdecode(b"g\xe4nsebl\xfcmchen.jpg")


@pytest.mark.parametrize("name", [LATIN, "=1.jpg", "-1.jpg", "@a.jpg", "a,b\n.jpg", "ä.jpg"])
def test_a_list_of_photos_names_the_same_files_again(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for path in (Path(name), Path("b.jpg")):
        path.touch()
    rows = [[path_cell(name), "a"], ["b.jpg", "b"]]
    write_list(Path("list.csv"), [["path", "label"], *rows])
    (images,) = find_in_list(Path("list.csv")).parts.values()
    assert {image.path for image in images} == {Path(name), Path("b.jpg")}
    assert not any(cell.startswith(("=", "-", "@")) for cell, _ in rows)


def test_the_list_of_a_run_keeps_names_that_are_no_utf8(tmp_path):
    images = [ListedImage(tmp_path / LATIN, os.fsdecode(b"bl\xfcte"), "train", "g")]
    write_images(tmp_path / "photos.csv", images)
    assert images_of(tmp_path, {}) == tuple(images)


def test_a_list_in_latin1_whose_files_are_not_called_so_is_refused(tmp_path):
    (tmp_path / "gänse.jpg").touch()
    (tmp_path / "list.csv").write_bytes("path,label\ngänse.jpg,a\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"not UTF-8 text \(line 2\).*CSV UTF-8"):
        find_in_list(tmp_path / "list.csv")


def test_labels_in_latin1_are_refused(tmp_path):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "list.csv").write_bytes("path,label\na.jpg,Gänse\n".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        find_in_list(tmp_path / "list.csv")


def test_a_list_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*list.csv'"):
        write_list(tmp_path / "list.csv", [["a"]])
    assert list(tmp_path.iterdir()) == []


def test_class_names_stay_as_they_are():
    assert csv_bytes([["a.jpg", "-1"]]) == b"a.jpg,-1\n"
