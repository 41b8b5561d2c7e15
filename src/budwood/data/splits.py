"""A split, images with their classes; and from the parts found to splits with one class list."""

import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from budwood.data.duplicates import together
from budwood.data.labels import Note, few_or_one, folded, left_out, normalised
from budwood.data.layouts import WHOLE, LabelledParts, LabelledPhoto
from budwood.data.likeness import groups
from budwood.data.splitting import set_aside
from budwood.display import counted, displayed
from budwood.errors import ConfigError, DataError
from budwood.images.depth import Depth
from budwood.reporter import SILENT, Reporter
from budwood.text import count, listed


@displayed
@dataclass(frozen=True)
class Split:
    """Photos in a fixed order, each with the index of its class.

    Example:
        >>> split = Split("train", (Path("a.jpg"), Path("b.jpg")), (1, 1), ("cat", "dog"))
        >>> len(split), split.counts()
        (2, {'cat': 0, 'dog': 2})
    """

    name: str
    """`train`, `val`, `test`, or `photos` where there is only one."""
    paths: tuple[Path, ...]
    labels: tuple[int, ...]
    """Each photo's index in `classes`."""
    classes: tuple[str, ...]
    groups: tuple[int, ...] | None = None
    """A number for each image, the same for all that belong together: equal files, copies of one
    picture, a burst, what the user says. Never torn where images are held out. None: each image
    stands for itself. Splits of one folder share their numbers."""
    depth: Depth | None = None
    """What is black and white in images of more than 8 bits, according to the training images.
    Splits of one folder share it. None: not known."""

    def __post_init__(self) -> None:
        if len(self.paths) != len(self.labels):
            raise ConfigError(
                f"Split {self.name!r} has {len(self.paths)} paths and {len(self.labels)} labels.",
                next="Give each photo one label.",
            )
        if self.groups is not None and len(self.groups) != len(self.paths):
            raise ConfigError(
                f"Split {self.name!r} has {len(self.paths)} paths and {len(self.groups)} groups.",
                next="Give each photo one group, or none at all.",
            )
        if self.labels and not 0 <= min(self.labels) <= max(self.labels) < len(self.classes):
            raise ConfigError(
                f"Split {self.name!r} has labels from {min(self.labels)} to {max(self.labels)}.",
                expected=f"They index {len(self.classes)} classes, from 0 on.",
            )

    def __str__(self) -> str:
        return counted({self.name: self.counts()})

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def targets(self) -> npt.NDArray[np.int64]:
        """The labels as an array."""
        return np.array(self.labels, dtype=np.int64)

    @property
    def group_numbers(self) -> npt.NDArray[np.int64] | None:
        """The groups as an array; None where each image stands for itself."""
        return None if self.groups is None else np.array(self.groups, dtype=np.int64)

    def counts(self) -> dict[str, int]:
        """How many photos each class has, in the order of `classes`."""
        numbers = np.bincount(self.targets, minlength=len(self.classes))
        return dict(zip(self.classes, numbers.tolist(), strict=True))

    def without(self, paths: Collection[Path]) -> "Split":
        """The same split less the photos at `paths`."""
        left_out = frozenset(paths)
        kept = [i for i, path in enumerate(self.paths) if path not in left_out]
        return replace(
            self,
            paths=tuple(self.paths[i] for i in kept),
            labels=tuple(self.labels[i] for i in kept),
            groups=None if self.groups is None else tuple(self.groups[i] for i in kept),
        )


def with_train(found: LabelledParts, root: Path) -> LabelledParts:
    """Photos that are in no parts are the `train` part."""
    parts = dict(found.parts)
    if WHOLE in parts:
        parts["train"] = parts.pop(WHOLE)
    if "train" not in parts:
        raise DataError(
            f"{root} has {listed(sorted(parts))}, but no train part.",
            next="Add a folder train/ with one folder a class (in a CSV: lines with split train).",
            file=root,
        )
    return replace(found, parts=parts)


def photos_to_test_on(found: LabelledParts) -> list[LabelledPhoto]:
    """The photos to test on: the test part if there is one, else the val part, else all."""
    for part in ("test", "val", WHOLE, "train"):
        if part in found.parts:
            return found.parts[part]
    return []


def with_test(found: LabelledParts, photos: list[LabelledPhoto], test: Path) -> LabelledParts:
    """The photos at another place as the `test` part."""
    learned = {_where(photo) for part in found.parts.values() for photo in part}
    learned -= {_where(photo) for photo in found.parts.get("test", [])}
    both = [photo.path.as_posix() for photo in photos if _where(photo) in learned]
    if both:
        raise DataError(
            f"{count(len(both), 'photo')} of the test set {test} are training photos, too: "
            f"{listed(both)}.",
            next="Move the test set out of the folder of training photos.",
            file=test,
        )
    notes = list(found.notes)
    if "test" in found.parts:
        number = count(len(found.parts["test"]), "photo")
        notes.append(Note("split", f"Its own test part ({number}) is not used: {test} is.", None))
    return LabelledParts({**found.parts, "test": photos}, tuple(notes))


