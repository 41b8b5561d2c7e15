"""Findings of an audit as a list to fill in, and the filled-in list carried out."""

import csv
import io
import os
import shutil
from codecs import BOM_UTF8
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from budwood.data.folder import ImageFolder, load_folder
from budwood.data.labels import normalised
from budwood.display import displayed
from budwood.errors import ConfigError, DataError
from budwood.evaluation.data_issues import Finding
from budwood.files import is_text, path_cell, sameness, write_list
from budwood.text import count, listed

REMOVE, RELABEL = "remove", "move to "
"""What may stand in the column `action`; nothing there changes nothing."""
COLUMNS = ("id", "kind", "image", "reason", "advice", "action")


@displayed
@dataclass(frozen=True)
class Fix:
    """A photo that is, or was, moved."""

    image: Path
    target: Path
    was_done: bool = False
    """It had been moved before."""

    def to_json(self) -> dict[str, Any]:
        """As it stands in `fixed` of `audit --json`."""
        return {"image": str(self.image), "to": str(self.target), "was_done": self.was_done}

    def __str__(self) -> str:
        if self.was_done:
            return f"{self.image} had been moved to {self.target} before."
        return f"{self.image} is now {self.target}."


def require_new(file: Path) -> None:
    """Nothing, if a list can be written there without loss.

    Raises:
        ConfigError: If something is there already, or its folder is not.
    """
    if os.path.lexists(file):
        raise ConfigError(
            f"{file} is there already; a list that somebody filled in is not overwritten.",
            next="Name another file, or remove it.",
            file=file,
        )
    if not file.absolute().parent.is_dir():
        raise ConfigError(
            f"There is no folder {file.parent} to write {file.name} into.",
            next="Make it, or name another.",
            file=file,
        )


def write_findings(file: Path, found: Sequence[Finding]) -> None:
    """The findings as a new list: one line a photo, with an empty column `action`.

    Raises:
        ConfigError: As `require_new`, or if the file cannot be written.
    """
    require_new(file)
    rows = [
        [finding.id, finding.kind, path_cell(path), finding.reason, finding.advice, ""]
        for finding in found
        for path in finding.images
    ]
    try:
        # With a mark for Excel, which would take UTF-8 for something else.
        write_list(file, [COLUMNS, *rows], mark=BOM_UTF8)
    except OSError as problem:
        raise ConfigError(
            f"{file} cannot be written: {(problem.strerror or str(problem)).lower()}.", file=file
        ) from None


def apply_findings(file: Path, data: Path, group: str | None = None) -> list[Fix]:
    """Carry out what stands in the column `action` of a list of findings.

    `remove` moves a photo out, into a folder beside the data whose name ends in `-removed`; `move
    to CLASS` moves it into that class's folder, of the same split. Nothing is deleted or
    overwritten. What was moved before is left alone, so that a list may be carried out again.

    Args:
        file: The list, as `write_findings` made it and somebody filled it in.
        data: The folder of photos.
        group: Refused: a folder has no columns.

    Raises:
        ConfigError: If the data are no folder, or a group is given.
        DataError: If the list or one of its lines makes no sense; nothing is moved then. If the
            file system refuses a move: those before it are done, and named.
    """
    if not data.is_dir():
        raise ConfigError(
            f"{data} is a list: its photos are not moved.",
            next="Change the list itself: take lines out, or correct labels.",
            file=data,
        )
    lines = _lines(file)
    folder = load_folder(data, test_fraction=None, group=group, find_groups=False, find_depth=False)
    place = _DataFolder(data, folder)
    fixes: dict[Path, Fix] = {}
    for number, line in lines:
        fix = _planned(line, f"Line {number} of {file}", place, file)
        if fix is not None and fixes.setdefault(fix.image, fix) != fix:
            raise DataError(
                f"Line {number} of {file} asks for something else of {fix.image} than a line "
                "above it.",
                next="Leave one of the two.",
                file=file,
            )
    _require_room(fixes)
    return _carried_out(list(fixes.values()))


class _DataFolder:
    """Where the photos of a folder and their classes are."""

    def __init__(self, data: Path, folder: ImageFolder) -> None:
        self.root = Path(os.path.abspath(data))
        self.classes = folder.classes
        self.images: set[Path] = set()
        self.class_folders: dict[Path, str] = {}
        for split in (folder.train, folder.val, folder.test):
            for path, label in zip(split.paths, split.labels, strict=True) if split else ():
                image = Path(os.path.abspath(path))
                self.images.add(image)
                self._learn(image, folder.classes[label])

    def _learn(self, image: Path, label: str) -> None:
        for place in reversed(image.relative_to(self.root).parents):
            if normalised(place.name) == label:
                self.class_folders[self.root / place] = label
                return

    def class_folder(self, image: Path) -> Path | None:
        """The folder of the class that a photo lies in, or lay in."""
        return next((place for place in image.parents if place in self.class_folders), None)

    def folder_of(self, label: str, beside: Path) -> Path:
        """The folder of a class beside that of another one, perhaps not there yet."""
        same = [p for p, name in self.class_folders.items() if name == label]
        return next((p for p in same if p.parent == beside.parent), beside.parent / label)


