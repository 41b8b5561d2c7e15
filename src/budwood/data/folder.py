"""A folder or a list becomes training, validation and test split.

Labelled photos are found (`layouts.py`, `lists.py`). The steps of `load_folder` then settle what is
train, val and test, match classes, find groups and set photos aside (`parts.py`).
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from budwood.data.deep_images import Extent, depth_notes, depth_of, extents_of, misfit_notes
from budwood.data.labels import Note as Note
from budwood.data.labels import names_alike, names_taken
from budwood.data.layouts import classes_in_names, find_in_tree, refuse_detection
from budwood.data.lists import find_in_list
from budwood.data.parts import (
    WHOLE,
    LabelledImage,
    LabelledParts,
    as_splits,
    join_groups,
    match_classes,
    note_straddling_groups,
    set_test_aside,
    set_val_aside,
)
from budwood.data.scan import grow
from budwood.data.splits import ImageFolder as ImageFolder
from budwood.data.splits import Split as Split
from budwood.data.splits import leave_out_unreadable as leave_out_unreadable
from budwood.data.splits import unreadable_lines as unreadable_lines
from budwood.errors import ConfigError, DataError
from budwood.images.depth import Depth
from budwood.reporter import SILENT, Reporter
from budwood.text import count, did_you_mean, listed


def load_folder(
    path: Path | str,
    *,
    test: Path | str | None = None,
    val: float = 0.0,
    test_fraction: float | None = 0.2,
    seed: int = 0,
    group: str | None = None,
    find_groups: bool = True,
    find_depth: bool = True,
    reporter: Reporter = SILENT,
) -> ImageFolder:
    """The photos at `path` with their classes and splits.

    `path` is a folder with one folder a class; or with `train`, `val` and `test` folders of these
    (or `training_set`, `valid`, `dev` and so on); or a CSV file `path,label[,split[,group]]`, also
    under other usual names (`columns.py`). Names of classes and groups are compared in Unicode's
    composed form, without blanks around them. Where there is `val` and no `test`, `val` is the
    test set. Where there is neither, a stratified part is set
    aside for testing. What belongs together, by a list's column `group` or because it is one file,
    one picture or one burst (`duplicates.py`), has one number in `Split.groups`: it is kept on one
    side of a part that is set aside here, and of all that is held out later. Photos of more than 8
    bits are measured: what is white in the training photos is white in all (`Split.depth`). Photos
    are opened for these two only.

    Args:
        path: A folder or a CSV file.
        test: Another folder or CSV file to test on.
        val: The share of the training photos to set aside for early stopping, if `path` has none.
        test_fraction: The share of the photos to set aside for testing, if there is no test set;
            None sets none aside.
        seed: Chooses what is set aside.
        group: Column of the CSV file to use instead of `group`.
        find_groups: False looks for no copies and bursts: only groups that a list names are kept
            together.
        find_depth: False measures no photo; with both False photos stay closed.
        reporter: Told what the user should know, and how far the work is.

    Raises:
        DataError: If nothing can be learned from what is there; `file` names the place.
        ConfigError: If a fraction or the seed is out of range.

    Example:
        >>> load_folder("photos/flowers").classes  # doctest: +SKIP
        ('daisy', 'dandelion', 'roses', 'sunflowers', 'tulips')
    """
    root = Path(path)
    if not 0 <= val < 1:
        raise ConfigError(
            f"A fraction of {val} of the training photos cannot be set aside.",
            expected="val must be 0 or lie between 0 and 1, such as 0.1.",
        )
    found = _find(root, group, is_learned=True)
    _name_train(found, root)
    if test is not None:
        elsewhere = _find(Path(test), group, is_needed=False)
        _test_on(found, _images_to_test_on(elsewhere), Path(test))
        found.notes += elsewhere.notes
    _test_on_val(found, root)
    classes = _classes(found, root)
    match_classes(found, classes, root if test is None else Path(test))
    numbers = Counter(image.label for image in found.parts["train"])
    named = {name: numbers[name] for name in classes}
    found.notes += [*names_alike(named), *names_taken(named)]
    has_own_test = "test" in found.parts
    extents = extents_of(_paths(found.parts.values()), keep=True) if find_depth else {}
    if find_groups:
        join_groups(found, root, depth_of(_some(extents, found.parts["train"])), reporter)
    if test_fraction is not None:
        set_test_aside(found, test_fraction, seed, root)
    if val:
        set_val_aside(found, val, seed, root)
    note_straddling_groups(found, root)
    depth = None
    if find_depth:
        train = found.parts["train"]
        others = [image for part in found.parts.values() if part is not train for image in part]
        depth = depth_of(_some(extents, train))
        found.notes += depth_notes(depth, _paths([train]), extents)
        found.notes += misfit_notes(depth, _some(extents, others))
    splits = as_splits(found, classes, depth)
    return ImageFolder(
        root,
        classes,
        splits["train"],
        splits.get("val"),
        splits.get("test"),
        tuple(found.notes),
        has_own_test,
    )


def load_test(
    path: Path | str,
    classes: tuple[str, ...],
    group: str | None = None,
    depth: Depth | None = None,
) -> tuple[Split, tuple[Note, ...]]:
    """The photos to judge a model of `classes` on, and what the user should know about them.

    Of a folder or CSV file with parts, that is the test part, or val if there is none; of one
    without, all photos. Classes are matched by name; a list may have the column `group`, and copies
    and bursts are found as by `load_folder`.
    """
    found = _find(Path(path), group, is_needed=False)
    found.parts = {"test": _images_to_test_on(found)}
    match_classes(found, classes, Path(path))
    join_groups(found, Path(path), depth)
    split = as_splits(found, classes, depth)["test"]
    extents = extents_of(split.paths, keep=True).values()
    return split, (*found.notes, *misfit_notes(depth or Depth(), extents))


def _paths(parts: Iterable[list[LabelledImage]]) -> list[Path]:
    return [image.path for part in parts for image in part]


def _some(extents: Mapping[Path, Extent], images: Iterable[LabelledImage]) -> list[Extent]:
    return [extents[image.path] for image in images if image.path in extents]


def _find(
    path: Path, group: str | None, *, is_needed: bool = True, is_learned: bool = False
) -> LabelledParts:
    if path.is_dir() and group is not None and is_needed:
        raise ConfigError(
            f"{path} is a folder and has no column {group!r}.",
            next="Groups are for CSV lists: path,label,group. In a folder, equal files, copies and "
            "bursts are kept together anyway.",
            file=path,
        )
    if path.is_dir():
        tree = grow(path)
        refuse_detection(tree)
        return find_in_tree(tree, is_learned=is_learned)
    if path.exists():
        return find_in_list(path, group, is_needed=is_needed)
    siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    near = did_you_mean(path.name, siblings)
    raise DataError(
        f"There is no folder or CSV file {path}.",
        next=f"Did you mean {path.parent / near}?" if near else "Check the path.",
        file=path,
    )


def _classes(found: LabelledParts, root: Path) -> tuple[str, ...]:
    images = found.parts["train"]
    classes = tuple(sorted({image.label for image in images}))
    if len(classes) > 1:
        return classes
    folder = images[0].path.parent
    nested = folder.parent.name == classes[0]
    raise DataError(
        f"There is only one class, {classes[0]!r}, in {root}.",
        expected="A classifier needs at least two.",
        next=(
            f"If the classes are the folders in {folder.parent}, name that one."
            if nested
            else classes_in_names([image.path for image in images])
            or "Add a folder with photos of another class."
        ),
        file=root,
    )


def _name_train(found: LabelledParts, root: Path) -> None:
    """Photos that are in no parts are the `train` part."""
    if WHOLE in found.parts:
        found.parts["train"] = found.parts.pop(WHOLE)
    if "train" not in found.parts:
        raise DataError(
            f"{root} has {listed(sorted(found.parts))}, but no train part.",
            next="Add a folder train/ with one folder a class (in a CSV: lines with split train).",
            file=root,
        )


def _images_to_test_on(found: LabelledParts) -> list[LabelledImage]:
    """The photos of the test part if there is one, else of the val part, else all."""
    names = ("test", "val", WHOLE, "train")
    return next((found.parts[name] for name in names if name in found.parts), [])


def _test_on(found: LabelledParts, images: list[LabelledImage], test: Path) -> None:
    """Make the photos at another place the `test` part."""
    own = found.parts.get("test", [])
    learned = {_where(image) for part in found.parts.values() for image in part if part is not own}
    both = [image.path.as_posix() for image in images if _where(image) in learned]
    if both:
        raise DataError(
            f"{count(len(both), 'photo')} of the test set {test} are training photos, too: "
            f"{listed(both)}.",
            next="Move the test set out of the folder of training photos.",
            file=test,
        )
    if own:
        text = f"Its own test part ({count(len(own), 'photo')}) is not used: {test} is."
        found.notes.append(Note("split", text))
    found.parts["test"] = images


def _where(image: LabelledImage) -> str:
    return os.path.abspath(image.path)


def _test_on_val(found: LabelledParts, root: Path) -> None:
    """Where there is a val part and no test part, the val part is the test part."""
    if "test" in found.parts or "val" not in found.parts:
        return
    found.parts = {"train": found.parts["train"], "test": found.parts["val"]}
    number = count(len(found.parts["test"]), "photo")
    text = f"There is no test part: val ({number}) is the test set and steers nothing."
    found.notes.append(Note("split", text, root))
