"""The parts of a folder or list, train, val and test, on their way to splits."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path

from budwood.data.duplicates import together
from budwood.data.labels import Note, few_or_one, folded, left_out, normalised
from budwood.data.near_duplicates import groups
from budwood.data.splits import Split
from budwood.data.splitting import set_aside
from budwood.errors import DataError
from budwood.images.depth import Depth
from budwood.reporter import SILENT, Reporter
from budwood.text import count, listed

WHOLE = "photos"
"""The part's name where photos are not in parts."""

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
class LabelledImage:
    """A photo and the name of its class."""

    path: Path
    label: str
    group: str | None = None
    """Photos of one group never lie on two sides of a split."""


@dataclass
class LabelledParts:
    """The labelled photos of each part (`photos`, or `train`, `val`, `test`), and what to say."""

    parts: dict[str, list[LabelledImage]]
    notes: list[Note]


def part_of(name: str) -> str | None:
    """The part that a folder or a CSV cell names; None if it names none."""
    return _ALIASES.get(name.strip().lower())


def part_names() -> str:
    """All names of parts, for messages."""
    return ", ".join(_ALIASES)


def match_classes(found: LabelledParts, classes: tuple[str, ...], root: Path) -> None:
    """Leave photos of classes that training lacks out of the other parts; note each difference."""
    known = {normalised(name): name for name in classes}
    tested = {image.label for image in found.parts.get("test", [])}
    if "test" in found.parts and not tested & known.keys():
        raise DataError(
            f"The test set has none of the classes: it has {listed(sorted(tested))}.",
            expected=f"The training photos have {listed(list(classes))}.",
            next="Name the class folders of both alike.",
            file=root,
        )
    for name, images in found.parts.items():
        found.parts[name] = [image for image in images if image.label in known]
        found.notes += _differences(name, images, known)


def _differences(part: str, images: list[LabelledImage], known: Mapping[str, str]) -> list[Note]:
    numbers = Counter(image.label for image in images)
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


def join_groups(
    found: LabelledParts, root: Path, depth: Depth | None = None, reporter: Reporter = SILENT
) -> None:
    """Put photos of all parts that show one picture or moment into one group."""
    images = [image for part in found.parts.values() for image in part]
    seen = together([image.path for image in images], depth, reporter)
    if not seen.was_searched:
        text = (
            "The photos are too many or too large to look for copies of a picture: only equal "
            "files and bursts are kept together. `budwood audit` finds more."
        )
        found.notes.append(Note("groups", text, root))
    if seen.left_out:
        found.notes.append(Note("groups", left_out(seen.left_out), root))
    if not seen.is_empty:
        text = f"Kept together wherever photos are held out: {seen}."
        found.notes.append(Note("groups", text, root))
        names = iter(_joined(images, seen.groups))
        for name, part in found.parts.items():
            found.parts[name] = [replace(image, group=next(names)) for image in part]


def _joined(images: Sequence[LabelledImage], of: Sequence[int]) -> list[str | None]:
    """The group of each photo: photos are in one if they are in a given one or belong together."""
    first_of: dict[object, int] = {}
    keys = [(key, i) for i, image in enumerate(images) for key in (of[i], image.group)]
    linked = [(first_of.setdefault(key, i), i) for key, i in keys if key is not None]
    numbers = groups(len(images), linked)
    names = {
        number: image.group
        for number, image in reversed(list(zip(numbers, images, strict=True)))
        if image.group
    }
    sizes = Counter(numbers)
    return [
        names.get(number) or (images[number].path.as_posix() if sizes[number] > 1 else None)
        for number in numbers
    ]


