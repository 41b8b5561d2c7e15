import json

import pytest

from budwood.data.columns import refuse_label_columns
from budwood.data.layouts import refuse_detection
from budwood.data.lists import refuse_labels
from budwood.data.scan import grow
from budwood.errors import DataError

DETECTION = r"object detection \({}\).*Budwood classifies whole photos, one class each"


@pytest.mark.parametrize(
    ("names", "sign"),
    [
        (["images/1.jpg", "labels/1.txt"], "the folders images and labels"),
        (["train/images/1.jpg", "train/labels/1.txt"], "the folders images and labels"),
        (["JPEGImages/1.jpg", "Annotations/1.xml"], "the folder Annotations"),
    ],
)
def test_detection_is_known_by_its_folders(plant, names, sign):
    with pytest.raises(DataError, match=DETECTION.format(sign)):
        refuse_detection(grow(plant(*names)))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cats/1.txt", "0 0.5 0.5 0.25 0.3\n1 0.1 0.2 0.3 0.4\n"),
        ("cats/1.xml", "<annotation><object><name>cat</name></object></annotation>"),
    ],
)
def test_detection_is_known_by_boxes_beside_the_photos(plant, name, text):
    root = plant("cats/1.jpg", "cats/2.jpg", name)
    (root / name).write_text(text)
    with pytest.raises(DataError, match=DETECTION.format(r"boxes in 1\.\w+ beside the photo")):
        refuse_detection(grow(root))


def test_detection_is_known_by_a_coco_file(plant):
    root = plant("train/1.jpg", "train/_annotations.coco.json")
    content = {"images": [{"id": 1}], "annotations": [{"bbox": [0, 0, 1, 1]}]}
    (root / "train" / "_annotations.coco.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=DETECTION.format(r"the COCO file _annotations.coco.json")):
        refuse_detection(grow(root))


def test_ordinary_files_beside_the_photos_are_no_sign(plant):
    root = plant("labels/1.jpg", "images/1.jpg", "images/1.txt", "images/1.xml", "a.json", "2.txt")
    (root / "images" / "1.txt").write_text("A cat, 3 years old, 4 kg.\n")
    (root / "images" / "1.xml").write_text("<metadata/>")
    (root / "a.json").write_text('{"images": 3}')
    (root / "2.txt").write_text("0 0.5 0.5 0.25 0.3\n")
    refuse_detection(grow(root))


def test_a_sign_that_cannot_be_read_is_named(plant):
    root = plant("1.jpg")
    (root / "boxes.json").symlink_to(root / "gone.json")
    with pytest.raises(DataError, match=r"boxes\.json cannot be read.*Check that you may read it"):
        refuse_detection(grow(root))


@pytest.mark.parametrize("columns", [["path", "label1", "label2"], ["path", "label", "label_2"],
                                     ["path", "label", "tags"]])  # fmt: skip
def test_several_label_columns_are_refused(tmp_path, columns):
    with pytest.raises(DataError, match=r"several labels.*one class each.*Keep one column `label`"):
        refuse_label_columns(tmp_path, columns)


def test_one_label_column_is_right(tmp_path):
    refuse_label_columns(tmp_path, ["path", "label", "split", "group"])


@pytest.mark.parametrize("label", ["cat;dog", "cat|dog"])
def test_several_labels_in_a_cell_are_refused(tmp_path, label):
    with pytest.raises(DataError, match=r"several labels.*one class each"):
        refuse_labels(tmp_path, ["cat", label])


def test_numbers_nearly_all_different_are_regression(tmp_path):
    labels = [str(0.37 * number) for number in range(20)]
    with pytest.raises(DataError, match=r"that is regression.*one class each.*few named classes"):
        refuse_labels(tmp_path, labels)


@pytest.mark.parametrize("labels", [["0", "1"] * 10, ["1.5", "2.5"] * 5, ["a", "b", "c", "d", "e"]])
def test_classes_may_be_numbers(tmp_path, labels):
    refuse_labels(tmp_path, labels)
