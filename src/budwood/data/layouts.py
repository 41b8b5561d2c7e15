"""How photos are laid out in class folders, with or without a folder for each part.

Folders laid out for object detection are refused in one line.
"""

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from budwood.data.labels import FEW, Note, few_or_one, normalised, not_images, path_notes
from budwood.data.parts import WHOLE, LabelledImage, LabelledParts, part_names, part_of
from budwood.data.scan import Tree, unreadable
from budwood.errors import DataError
from budwood.text import count, listed

LISTS = (".csv", ".tsv")
"""Names of lists of photos end like this."""

ONE_CLASS_EACH = "Budwood classifies whole photos, one class each."

_YOLO_LINE = re.compile(rb"^\s*\d+(\s+[-+\d.e]+){4,}\s*$", re.MULTILINE)
_COCO_KEYS = (b'"images"', b'"annotations"', b'"bbox"')


def find_in_tree(tree: Tree, *, is_learned: bool = False) -> LabelledParts:
    """The photos of a folder of class folders, or of `train`, `val` and `test` folders of them.

    If it is trained on, a `test` or `val` folder of photos in no class folders, as competitions
    have it, is left out; otherwise it is an error.
    """
    if not tree.num_images:
        raise DataError(
            f"There are no photos in {tree.path}.",
            expected="One folder a class, with its photos in it, was expected.",
            file=tree.path,
        )
    parts = _part_folders(tree)
    folders = parts or {WHOLE: tree}
    notes = [*_hidden(tree), *_own(tree), *_other_files(tree)]
    if parts:
        notes += _unused(tree, parts)
    if is_learned and "train" in parts:
        without = [name for name in parts if name != "train" and _is_unlabelled(parts[name])]
        notes += [_without_labels(folders.pop(name)) for name in without]
    if parts:
        notes += _loose(tree)
    notes += path_notes(
        "empty-class",
        "This class folder holds no photo and is ignored.",
        [below.path for part in folders.values() for below in part.folders if not below.num_images],
        "{number} class folders hold no photo and are ignored: {names}.",
    )
    notes += [note for part in folders.values() for note in _loose(part)]
    labelled = {name: _labelled(part) for name, part in folders.items()}
    notes += [*_trimmed(folders.values()), *_nested(folders)]
    return LabelledParts(labelled, notes)


def _class_folders(part: Tree) -> list[Tree]:
    return [folder for folder in part.folders if folder.num_images]


def _part_folders(tree: Tree) -> dict[str, Tree]:
    """The folder of each part; empty if the folders are classes.

    A class may be called `train` (beside `bus`), so the name alone does not decide: a part's
    folder holds folders.
    """
    named = [(part_of(folder.name), folder) for folder in _class_folders(tree)]
    parts = [(part, folder) for part, folder in named if part]
    of_classes = {part for part, folder in parts if folder.num_images > 2 * len(folder.images)}
    if not of_classes or (len(parts) < len(named) and "train" not in of_classes):
        return {}
    folders: dict[str, Tree] = {}
    for part, folder in parts:
        if part in folders:
            raise DataError(
                f"Both {folders[part].name!r} and {folder.name!r} name the {part} part.",
                next="Merge them or rename one.",
                file=tree.path,
            )
        folders[part] = folder
    return folders


def _labelled(part: Tree) -> list[LabelledImage]:
    classes = _class_folders(part)
    if not classes:
        raise _no_classes(part)
    images = [
        LabelledImage(image, normalised(folder.name))
        for folder in classes
        for image in folder.all_images()
    ]
    return sorted(images, key=lambda image: image.path.as_posix())


def _is_unlabelled(part: Tree) -> bool:
    return bool(part.images) and not _class_folders(part)


def _without_labels(folder: Tree) -> Note:
    text = (
        f"{count(len(folder.images), 'photo')} in this folder are in no class folders: without "
        "labels they test nothing. What they show is said, after training, by "
        f"`budwood predict RUN {shlex.quote(str(folder.path))}`."
    )
    return Note("no-labels", text, folder.path)


def _no_classes(folder: Tree) -> DataError:
    names = {file.name for file in folder.others}
    own = "photos.csv" if "result.json" in names else None  # of a run, which went into DATA
    lists = sorted(name for name in names if Path(name).suffix.lower() in LISTS and name != own)
    return DataError(
        f"{count(len(folder.images), 'photo')} in {folder.path} lie in no class folder.",
        expected="One folder a class, with its photos in it, was expected.",
        next=(
            f"If {lists[0]} lists their classes, name that file instead."
            if lists
            else classes_in_names(folder.images)
            or "Make a folder for each class and move the photos into them."
        ),
        file=folder.path,
    )


def classes_in_names(images: Sequence[Path]) -> str | None:
    """What to do if the names of photos begin with their classes (`cat.0.jpg`, `dog_17.jpg`)."""
    begins = [re.match(r"([^\W\d_]+)[ ._-]*\d+$", image.stem) for image in images]
    numbers = Counter(found[1] for found in begins if found)
    if len(numbers) < 2 or not all(begins) or min(numbers.values()) < 2:
        return None
    names = listed([repr(name) for name in sorted(numbers)])
    return f"The names begin with {names}: make a folder for each and move its photos into it."


def _own(tree: Tree) -> list[Note]:
    return path_notes(
        "own-folder",
        "Budwood wrote this folder: it is no class and is ignored.",
        [path for folder in tree.walk() for path in folder.own_folders],
        "{number} folders that Budwood wrote are no classes and are ignored: {names}.",
    )


