"""A folder (or list) as training, validation and test split; unreadable images are left out."""

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from budwood.data.deep_images import (
    Extent,
    depth_notes,
    depth_of,
    extents_of,
    misfit_notes,
)
from budwood.data.labels import Note as Note
from budwood.data.labels import few_or_one, names_alike, names_taken
from budwood.data.layouts import LabelledParts, classes_in_names, find_in_tree
from budwood.data.lists import find_in_list
from budwood.data.scan import grow, refuse_detection
from budwood.data.splits import Split as Split
from budwood.data.splits import (
    as_splits,
    photos_to_test_on,
    straddling_groups,
    with_groups,
    with_known_classes,
    with_test,
    with_test_set_aside,
    with_train,
    with_val_as_test,
    with_val_set_aside,
)
from budwood.display import counted, displayed
from budwood.errors import ConfigError, DataError
from budwood.images.depth import Depth
from budwood.reporter import SILENT, Reporter
from budwood.text import count, did_you_mean, listed


@displayed
@dataclass(frozen=True)
class ImageFolder:
    """Photos to learn from and to be judged on, and what the user should know about them."""

    root: Path
    classes: tuple[str, ...]
    """The training photos' classes, in the order of Python's `sorted`; every split has them."""
    train: Split
    val: Split | None
    """Steers early stopping, and nothing else."""
    test: Split | None
    notes: tuple[Note, ...]
    """What was left out or set aside, and how splits differ."""
    has_own_test: bool = True
    """False if the test photos were set aside here: they might as well have been trained on."""

    def __str__(self) -> str:
        splits = {"train": self.train, "val": self.val, "test": self.test}
        table = counted({name: split.counts() for name, split in splits.items() if split})
        return "\n".join((table, *map(str, self.notes)))

    @property
    def depth(self) -> Depth:
        """What is black and white in photos of more than 8 bits, according to the training photos;
        that of their type where they were not measured."""
        return self.train.depth or Depth()

    def all_but_own_test(self) -> Split:
        """The photos of every split, less those of a test part that was there already."""
        splits = [self.train, self.val, None if self.has_own_test else self.test]
        kept = [split for split in splits if split is not None]
        groups = [group for split in kept for group in split.groups or ()]
        return Split(
            "photos",
            tuple(path for split in kept for path in split.paths),
            tuple(label for split in kept for label in split.labels),
            self.classes,
            tuple(groups) or None,
            self.train.depth,
        )


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
    one picture or one burst (`together.py`), has one number in `Split.groups`: it is kept on one
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
    _check_val(val)
    found = with_train(_find(root, group, is_learned=True), root)
    if test is not None:
        elsewhere = _find(Path(test), group, is_needed=False)
        found = with_test(found, photos_to_test_on(elsewhere), Path(test))
        found = replace(found, notes=found.notes + elsewhere.notes)
    found = with_val_as_test(found, root)
    classes = _classes(found, root)
    found = with_known_classes(found, classes, root if test is None else Path(test))
    numbers = Counter(photo.label for photo in found.parts["train"])
    named = {name: numbers[name] for name in classes}
    found = replace(found, notes=(*found.notes, *names_alike(named), *names_taken(named)))
    has_own_test = "test" in found.parts
    paths = [photo.path for part in found.parts.values() for photo in part]
    extents = extents_of(paths, keep=True) if find_depth else {}
    if find_groups:
        learned = [photo.path for photo in found.parts["train"]]
        found = with_groups(found, root, depth_of(_some(extents, learned)), reporter)
    if test_fraction is not None:
        found = with_test_set_aside(found, test_fraction, seed, root)
    if val:
        found = with_val_set_aside(found, val, seed, root)
    splits = as_splits(found, classes)
    notes = (*found.notes, *straddling_groups(found, root))
    if find_depth:
        splits, said = _with_depth(splits, extents)
        notes = (*notes, *said)
    return ImageFolder(
        root,
        classes,
        splits["train"],
        splits.get("val"),
        splits.get("test"),
        notes,
        has_own_test,
    )