def _lines(file: Path) -> list[tuple[int, dict[str, str]]]:
    """The lines of a list with their numbers."""
    try:
        text = file.read_bytes().decode("utf-8-sig", "surrogateescape")
        _require_text(file, text)
        delimiter = max(",;\t", key=text.partition("\n")[0].count)  # as spreadsheets write them
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
        # Version 0.1.0 called the column of images so.
        columns = ["image" if name == "photo" else name for name in reader.fieldnames or ()]
        reader.fieldnames = columns
        lines = [(reader.line_num, line) for line in reader]
    except (OSError, csv.Error) as problem:
        raise DataError(f"{file} cannot be read: {problem}.", file=file) from None
    if not {"image", "action"} <= set(columns):
        raise DataError(
            f"{file} is no list of findings: it has no columns image and action.",
            next="Write one with `budwood audit DATA --csv FILE`, and fill in its column action.",
            file=file,
        )
    return lines


def _require_text(file: Path, text: str) -> None:
    """Raise unless a list is UTF-8, but for lines of photos with names that are not.

    Raises:
        DataError: If it is something else.
    """
    if not is_text(text.partition("\n")[0]) or "\0" in text:
        raise DataError(f"{file} is not UTF-8 text.", next="Save it as CSV UTF-8.", file=file)


def _planned(line: dict[str, str], where: str, place: _DataFolder, file: Path) -> Fix | None:
    action = (line["action"] or "").strip()
    if not action:
        return None
    image = Path(os.path.abspath(line["image"] or ""))
    if not image.is_relative_to(place.root) or not line["image"]:
        raise DataError(f"{where}: {line['image']!r} is not in {place.root}.", file=file)
    if action.lower() == REMOVE:
        inside = image.relative_to(place.root)
        target = place.root.with_name(f"{place.root.name}-removed") / inside
    elif action.lower().startswith(RELABEL):
        target = _in_class(action[len(RELABEL) :].strip(), image, where, place, file)
    else:
        raise DataError(
            f"{where}: {action!r} is no action.",
            expected=f"`{REMOVE}`, `{RELABEL}CLASS`, or nothing.",
            file=file,
        )
    if image in place.images and image != target:
        if not image.parent.resolve().is_relative_to(place.root.resolve()):
            raise DataError(
                f"{where}: {image} lies elsewhere, behind a link to {image.parent.resolve()}.",
                next="Move it there yourself.",
                file=file,
            )
        return Fix(image, target)
    if image == target:
        raise DataError(f"{where}: {image} is in that class already.", file=file)
    if os.path.lexists(target) and not os.path.lexists(image):
        return Fix(image, target, was_done=True)
    raise DataError(
        f"{where}: there is no photo {line['image']}.",
        next="Paths are as they were when the list was written: run it from the same folder.",
        file=file,
    )


def _in_class(label: str, image: Path, where: str, place: _DataFolder, file: Path) -> Path:
    label = normalised(label)
    if label not in place.classes:
        raise DataError(
            f"{where}: there is no class {label!r}.",
            expected=f"There are {listed(list(place.classes), 10)}.",
            file=file,
        )
    own = place.class_folder(image)
    if own is None:
        raise DataError(f"{where}: {image} lies in no class folder.", file=file)
    return place.folder_of(label, own) / image.relative_to(own)


def _require_room(fixes: dict[Path, Fix]) -> None:
    """Raise unless every target is free and no two are the same.

    Names that differ in capitals or in how accents are written count as the same: on many disks
    they are one file.
    """
    taken: dict[str, Path] = {}
    there: dict[Path, dict[str, str]] = {}
    for fix in fixes.values():
        if fix.was_done:
            continue
        folder = fix.target.parent
        names = there.setdefault(folder, _names_in(folder))
        other = taken.setdefault(sameness(str(fix.target)), fix.image)
        found = names.get(sameness(fix.target.name))
        if other != fix.image or found is not None:
            reason = (
                f"{other} goes there, too."
                if other != fix.image
                else "a file is there already."
                if found == fix.target.name
                else f"{found} is there already, which is the same name on many disks."
            )
            raise DataError(
                f"{fix.image} cannot be moved to {fix.target}: {reason}",
                next="Rename one of them; nothing was moved.",
                file=fix.image,
            )


def _names_in(folder: Path) -> dict[str, str]:
    """What lies in a folder, by what makes names the same."""
    return {sameness(name): name for name in os.listdir(folder)} if folder.is_dir() else {}


def _move(image: Path, target: Path) -> None:
    """Move a file; never onto another.

    Raises:
        FileExistsError: If something is at the target.
        OSError: If the file system refuses.
    """
    if image.is_symlink():  # a relative link would lead nowhere from its new place
        target.symlink_to(image.resolve())
        image.unlink()
        return
    try:
        os.link(image, target)  # unlike a renaming, it fails if something is there
    except FileExistsError:
        raise
    except OSError:  # another disk, or one without links
        with image.open("rb") as source, target.open("xb") as copy:
            try:
                shutil.copyfileobj(source, copy)
                copy.close()
                shutil.copystat(image, target)
            except BaseException:
                target.unlink()
                raise
    image.unlink()


def _carried_out(fixes: list[Fix]) -> list[Fix]:
    moved = 0
    for fix in fixes:
        if fix.was_done:
            continue
        try:
            fix.target.parent.mkdir(parents=True, exist_ok=True)
            _move(fix.image, fix.target)
        except OSError as problem:
            raise DataError(
                f"{fix.image} cannot be moved to {fix.target}: "
                f"{(problem.strerror or str(problem)).lower()}.",
                expected=f"{count(moved, 'photo')} before it in the list are moved.",
                next="Mend that and run it again: what was moved is left alone.",
                file=fix.image,
            ) from None
        moved += 1
    return fixes
