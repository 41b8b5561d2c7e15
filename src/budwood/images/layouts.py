"""How photos are laid out in class folders, with or without a folder for each part."""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from budwood.errors import DataError
from budwood.images.notes import Note, count, first, not_photos
from budwood.images.trees import Tree

WHOLE = "photos"
"""The part's name where photos are not in parts."""

_ALIASES = {
    "train": "train",
    "training": "train",
    "training_set": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
    "test_set": "test",
}


@dataclass(frozen=True)
class LabelledPhoto:
    """A photo and the name of its class."""

    path: Path
    label: str
    group: str | None = None
    """Photos of one group never lie on two sides of a split."""


@dataclass(frozen=True)
class Found:
    """The labelled photos of each part (`photos`, or `train`, `val`, `test`), and what to say."""

    parts: dict[str, list[LabelledPhoto]]
    notes: tuple[Note, ...]


def part_of(name: str) -> str | None:
    """The part that a folder or a CSV cell names, None if it names none.

    Example:
        >>> part_of("Training_Set"), part_of("valid"), part_of("roses")
        ('train', 'val', None)
    """
    return _ALIASES.get(name.strip().lower())


def part_names() -> str:
    """All names of parts, for messages."""
    return ", ".join(_ALIASES)


def find_in_tree(tree: Tree) -> Found:
    """The photos of a folder of class folders, or of `train`, `val` and `test` folders of them.

    Raises:
        DataError: If there is no photo, or photos lie where a class folder was expected.
    """
    if not tree.num_photos:
        raise DataError(
            f"There are no photos in {tree.path}.",
            expected="One folder a class, with its photos in it, was expected.",
            file=tree.path,
        )
    folders = _part_folders(tree) or {WHOLE: tree}
    notes = [*_hidden(tree), *_other_files(tree)]
    if WHOLE not in folders:
        notes += _unused(tree, folders)
    notes += [note for folder in folders.values() for note in _of_part(folder)]
    return Found({part: _labelled(folder) for part, folder in folders.items()}, tuple(notes))


def _part_folders(tree: Tree) -> dict[str, Tree]:
    """The folder of each part; empty if the folders are classes.

    A class may be called `train` (beside `bus`), so the name alone does not decide: a part's
    folder holds folders.
    """
    named = [(part_of(folder.name), folder) for folder in tree.folders if folder.num_photos]
    parts = [(part, folder) for part, folder in named if part]
    of_classes = {part for part, folder in parts if _holds_classes(folder)}
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


def _holds_classes(folder: Tree) -> bool:
    return folder.num_photos > 2 * len(folder.photos)


def _labelled(folder: Tree) -> list[LabelledPhoto]:
    if not any(below.num_photos for below in folder.folders):
        raise _no_classes(folder)
    photos = [
        LabelledPhoto(photo, unicodedata.normalize("NFC", below.name))  # macOS may decompose names
        for below in folder.folders
        for photo in below.all_photos()
    ]
    return sorted(photos, key=lambda photo: photo.path.as_posix())


def _no_classes(folder: Tree) -> DataError:
    lists = [file.name for file in folder.others if file.suffix.lower() == ".csv"]
    return DataError(
        f"{count(len(folder.photos), 'photo')} in {folder.path} lie in no class folder.",
        expected="One folder a class, with its photos in it, was expected.",
        next=(
            f"If {lists[0]} lists their classes, name that file instead."
            if lists
            else "Make a folder for each class and move the photos into them."
        ),
        file=folder.path,
    )


def _hidden(tree: Tree) -> Iterator[Note]:
    for folder in tree.walk():
        for path in folder.hidden_folders:
            yield Note("hidden", "This hidden folder is ignored.", path)
        if len(folder.hidden_files) == 1:
            yield Note("hidden", "This hidden file is ignored.", folder.hidden_files[0])
        elif folder.hidden_files:
            names = first([path.name for path in folder.hidden_files])
            number = len(folder.hidden_files)
            yield Note("hidden", f"{number:,} hidden files are ignored: {names}.", folder.path)


def _other_files(tree: Tree) -> Iterator[Note]:
    files = [path for folder in tree.walk() for path in folder.others]
    if files:
        yield not_photos(files)


def _unused(tree: Tree, parts: dict[str, Tree]) -> Iterator[Note]:
    used = [folder.path for folder in parts.values()]
    for folder in tree.folders:
        if not folder.num_photos:
            yield Note("empty-class", "This folder holds no photo and is ignored.", folder.path)
        elif folder.path not in used:
            number = count(folder.num_photos, "photo")
            text = f"{number} in this folder are not used: it is none of {part_names()}."
            yield Note("not-a-split", text, folder.path)
    yield from _loose(tree)


def _of_part(folder: Tree) -> Iterator[Note]:
    for below in folder.folders:
        if not below.num_photos:
            text = "This class folder holds no photo and is ignored."
            yield Note("empty-class", text, below.path)
    yield from _loose(folder)


def _loose(folder: Tree) -> Iterator[Note]:
    if folder.photos:
        names = first([path.name for path in folder.photos])
        text = f"{count(len(folder.photos), 'photo')} beside the folders have no class: {names}."
        yield Note("no-class", text, folder.path)
