"""Bursts on the command line: labels that mean nothing are not cross-validated to 1.000."""

import csv
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageEnhance


def near_copy(image, number):
    """The next frame of a burst: a little smaller, a little brighter, saved again."""
    width, height = image.size
    edge = number % 3
    frame = image.crop((edge, edge, width - edge, height - edge))
    frame = ImageEnhance.Brightness(frame).enhance(1 + 0.02 * number)
    data = BytesIO()
    frame.save(data, "jpeg", quality=80 + 3 * number)
    return data.getvalue()


@pytest.fixture(scope="module")
def lists(place, real_photos):
    """A list of 12 bursts of 5 with its column of groups, and the same list without; labels are
    drawn at random for each burst."""
    random = np.random.default_rng(4)
    files = sorted((real_photos / "flowers" / "val").rglob("*.jpg"))
    labels = random.permutation(np.repeat(["left", "middle", "right"], 4))
    folder = place.folder / "bursts"
    folder.mkdir()
    rows = []
    for burst, file in enumerate(random.choice(len(files), 12, replace=False)):
        with Image.open(files[file]) as image:
            image.load()
        for number in range(5):
            name = f"{burst:02}-{number}.jpg"
            (folder / name).write_bytes(near_copy(image, number))
            rows.append((name, labels[burst], f"burst {burst}"))
    for name, columns in (("grouped", 3), ("plain", 2)):
        with (folder / f"{name}.csv").open("w", newline="") as text:
            head = ("path", "label", "group")[:columns]
            csv.writer(text).writerows([head, *(row[:columns] for row in rows)])
    return folder


def test_bursts_of_random_labels_are_not_known_whether_the_list_names_them_or_not(place, lists):
    asked = ["--kfold", "5", "--no-report", "--json"]
    named, found = place.run_several(
        [["train", lists / f"{name}.csv", *asked] for name in ("grouped", "plain")]
    )
    (note,) = (n for n in found.json["notes"] if "Kept together" in n)
    assert "60 photos" in note
    for outcome in (named, found):
        kfold = outcome.json["kfold"]
        assert kfold["images"] == 60
        assert kfold["top1"] < 0.6  # 0.333 is true; torn bursts give 1.000
        assert kfold["interval"][0] < 0.34
        assert kfold["interval"][1] > 0.33
        assert outcome.json["probe"]["cross_validated_top1"] < 0.75
        assert "Class 'left' has photos of 4 groups only, and groups are not torn" in outcome.err
    for name in ("kfold", "test", "calibration"):
        assert named.json[name] == found.json[name]
