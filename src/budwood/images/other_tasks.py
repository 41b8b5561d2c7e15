"""Recognising data made for other tasks, so that it is refused in one clear line."""

import re
from collections.abc import Sequence
from pathlib import Path

from budwood.errors import DataError
from budwood.images.trees import Tree
from budwood.text import listed

ONE_CLASS_EACH = "Budwood classifies whole photos, one class each."

_LABEL_COLUMN = re.compile(r"(label|class|tag|category)e?s?[ _.-]?\d*|categories")
_YOLO_LINE = re.compile(rb"^\s*\d+(\s+[-+\d.e]+){4,}\s*$", re.MULTILINE)
_COCO_KEYS = (b'"images"', b'"annotations"', b'"bbox"')


def refuse_detection(tree: Tree) -> None:
    """Nothing for a folder of photos to classify.

    Raises:
        DataError: If it is laid out for object detection; the text says by which sign.
    """
    for folder in tree.walk():
        sign = _pair(folder) or _annotations(folder) or _coco(folder) or _boxes(folder)
        if sign:
            raise DataError(
                f"{folder.path} is laid out for object detection ({sign}).",
                expected=ONE_CLASS_EACH,
                next="If the photos also lie in class folders, name the folder that holds these.",
                file=folder.path,
            )


def _pair(folder: Tree) -> str | None:
    names = {below.name.lower(): below for below in folder.folders}
    if {"images", "labels"} <= names.keys() and not names["labels"].num_photos:
        return "the folders images and labels"
    return None


def _annotations(folder: Tree) -> str | None:
    for below in folder.folders:
        if below.name.lower() in ("annotation", "annotations") and not below.num_photos:
            return f"the folder {below.name}"
    return None


def _coco(folder: Tree) -> str | None:
    for path in folder.others:
        if path.suffix.lower() == ".json":
            start = _start(path)
            if sum(key in start for key in _COCO_KEYS) >= 2:
                return f"the COCO file {path.name}"
    return None


def _boxes(folder: Tree) -> str | None:
    """YOLO's .txt or Pascal VOC's .xml of the same name as a photo."""
    photos = {photo.stem for photo in folder.photos}
    beside = [path for path in folder.others if path.stem in photos]
    for path in beside[:10]:
        if path.suffix.lower() == ".txt" and _YOLO_LINE.search(_start(path)):
            return f"boxes in {path.name} beside the photo"
        if path.suffix.lower() == ".xml" and b"<object" in _start(path):
            return f"boxes in {path.name} beside the photo"
    return None


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(65536)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {(error.strerror or str(error)).lower()}.",
            next="Check that you may read it.",
            file=path,
        ) from None


def refuse_label_columns(file: Path, columns: Sequence[str]) -> None:
    """Nothing for a list with one column of labels.

    Raises:
        DataError: If there are several.
    """
    several = [name for name in columns if _LABEL_COLUMN.fullmatch(name)]
    if len(several) > 1:
        raise _several_labels(file, f"the columns {listed(several)}")


def refuse_labels(file: Path, labels: Sequence[str]) -> None:
    """Nothing for a list of class names.

    Raises:
        DataError: If cells hold several labels, or numbers to predict.
    """
    several = [label for label in labels if ";" in label or "|" in label]
    if several:
        raise _several_labels(file, f"labels such as {several[0]!r}")
    if len(labels) >= 5 and all(map(_is_number, labels)) and len(set(labels)) >= 0.8 * len(labels):
        raise DataError(
            f"The labels in {file} are numbers, nearly all different ({listed(list(labels))}): "
            "that is regression.",
            expected=ONE_CLASS_EACH,
            next="Sort the numbers into a few named classes.",
            file=file,
        )


def _several_labels(file: Path, sign: str) -> DataError:
    return DataError(
        f"{file} gives a photo several labels ({sign}).",
        expected=ONE_CLASS_EACH,
        next="Keep one column `label` with one class in each cell.",
        file=file,
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
