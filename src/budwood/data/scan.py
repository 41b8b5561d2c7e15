"""What lies in a folder, read once; and where the files lie that a list names."""

import os
import posixpath
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from budwood.data.labels import Note
from budwood.errors import DataError
from budwood.files import MARKER
from budwood.images.formats import is_image_name
from budwood.text import count, listed

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
    images: tuple[Path, ...]
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

    def all_images(self) -> list[Path]:
        """The photos in this folder and below it, in the order of their paths."""
        images = [image for tree in self.walk() for image in tree.images]
        return sorted(images, key=Path.as_posix)

    @property
    def num_images(self) -> int:
        """How many photos there are in this folder and below it."""
        return sum(len(tree.images) for tree in self.walk())


def grow(path: Path, above: frozenset[str] = frozenset()) -> Tree:
    """The tree of a folder. Links to folders are followed, but not back to a folder above.

    Folders below that Budwood wrote are kept apart: those of runs, of pictures that `budwood
    explain` drew, and folders of nothing else.
    """
    above |= {os.path.realpath(path)}
    folders: list[Tree] = []
    own: list[Tree] = []
    images, others, hidden_folders, hidden_files = [], [], [], []
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
            images.append(here)  # a link that leads nowhere is a photo that cannot be read
        else:
            others.append(here)
    return Tree(
        path,
        tuple(folders),
        images=tuple(images),
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
    if tree.images:
        return False
    names = {path.name for path in tree.others}
    return names >= _OF_A_RUN or bool(tree.own_folders and not (tree.folders or names))


def _entries(path: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise unreadable(f"The folder {path}", path, error) from None


def unreadable(what: str, path: Path, error: OSError) -> DataError:
    """The error of a file or folder that the system does not let us read."""
    return DataError(
        f"{what} cannot be read: {(error.strerror or str(error)).lower()}.",
        next="Check that you may read it.",
        file=path,
    )


def find_listed(file: Path, asked: Sequence[str]) -> tuple[list[Path], list[Note]]:
    """The file of each path, in the same order; with a note on those found by name.

    A path is absolute, or relative to the folder of the list. What is not there is looked for
    under the other Unicode form of its name, and then below that folder by the end of its path,
    with or without the ending.
    """
    asked = [path.replace("\\", "/") for path in asked]  # lists come from Windows, too
    places = [file.parent / path for path in asked]
    several: dict[str, list[Path]] = {}
    missing: list[str] = []
    moved: list[int] = []
    names = cache(_names)  # of this list only: folders change
    images = cache(_images_by_name)
    for i, place in enumerate(places):
        if os.path.isfile(place):
            continue
        if (same := _on_disk(place, names)) is not None:
            places[i] = same
            continue
        end = _composed(posixpath.normpath(asked[i]))
        known = images(file.parent).get(posixpath.basename(end), ())
        below = [image for whole, image in known if f"/{whole}".endswith(f"/{end}")]
        if len(below) == 1:
            places[i] = below[0]
            moved.append(i)
        elif below:
            several[asked[i]] = below
        else:
            missing.append(place.as_posix())
    _refuse_missing(file, missing, several)
    _refuse_twice(file, places)
    if not moved:
        return places, []
    example = f"{asked[moved[0]]} is {places[moved[0]]}"
    text = f"{count(len(moved), 'photo')} of the list were found by name: {example}."
    return places, [Note("found-by-name", text, file)]


def _images_by_name(root: Path) -> dict[str, list[tuple[str, Path]]]:
    """The paths of photos below a folder, with and without ending, by the names they end in."""
    found = defaultdict(list)
    for image in grow(root).all_images():
        whole = _composed(image.relative_to(root).as_posix())
        for path in (whole, posixpath.splitext(whole)[0]):
            found[posixpath.basename(path)].append((path, image))
    return found


def _refuse_missing(file: Path, missing: list[str], several: dict[str, list[Path]]) -> None:
    if several:
        name, images = next(iter(several.items()))
        raise DataError(
            f"{count(len(several), 'path')} in {file} may each mean several photos: "
            f"{name!r} fits {listed([image.as_posix() for image in images])}.",
            next="Write the whole path there, with folder and ending.",
            file=file,
        )
    if missing:
        is_web = any(re.search(r"https?:/", path) for path in missing)
        raise DataError(
            f"{file} names {count(len(missing), 'file')} that are not there: {listed(missing)}.",
            expected=f"Paths are relative to {file.parent}.",
            next="Download the photos first: addresses are not read."
            if is_web
            else "Correct the paths or remove the lines.",
            file=file,
        )


def _refuse_twice(file: Path, places: Sequence[Path]) -> None:
    numbers = Counter(os.path.normpath(place) for place in places)
    twice = [Path(path).as_posix() for path, number in numbers.items() if number > 1]
    if twice:
        raise DataError(
            f"{file} names {count(len(twice), 'photo')} more than once: {listed(twice)}.",
            expected="Each photo has one line, with its one class.",
            next="Remove the other lines.",
            file=file,
        )


def _on_disk(path: Path, names: Callable[[Path], dict[str, str]]) -> Path | None:
    """The file of a path whose names are written in another Unicode form there; None if none is.

    macOS lists decomposed names, others composed ones, and Linux takes them for two.
    """
    real = Path(path.anchor)
    for name in path.parts[1:] if path.anchor else path.parts:
        here = real / name
        if name != ".." and not os.path.lexists(here):
            other = names(real).get(_composed(name))
            if other is None:
                return None
            here = real / other
        real = here
    return real if real.is_file() else None


def _names(folder: Path) -> dict[str, str]:
    """The names in a folder, by their composed forms."""
    try:
        return {_composed(name): name for name in os.listdir(folder)}
    except OSError:  # no folder, or a closed one: what is in it is not there for us
        return {}


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)