def _hidden(tree: Tree) -> list[Note]:
    notes, paths = [], []
    for folder in tree.walk():
        text = "This hidden folder is ignored."
        notes += [Note("hidden", text, path) for path in folder.hidden_folders]
        if len(folder.hidden_files) == 1:
            notes.append(Note("hidden", "This hidden file is ignored.", folder.hidden_files[0]))
        elif folder.hidden_files:
            names = listed([path.name for path in folder.hidden_files])
            number = len(folder.hidden_files)
            text = f"{number:,} hidden files are ignored: {names}."
            notes.append(Note("hidden", text, folder.path))
        paths += [path.as_posix() for path in (*folder.hidden_folders, *folder.hidden_files)]
    if len(notes) <= FEW:
        return notes
    text = f"{count(len(paths), 'hidden file or folder', 'hidden files and folders')} are ignored"
    return [Note("hidden", f"{text}: {listed(paths)}.")]


def _other_files(tree: Tree) -> Iterator[Note]:
    files = [path for folder in tree.walk() for path in folder.others]
    if files:
        yield not_images(files)


def _unused(tree: Tree, parts: dict[str, Tree]) -> Iterator[Note]:
    used = [folder.path for folder in parts.values()]
    others = [folder for folder in _class_folders(tree) if folder.path not in used]
    notes = [
        Note(
            "not-a-split",
            f"{count(folder.num_images, 'photo')} in this folder are not used: it is none of "
            f"{part_names()}.",
            folder.path,
        )
        for folder in others
    ]
    yield from few_or_one(
        notes,
        [folder.path.as_posix() for folder in others],
        f"Photos in {{number}} folders are not used: they are none of {part_names()}: {{names}}.",
    )
    for folder in tree.folders:
        if not folder.num_images:
            yield Note("empty-class", "This folder holds no photo and is ignored.", folder.path)


def _loose(folder: Tree) -> Iterator[Note]:
    if folder.images:
        names = listed([path.name for path in folder.images])
        text = f"{count(len(folder.images), 'photo')} beside the folders have no class: {names}."
        yield Note("no-class", text, folder.path)


def _trimmed(parts: Iterable[Tree]) -> Iterator[Note]:
    """A note if names of class folders have blanks around them."""
    names = {folder.name for part in parts for folder in _class_folders(part)}
    if blank := sorted(name for name in names if name != name.strip()):
        shown = listed([repr(name) for name in blank])
        yield Note("blanks", f"Blanks around the names of classes are not part of them: {shown}.")


def _nested(parts: dict[str, Tree]) -> Iterator[Note]:
    """A note if class folders hold folders of photos, which are all of the one class."""
    classes = [folder for part in parts.values() for folder in _class_folders(part)]
    nested = [folder for folder in classes if _class_folders(folder)]
    if not nested:
        return
    inner = [[below.name for below in _class_folders(folder)] for folder in nested]
    shown = listed([f"{c.name} ({listed(names)})" for c, names in zip(nested, inner, strict=True)])
    often = max(Counter(name for names in inner for name in names).values())
    # Folders of one name in several classes are sessions or sites; a class has its name to itself.
    looks_wrong = not any(below.images for below in classes) and (often == 1 or len(classes) == 1)
    text = (
        f"No class folder holds photos itself, only folders that do. These are not told apart: "
        f"{shown}."
        if looks_wrong
        else f"Photos of folders inside a class folder are of that class: {shown}."
    )
    more = (
        f"; `budwood train {shlex.quote(str(nested[0].path))}` trains on those of one"
        if WHOLE in parts and len(nested[0].folders) > 1
        else ""
    )
    yield Note(
        "nested",
        f"{text} If these are the classes, move them up, or list the photos in a CSV file "
        f"path,label{more}.",
    )


def refuse_detection(tree: Tree) -> None:
    """Raise unless a folder holds photos to classify."""
    for folder in tree.walk():
        sign = _folders(folder) or _coco(folder) or _boxes(folder)
        if sign:
            raise DataError(
                f"{folder.path} is laid out for object detection ({sign}).",
                expected=ONE_CLASS_EACH,
                next="If the photos also lie in class folders, name the folder that holds these.",
                file=folder.path,
            )


def _folders(folder: Tree) -> str | None:
    without_images = [below.name for below in folder.folders if not below.num_images]
    has_images = any(below.name.lower() == "images" for below in folder.folders)
    if has_images and "labels" in map(str.lower, without_images):
        return "the folders images and labels"
    names = [name for name in without_images if name.lower() in ("annotation", "annotations")]
    return f"the folder {names[0]}" if names else None


def _coco(folder: Tree) -> str | None:
    for path in folder.others:
        if path.suffix.lower() == ".json":
            start = _start(path)
            if sum(key in start for key in _COCO_KEYS) >= 2:
                return f"the COCO file {path.name}"
    return None


def _boxes(folder: Tree) -> str | None:
    """YOLO's .txt or Pascal VOC's .xml of the same name as a photo."""
    images = {image.stem for image in folder.images}
    for path in [path for path in folder.others if path.stem in images][:10]:
        kind = path.suffix.lower()
        is_yolo = kind == ".txt" and _YOLO_LINE.search(_start(path))
        if is_yolo or (kind == ".xml" and b"<object" in _start(path)):
            return f"boxes in {path.name} beside the photo"
    return None


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(65536)
    except OSError as error:
        raise unreadable(str(path), path, error) from None
