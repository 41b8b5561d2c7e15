"""What lies in a folder, read once; and data made for object detection, refused in one line."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from budwood.errors import DataError
from budwood.files import MARKER
from budwood.images.formats import is_image_name

_OF_A_RUN = frozenset({"config.json", "result.json"})
_HIDDEN_NAMES = frozenset({"__macosx", "@eadir"})


def is_hidden_name(name: str) -> bool:
    """Whether a name is none that the user gave: `.git`, `__MACOSX`, `._a.jpg`."""
    return name.startswith(".") or name.lower() in _HIDDEN_NAMES


@dataclass(frozen=True)
class Tree:
    """A folder and everything below it, sorted by name."""

    path: Path
    folders: tuple["Tree", ...]
    photos: tuple[Path, ...]
    """Photos directly in this folder."""
    others: tuple[Path, ...]
    """Files directly in this folder whose names are no photos' names."""
    hidden_folders: tuple[Path, ...]
    hidden_files: tuple[Path, ...]
    own_folders: tuple[Path, ...] = ()
    """Folders that Budwood wrote, such as `runs`; they are not looked into."""

    @property
    def name(self) -> str:
        return self.path.name

    def walk(self) -> Iterator["Tree"]:
        """This folder and every folder below it."""
        yield self
        for folder in self.folders:
            yield from folder.walk()

    def all_photos(self) -> list[Path]:
        """The photos in this folder and below it, in the order of their paths."""
        photos = [photo for tree in self.walk() for photo in tree.photos]
        return sorted(photos, key=Path.as_posix)

    @property
    def num_photos(self) -> int:
        """How many photos there are in this folder and below it."""
        return sum(len(tree.photos) for tree in self.walk())


def grow(path: Path, above: frozenset[str] = frozenset()) -> Tree:
    """The tree of a folder. Links to folders are followed, but not back to a folder above.

    Folders below that Budwood wrote are kept apart: those of runs, of pictures that `budwood
    explain` drew, and folders of nothing else.
    """
    above |= {os.path.realpath(path)}
    folders: list[Tree] = []
    own: list[Tree] = []
    photos, others, hidden_folders, hidden_files = [], [], [], []
    for entry in _entries(path):
        here, is_hidden = path / entry.name, is_hidden_name(entry.name)
        if entry.is_dir():
            if is_hidden:
                hidden_folders.append(here)
            elif os.path.realpath(here) not in above:
                below = grow(here, above)
                (own if _is_own(below) else folders).append(below)
        elif is_hidden:
            hidden_files.append(here)
        elif is_image_name(entry.name) and (entry.is_file() or entry.is_symlink()):
            photos.append(here)  # a link that leads nowhere is a photo that cannot be read
        else:
            others.append(here)
    return Tree(
        path,
        tuple(folders),
        photos=tuple(photos),
        others=tuple(others),
        hidden_folders=tuple(hidden_folders),
        hidden_files=tuple(hidden_files),
        own_folders=tuple(tree.path for tree in own),
    )


def _is_own(tree: Tree) -> bool:
    """Whether Budwood wrote a folder. One with photos in it is somebody's, whatever else is there,
    unless it bears the mark."""
    if any(path.name == MARKER for path in tree.hidden_files):
        return True
    if tree.photos:
        return False
    names = {path.name for path in tree.others}
    return names >= _OF_A_RUN or bool(tree.own_folders and not (tree.folders or names))


def _entries(path: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise _unreadable(f"The folder {path}", path, error) from None


def _unreadable(what: str, path: Path, error: OSError) -> DataError:
    return DataError(
        f"{what} cannot be read: {(error.strerror or str(error)).lower()}.",
        next="Check that you may read it.",
        file=path,
    )


ONE_CLASS_EACH = "Budwood classifies whole photos, one class each."

_YOLO_LINE = re.compile(rb"^\s*\d+(\s+[-+\d.e]+){4,}\s*$", re.MULTILINE)
_COCO_KEYS = (b'"images"', b'"annotations"', b'"bbox"')


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
    without_photos = [below.name for below in folder.folders if not below.num_photos]
    has_images = any(below.name.lower() == "images" for below in folder.folders)
    if has_images and "labels" in map(str.lower, without_photos):
        return "the folders images and labels"
    names = [name for name in without_photos if name.lower() in ("annotation", "annotations")]
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
    photos = {photo.stem for photo in folder.photos}
    for path in [path for path in folder.others if path.stem in photos][:10]:
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
        raise _unreadable(str(path), path, error) from None
