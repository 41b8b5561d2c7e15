"""The files that a list of photos names: as they are called on this disk."""

import os
import posixpath
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from pathlib import Path

from budwood.errors import DataError
from budwood.images.notes import Note
from budwood.images.trees import grow
from budwood.text import count, listed


class ListedPaths:
    """Finds the photos of a list; `notes` then says which were not where the list has them."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.notes: tuple[Note, ...] = ()

    def found(self, paths: Sequence[str]) -> list[Path]:
        """The file of each path, in the same order.

        A path is absolute, or relative to the folder of the list. What is not there is looked for
        under the other Unicode form of its name, and then below that folder by the end of its path,
        with or without the ending.

        Raises:
            DataError: If a photo is not there, if several may be meant, or if one is named twice.
        """
        asked = [path.replace("\\", "/") for path in paths]  # lists come from Windows, too
        places = [self._file.parent / path for path in asked]
        several: dict[str, list[Path]] = {}
        missing: list[str] = []
        moved: list[int] = []
        names = cache(_names)  # of this list only: folders change
        for i, place in enumerate(places):
            if os.path.isfile(place):
                continue
            same = on_disk(place, names)
            below = [] if same is not None else self._below(asked[i])
            if same is not None:
                places[i] = same
            elif len(below) == 1:
                places[i] = below[0]
                moved.append(i)
            elif below:
                several[asked[i]] = below
            else:
                missing.append(place.as_posix())
        self._refuse(missing, several)
        self._refuse_twice(places)
        if moved:
            example = f"{asked[moved[0]]} is {places[moved[0]]}"
            text = f"{count(len(moved), 'photo')} of the list were found by name: {example}."
            self.notes = (Note("found-by-name", text, self._file),)
        return places

    def _below(self, path: str) -> list[Path]:
        """The photos below the folder of the list whose paths end like this one."""
        end = _composed(posixpath.normpath(path))
        return [
            photo
            for whole, photo in self._photos.get(posixpath.basename(end), ())
            if f"/{whole}".endswith(f"/{end}")
        ]

    @cached_property
    def _photos(self) -> dict[str, list[tuple[str, Path]]]:
        """All photos there, by their names with ending and without: the path, so written, too."""
        root = self._file.parent
        found = defaultdict(list)
        for photo in grow(root).all_photos():
            whole = _composed(photo.relative_to(root).as_posix())
            for path in (whole, posixpath.splitext(whole)[0]):
                found[posixpath.basename(path)].append((path, photo))
        return found

    def _refuse(self, missing: Sequence[str], several: dict[str, list[Path]]) -> None:
        if several:
            name, photos = next(iter(several.items()))
            raise DataError(
                f"{count(len(several), 'path')} in {self._file} may each mean several photos: "
                f"{name!r} fits {listed([photo.as_posix() for photo in photos])}.",
                next="Write the whole path there, with folder and ending.",
                file=self._file,
            )
        if not missing:
            return
        is_web = any(re.search(r"https?:/", path) for path in missing)
        raise DataError(
            f"{self._file} names {count(len(missing), 'file')} that are not there: "
            f"{listed(list(missing))}.",
            expected=f"Paths are relative to {self._file.parent}.",
            next="Download the photos first: addresses are not read."
            if is_web
            else "Correct the paths or remove the lines.",
            file=self._file,
        )

    def _refuse_twice(self, places: Sequence[Path]) -> None:
        numbers = Counter(os.path.normpath(place) for place in places)
        twice = [Path(path).as_posix() for path, number in numbers.items() if number > 1]
        if twice:
            raise DataError(
                f"{self._file} names {count(len(twice), 'photo')} more than once: {listed(twice)}.",
                expected="Each photo has one line, with its one class.",
                next="Remove the other lines.",
                file=self._file,
            )


def on_disk(path: Path, names: Callable[[Path], dict[str, str]] | None = None) -> Path | None:
    """The file of a path whose names are written in another Unicode form there; None if none is.

    macOS lists decomposed names, others composed ones, and Linux takes them for two. `names` gives
    the names in a folder by their composed forms.
    """
    names = names or _names
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