def set_test_aside(found: LabelledParts, fraction: float, seed: int, root: Path) -> None:
    """Make a stratified part of the training photos the `test` part if there is none."""
    if "test" in found.parts:
        return
    train, test = _set_aside(found, "test", fraction, seed)
    text = f"There is no test part: {count(len(test), 'photo')} of {len(train) + len(test):,} " + (
        f"are set aside for testing, {len(train):,} are for training "
        f"(fraction {fraction:g}, seed {seed})."
        if test
        else "can be set aside for testing, because each class is one photo, or photos that belong "
        "together. Add photos taken on other occasions, or name a test set with --test."
    )
    found.notes += [Note("split", text, root), *_undivided(train, test)]


def _undivided(train: list[LabelledImage], test: list[LabelledImage]) -> list[Note]:
    """Notes on the classes of which no photo could be set aside, and why."""
    names = sorted({image.label for image in train} - {image.label for image in test})
    why = {
        name: _why_undivided([image for image in train if image.label == name]) for name in names
    }
    notes = [
        Note(
            "small-class",
            f"Class {name!r} cannot be divided ({why[name]}): it trains, and nothing tests it.",
            about=(name,),
        )
        for name in names
    ]
    return few_or_one(
        notes,
        [f"{name!r} ({why[name]})" for name in names],
        "{number} classes cannot be divided: they train, and nothing tests them. They are {names}.",
    )


def _why_undivided(images: list[LabelledImage]) -> str:
    number = count(len(images), "photo")
    groups = len(set(_group_names(images)))
    if len(images) == 1:
        return number
    if groups == 1:
        return f"{number}, which all belong together"
    return f"{number} in {count(groups, 'group')} that reach into other classes or are too large"


def set_val_aside(found: LabelledParts, fraction: float, seed: int, root: Path) -> None:
    """Make a stratified part of the training photos the `val` part if there is none."""
    if "val" in found.parts:
        text = f"The val part is used; a fraction of {fraction:g} is not set aside."
    else:
        train, val = _set_aside(found, "val", fraction, seed)
        text = (
            f"{count(len(val), 'training photo')} are set aside for early stopping, "
            f"{len(train):,} are for training (fraction {fraction:g}, seed {seed})."
        )
    found.notes.append(Note("split", text, root))


def _set_aside(
    found: LabelledParts, part: str, fraction: float, seed: int
) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """Make a stratified part of the training photos another part, if any of them can be."""
    images = found.parts["train"]
    labels = [image.label for image in images]
    aside = set_aside(labels, fraction, seed=seed, groups=_group_names(images))
    found.parts["train"], others = list(compress(images, ~aside)), list(compress(images, aside))
    if others:
        found.parts[part] = others
    return found.parts["train"], others


def _group_names(images: Iterable[LabelledImage]) -> list[str]:
    """The group of each photo, a name of its own where it has none."""
    return [image.group or f"\0{image.path}" for image in images]


def note_straddling_groups(found: LabelledParts, root: Path) -> None:
    """Note if photos of one group lie in several parts, which makes results look too good."""
    parts_of: dict[str, set[str]] = {}
    for name, images in found.parts.items():
        for image in images:
            if image.group:
                parts_of.setdefault(image.group, set()).add(name)
    torn = sorted(group for group, parts in parts_of.items() if len(parts) > 1)
    if torn:
        number = count(len(torn), "group")
        text = (
            f"Photos of {number} lie in more than one part, which flatters results: {listed(torn)}."
        )
        found.notes.append(Note("group-leakage", text, root))


def as_splits(
    found: LabelledParts, classes: tuple[str, ...], depth: Depth | None
) -> dict[str, Split]:
    """The photos of each part with the indices of their classes and the numbers of their groups,
    which all parts share."""
    index = {normalised(label): number for number, label in enumerate(classes)}
    has_groups = any(image.group for part in found.parts.values() for image in part)
    number: dict[str, int] = {}
    splits = {}
    for name, part in found.parts.items():
        groups = [number.setdefault(group, len(number)) for group in _group_names(part)]
        splits[name] = Split(
            name,
            paths=tuple(image.path for image in part),
            labels=tuple(index[image.label] for image in part),
            classes=classes,
            groups=tuple(groups) if has_groups else None,
            depth=depth,
        )
    return splits
