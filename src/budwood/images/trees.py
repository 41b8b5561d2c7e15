"""What lies in a folder, read once: folders, photos, other files, and what is hidden."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from budwood.errors import DataError
from budwood.files import MARKER

SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"]
)
"""Names of photos end like this, in small or capital letters."""

_OF_A_RUN = frozenset({"config.json", "result.json"})
_HIDDEN_NAMES = frozenset({"__macosx", "@eadir"})


def is_photo_name(path: Path) -> bool:
    """Whether a file of that name is taken for a photo."""
    return path.suffix.lower() in SUFFIXES


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

    (What such a link leads to is in the tree already.) Folders below that Budwood wrote are kept
    apart: those of runs, of pictures that `budwood explain` drew, and folders of nothing else.

    Raises:
        DataError: If a folder may not be read; `file` names it.
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
        elif is_photo_name(here) and (entry.is_file() or entry.is_symlink()):
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
        raise DataError(
            f"The folder {path} cannot be read: {(error.strerror or str(error)).lower()}.",
            next="Check that you may read it.",
            file=path,
        ) from None
