"""How photos are laid out in class folders, with or without a folder for each part."""

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from budwood.data.labels import FEW, Note, few_or_one, normalised, not_photos
from budwood.data.scan import Tree
from budwood.errors import DataError
from budwood.text import count, listed

WHOLE = "photos"
"""The part's name where photos are not in parts."""

LISTS = (".csv", ".tsv")
"""Names of lists of photos end like this."""

_ALIASES = {
    "train": "train",
    "training": "train",
    "training_set": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
    "test_set": "test",
    "eval": "test",
}


@dataclass(frozen=True)
class LabelledPhoto:
    """A photo and the name of its class."""

    path: Path
    label: str
    group: str | None = None
    """Photos of one group never lie on two sides of a split."""


@dataclass(frozen=True)
class LabelledParts:
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


def find_in_tree(tree: Tree, *, is_learned: bool = False) -> LabelledParts:
    """The photos of a folder of class folders, or of `train`, `val` and `test` folders of them.

    Args:
        tree: The folder.
        is_learned: True if it is trained on: then a `test` or `val` folder of photos in no class
            folders, as competitions have it, is left out. Otherwise it is an error.
    """
    if not tree.num_photos:
        raise DataError(
            f"There are no photos in {tree.path}.",
            expected="One folder a class, with its photos in it, was expected.",
            file=tree.path,
        )
    folders = _part_folders(tree) or {WHOLE: tree}
    notes = [*_hidden(tree), *_own(tree), *_other_files(tree)]
    if WHOLE not in folders:
        notes += _unused(tree, folders)
    if is_learned and "train" in folders:
        notes += [_without_labels(part) for part in folders.values() if _is_unlabelled(part)]
        folders = {
            name: part
            for name, part in folders.items()
            if name == "train" or not _is_unlabelled(part)
        }
    notes += _loose(tree) if WHOLE not in folders else ()
    notes += _empty([below for folder in folders.values() for below in folder.folders])
    notes += [note for folder in folders.values() for note in _loose(folder)]
    parts = {part: _labelled(folder) for part, folder in folders.items()}
    notes += [*_trimmed(folders.values()), *_nested(folders)]
    return LabelledParts(parts, tuple(notes))


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
        LabelledPhoto(photo, normalised(below.name))
        for below in folder.folders
        for photo in below.all_photos()
    ]
    return sorted(photos, key=lambda photo: photo.path.as_posix())


def _is_unlabelled(folder: Tree) -> bool:
    return bool(folder.photos) and not any(below.num_photos for below in folder.folders)


def _without_labels(folder: Tree) -> Note:
    text = (
        f"{count(len(folder.photos), 'photo')} in this folder are in no class folders: without "
        "labels they test nothing. What they show is said, after training, by "
        f"`budwood predict RUN {shlex.quote(str(folder.path))}`."
    )
    return Note("no-labels", text, folder.path)


def _no_classes(folder: Tree) -> DataError:
    names = {file.name for file in folder.others}
    own = "photos.csv" if "result.json" in names else None  # of a run, which went into DATA
    lists = sorted(name for name in names if Path(name).suffix.lower() in LISTS and name != own)
    return DataError(
        f"{count(len(folder.photos), 'photo')} in {folder.path} lie in no class folder.",
        expected="One folder a class, with its photos in it, was expected.",
        next=(
            f"If {lists[0]} lists their classes, name that file instead."
            if lists
            else classes_in_names(folder.photos)
            or "Make a folder for each class and move the photos into them."
        ),
        file=folder.path,
    )


def classes_in_names(photos: Sequence[Path]) -> str | None:
    """What to do if the names of photos begin with their classes (`cat.0.jpg`, `dog_17.jpg`).

    Example:
        >>> classes_in_names([Path(f"{name}.{n}.jpg") for name in ("cat", "dog") for n in (1, 2)])
        "The names begin with 'cat', 'dog': make a folder for each and move its photos into it."
    """
    begins = [re.match(r"([^\W\d_]+)[ ._-]*\d+$", photo.stem) for photo in photos]
    numbers = Counter(found[1] for found in begins if found)
    if len(numbers) < 2 or not all(begins) or min(numbers.values()) < 2:
        return None
    names = listed([repr(name) for name in sorted(numbers)])
    return f"The names begin with {names}: make a folder for each and move its photos into it."


def _own(tree: Tree) -> list[Note]:
    paths = [path for folder in tree.walk() for path in folder.own_folders]
    text = "Budwood wrote this folder: it is no class and is ignored."
    return few_or_one(
        [Note("own-folder", text, path) for path in paths],
        [path.as_posix() for path in paths],
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
        yield not_photos(files)


def _unused(tree: Tree, parts: dict[str, Tree]) -> Iterator[Note]:
    used = [folder.path for folder in parts.values()]
    others = [folder for folder in tree.folders if folder.path not in used and folder.num_photos]
    notes = [
        Note(
            "not-a-split",
            f"{count(folder.num_photos, 'photo')} in this folder are not used: it is none of "
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
        if not folder.num_photos:
            yield Note("empty-class", "This folder holds no photo and is ignored.", folder.path)


def _empty(folders: Sequence[Tree]) -> list[Note]:
    empty = [folder.path for folder in folders if not folder.num_photos]
    text = "This class folder holds no photo and is ignored."
    return few_or_one(
        [Note("empty-class", text, path) for path in empty],
        [path.as_posix() for path in empty],
        "{number} class folders hold no photo and are ignored: {names}.",
    )


def _loose(folder: Tree) -> Iterator[Note]:
    if folder.photos:
        names = listed([path.name for path in folder.photos])
        text = f"{count(len(folder.photos), 'photo')} beside the folders have no class: {names}."
        yield Note("no-class", text, folder.path)


def _trimmed(folders: Iterable[Tree]) -> Iterator[Note]:
    """A note if names of class folders have blanks around them."""
    names = {
        below.name
        for folder in folders
        for below in folder.folders
        if below.num_photos and below.name != below.name.strip()
    }
    if names:
        shown = listed([repr(name) for name in sorted(names)])
        yield Note("blanks", f"Blanks around the names of classes are not part of them: {shown}.")


def _nested(parts: dict[str, Tree]) -> Iterator[Note]:
    """A note if class folders hold folders of photos, which are all of the one class."""
    classes = [below for part in parts.values() for below in part.folders if below.num_photos]
    inner = [[folder.name for folder in below.folders if folder.num_photos] for below in classes]
    nested = [below for below, names in zip(classes, inner, strict=True) if names]
    if not nested:
        return
    shown = listed(
        [f"{c.name} ({listed(names)})" for c, names in zip(classes, inner, strict=True) if names]
    )
    often = max(Counter(name for names in inner for name in names).values())
    # Folders of one name in several classes are sessions or sites; a class has its name to itself.
    looks_wrong = not any(below.photos for below in classes) and (often == 1 or len(classes) == 1)
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