def _with_depth(
    splits: dict[str, Split], extents: Mapping[Path, Extent]
) -> tuple[dict[str, Split], list[Note]]:
    """The splits with the depth of the training photos, and what the user should know of it."""
    train = splits["train"].paths
    depth = depth_of(_some(extents, train))
    notes = depth_notes(depth, train, extents)
    others = [path for name, split in splits.items() if name != "train" for path in split.paths]
    notes += misfit_notes(depth, _some(extents, others))
    return {name: replace(split, depth=depth) for name, split in splits.items()}, notes


def _some(extents: Mapping[Path, Extent], paths: Iterable[Path]) -> list[Extent]:
    return [extents[path] for path in paths if path in extents]


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
    found = LabelledParts({"test": photos_to_test_on(found)}, found.notes)
    found = with_known_classes(found, classes, Path(path))
    found = with_groups(found, Path(path), depth)
    split = replace(as_splits(found, classes)["test"], depth=depth)
    extents = extents_of(split.paths, keep=True).values()
    return split, (*found.notes, *misfit_notes(depth or Depth(), extents))


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


def _check_val(val: float) -> None:
    if not 0 <= val < 1:
        raise ConfigError(
            f"A fraction of {val} of the training photos cannot be set aside.",
            expected="val must be 0 or lie between 0 and 1, such as 0.1.",
        )


def _classes(found: LabelledParts, root: Path) -> tuple[str, ...]:
    photos = found.parts["train"]
    classes = tuple(sorted({photo.label for photo in photos}))
    if len(classes) > 1:
        return classes
    folder = photos[0].path.parent
    nested = folder.parent.name == classes[0]
    raise DataError(
        f"There is only one class, {classes[0]!r}, in {root}.",
        expected="A classifier needs at least two.",
        next=(
            f"If the classes are the folders in {folder.parent}, name that one."
            if nested
            else classes_in_names([photo.path for photo in photos])
            or "Add a folder with photos of another class."
        ),
        file=root,
    )


TOLERATED_SHARE = 0.25
"""With more of a class broken something larger is wrong than a few photos."""


def leave_out_unreadable(
    folder: ImageFolder, unreadable: Mapping[Path, str], *, strict: bool = False
) -> ImageFolder:
    """The folder without its broken photos, each named in a note."""
    if not unreadable:
        return folder
    if strict:
        raise DataError(
            f"{count(len(unreadable), 'photo')} cannot be read: {_listed(unreadable)}",
            expected="--strict allows none.",
            next="Repair or remove them, or go on without --strict.",
            file=next(iter(unreadable)),
        )
    splits = [split for split in (folder.train, folder.val, folder.test) if split is not None]
    for split in splits:
        _check_losses(folder.root, split, unreadable)
    notes = [Note("broken", f"Left out: {reason}", path) for path, reason in unreadable.items()]
    return replace(
        folder,
        train=folder.train.without(unreadable),
        val=folder.val and folder.val.without(unreadable),
        test=folder.test and folder.test.without(unreadable),
        notes=(*folder.notes, *notes),
    )


def unreadable_lines(before: ImageFolder, left: ImageFolder) -> list[Note]:
    """What to say of the photos that `leave_out_broken` left out; `left.notes` names each."""
    notes = list(left.notes[len(before.notes) :])
    paths = [str(note.file) for note in notes]
    return few_or_one(
        notes,
        paths,
        f"{{number}} photos cannot be read and are left out: {{names}}. `budwood audit "
        f"{shlex.quote(str(before.root))}` says why.",
    )


def _check_losses(root: Path, split: Split, unreadable: Mapping[Path, str]) -> None:
    left = split.without(unreadable).counts()
    for name, before in split.counts().items():
        lost = before - left[name]
        if lost <= TOLERATED_SHARE * before:
            continue
        of_class = {
            path: unreadable[path]
            for path, label in zip(split.paths, split.labels, strict=True)
            if path in unreadable and split.classes[label] == name
        }
        problem = (
            f"Class {name!r} has no readable {split.name} photo left"
            if lost == before
            else f"{lost} of {before} {split.name} photos of class {name!r} cannot be read"
        )
        raise DataError(
            f"{problem}: {_listed(of_class)}",
            expected="At most a quarter of a class may be broken.",
            next="Copy the photos again, or remove the broken ones to go on without them.",
            file=root,
        )


def _listed(unreadable: Mapping[Path, str]) -> str:
    return (
        listed([f"{path} ({reason.rstrip('.')})" for path, reason in unreadable.items()], 5) + "."
    )
