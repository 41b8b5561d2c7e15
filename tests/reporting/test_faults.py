"""Equal files and probably wrong labels of a run."""

from pathlib import Path

import numpy as np

from budwood.reporting.records import ListedImage
from budwood.reporting.report_data import equal_images, probably_wrong


def test_equal_files_are_told_by_what_is_wrong_with_them():
    images = [
        ListedImage(Path("1"), "a", "train"),
        ListedImage(Path("2"), "a", "train"),
        ListedImage(Path("3"), "a", "test"),
        ListedImage(Path("4"), "a", "train"),
        ListedImage(Path("5"), "b", "train"),
        ListedImage(Path("6"), "a", "test"),
        ListedImage(Path("7"), "a", "test"),
    ]
    found = equal_images(images, [b"x", b"x", b"y", b"y", b"z", b"z", b"w"])
    assert [(f.kind, [p.path for p in f.images]) for f in found] == [
        ("conflict", ["5", "6"]),
        ("leak", ["3", "4"]),
        ("copy", ["1", "2"]),
    ]
    assert found[1].values["splits"] == "test / train"
    assert equal_images(images[:2], [b"1", b"2"]) == []


def test_a_label_that_others_contradict_is_found():
    labels = np.repeat([0, 1], 30)
    shares = np.where(labels[:, None] == [0, 1], 0.95, 0.05)
    shares[7] = 0.02, 0.98
    shares[8] = 0.4, 0.6  # hard to tell
    paths = [Path(f"{i}.jpg") for i in range(60)]
    (found,) = probably_wrong(paths, labels, ("cat", "dog"), shares)
    assert found.images[0].path == "7.jpg"
    assert found.values == {
        "label": "cat",
        "better": "dog",
        "probability": "0.98",
        "against": "0.02",
    }