def _where(photo: LabelledPhoto) -> str:
    return os.path.abspath(photo.path)


def with_val_as_test(found: LabelledParts, root: Path) -> LabelledParts:
    """Where there is a val part and no test part, the val part is the test part."""
    if "test" in found.parts or "val" not in found.parts:
        return found
    parts = {"train": found.parts["train"], "test": found.parts["val"]}
    number = count(len(parts["test"]), "photo")
    text = f"There is no test part: val ({number}) is the test set and steers nothing."
    return LabelledParts(parts, (*found.notes, Note("split", text, root)))


def with_known_classes(found: LabelledParts, classes: tuple[str, ...], root: Path) -> LabelledParts:
    """Photos of classes that training lacks left out of the other parts; each difference noted."""
    known = {normalised(name): name for name in classes}
    parts, notes = {}, list(found.notes)
    for name, photos in found.parts.items():
        parts[name] = [photo for photo in photos if photo.label in known]
        notes += _differences(name, photos, known)
    if "test" in parts and not parts["test"]:
        labels = sorted({photo.label for photo in found.parts["test"]})
        raise DataError(
            f"The test set has none of the classes: it has {listed(labels)}.",
            expected=f"The training photos have {listed(list(classes))}.",
            next="Name the class folders of both alike.",
            file=root,
        )
    return LabelledParts(parts, tuple(notes))


def _differences(part: str, photos: list[LabelledPhoto], known: Mapping[str, str]) -> list[Note]:
    numbers = Counter(photo.label for photo in photos)
    missing = sorted(known[name] for name in known.keys() - numbers.keys())
    extra = sorted(numbers.keys() - known.keys())
    like = {folded(name): name for name in known}
    lacking = [
        Note("missing-class", f"The {part} part has no photo of class {name!r}.")
        for name in missing
    ]
    left_out = [
        Note(
            "extra-class",
            f"The {part} part has {count(numbers[name], 'photo')} of class {name!r}, which "
            "training lacks: left out."
            + (f" Is it {like[folded(name)]!r}?" if folded(name) in like else ""),
        )
        for name in extra
    ]
    return [
        *few_or_one(
            lacking,
            [repr(name) for name in missing],
            f"The {part} part has no photo of {{number}} classes: {{names}}.",
        ),
        *few_or_one(
            left_out,
            [f"{name!r} ({numbers[name]:,})" for name in extra],
            f"The {part} part has {count(sum(numbers[name] for name in extra), 'photo')} of "
            "{number} classes that training lacks: left out. They are {names}.",
        ),
    ]


def with_groups(
    found: LabelledParts,
    root: Path,
    depth: Depth | None = None,
    reporter: Reporter = SILENT,
) -> LabelledParts:
    """Photos that show one picture or moment are of one group, besides groups given; photos of all
    parts are looked at together."""
    photos = [photo for part in found.parts.values() for photo in part]
    seen = together([photo.path for photo in photos], depth, reporter)
    notes = list(found.notes)
    if not seen.was_searched:
        text = (
            "The photos are too many or too large to look for copies of a picture: only equal "
            "files and bursts are kept together. `budwood audit` finds more."
        )
        notes.append(Note("together", text, root))
    if seen.left_out:
        notes.append(Note("together", left_out(seen.left_out), root))
    if seen.is_empty:
        return replace(found, notes=tuple(notes))
    text = f"Kept together wherever photos are held out: {seen}."
    notes.append(Note("together", text, root))
    named = iter(_joined(photos, seen.groups))
    parts = {
        name: [replace(photo, group=next(named)) for photo in part]
        for name, part in found.parts.items()
    }
    return LabelledParts(parts, tuple(notes))


def _joined(photos: Sequence[LabelledPhoto], of: Sequence[int]) -> list[str | None]:
    """The group of each photo: photos are in one if they are in a given one or belong together."""
    first_of: dict[object, int] = {}
    keys = [(key, i) for i, photo in enumerate(photos) for key in (of[i], photo.group)]
    linked = [(first_of.setdefault(key, i), i) for key, i in keys if key is not None]
    numbers = groups(len(photos), linked)
    names = {
        number: photo.group
        for number, photo in reversed(list(zip(numbers, photos, strict=True)))
        if photo.group
    }
    sizes = Counter(numbers)
    return [
        names.get(number) or (photos[number].path.as_posix() if sizes[number] > 1 else None)
        for number in numbers
    ]


def with_test_set_aside(
    found: LabelledParts, fraction: float, seed: int, root: Path
) -> LabelledParts:
    """A stratified part of the training photos set aside as the `test` part."""
    if "test" in found.parts:
        return found
    train, test = _set_aside(found.parts["train"], fraction, seed)
    text = f"There is no test part: {count(len(test), 'photo')} of {len(train) + len(test):,} " + (
        f"are set aside for testing, {len(train):,} are for training "
        f"(fraction {fraction:g}, seed {seed})."
        if test
        else "can be set aside for testing, because each class is one photo, or photos that belong "
        "together. Add photos taken on other occasions, or name a test set with --test."
    )
    notes = [Note("split", text, root), *_undivided(train, test)]
    parts = {**found.parts, "train": train} | ({"test": test} if test else {})
    return LabelledParts(parts, (*found.notes, *notes))


def _undivided(train: list[LabelledPhoto], test: list[LabelledPhoto]) -> list[Note]:
    """Notes on the classes of which no photo could be set aside, and why."""
    of_class: dict[str, list[LabelledPhoto]] = {}
    for photo in train:
        of_class.setdefault(photo.label, []).append(photo)
    names = sorted(of_class.keys() - {photo.label for photo in test})
    notes = [
        Note(
            "small-class",
            f"Class {name!r} cannot be divided ({_why_undivided(of_class[name])}): it trains, and "
            "nothing tests it.",
            about=(name,),
        )
        for name in names
    ]
    return few_or_one(
        notes,
        [f"{name!r} ({_why_undivided(of_class[name])})" for name in names],
        "{number} classes cannot be divided: they train, and nothing tests them. They are {names}.",
    )


def _why_undivided(photos: list[LabelledPhoto]) -> str:
    number = count(len(photos), "photo")
    if len(photos) == 1:
        return number
    groups = len({photo.group or f"\0{i}" for i, photo in enumerate(photos)})
    if groups == 1:
        return f"{number}, which all belong together"
    return f"{number} in {count(groups, 'group')} that reach into other classes or are too large"


def with_val_set_aside(
    found: LabelledParts, fraction: float, seed: int, root: Path
) -> LabelledParts:
    """A stratified part of the training photos set aside as the `val` part."""
    if "val" in found.parts:
        text = f"The val part is used; a fraction of {fraction:g} is not set aside."
        return replace(found, notes=(*found.notes, Note("split", text, root)))
    train, val = _set_aside(found.parts["train"], fraction, seed)
    text = (
        f"{count(len(val), 'training photo')} are set aside for early stopping, "
        f"{len(train):,} are for training (fraction {fraction:g}, seed {seed})."
    )
    parts = {**found.parts, "train": train} | ({"val": val} if val else {})
    return LabelledParts(parts, (*found.notes, Note("split", text, root)))


def _set_aside(
    photos: list[LabelledPhoto], fraction: float, seed: int
) -> tuple[list[LabelledPhoto], list[LabelledPhoto]]:
    groups = [photo.group or f"\0{index}" for index, photo in enumerate(photos)]
    aside = set_aside([photo.label for photo in photos], fraction, seed=seed, groups=groups)
    return list(compress(photos, ~aside)), list(compress(photos, aside))


def straddling_groups(found: LabelledParts, root: Path) -> Iterator[Note]:
    """A note if photos of one group lie in several parts, which makes results look too good."""
    parts_of: dict[str, set[str]] = {}
    for name, photos in found.parts.items():
        for photo in photos:
            if photo.group:
                parts_of.setdefault(photo.group, set()).add(name)
    torn = sorted(group for group, parts in parts_of.items() if len(parts) > 1)
    if torn:
        number = count(len(torn), "group")
        text = (
            f"Photos of {number} lie in more than one part, which flatters results: {listed(torn)}."
        )
        yield Note("torn-group", text, root)


def as_splits(found: LabelledParts, classes: tuple[str, ...]) -> dict[str, Split]:
    """The photos of each part with the indices of their classes and the numbers of their groups,
    which all parts share."""
    index = {normalised(label): number for number, label in enumerate(classes)}
    photos = [photo for part in found.parts.values() for photo in part]
    has_groups = any(photo.group for photo in photos)
    number: dict[str, int] = {}
    splits = {}
    for name, part in found.parts.items():
        groups = [
            number.setdefault(photo.group or f"\0{photo.path}", len(number)) for photo in part
        ]
        splits[name] = Split(
            name,
            paths=tuple(photo.path for photo in part),
            labels=tuple(index[photo.label] for photo in part),
            classes=classes,
            groups=tuple(groups) if has_groups else None,
        )
    return splits
