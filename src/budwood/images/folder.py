"""A folder (or list) of photos as training, validation and test split with one list of classes."""

import difflib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from budwood.errors import ConfigError, DataError
from budwood.images import parts
from budwood.images.layouts import Found, classes_in_names, find_in_tree
from budwood.images.names import names_alike, names_taken
from budwood.images.notes import Note as Note
from budwood.images.other_tasks import refuse_detection
from budwood.images.photo_lists import find_in_list
from budwood.images.splits import Split as Split
from budwood.images.trees import grow


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
    on_note: Callable[[str], None] = lambda note: None,
) -> ImageFolder:
    """The photos at `path` with their classes and splits.

    `path` is a folder with one folder a class; or with `train`, `val` and `test` folders of these
    (or `training_set`, `valid`, `dev` and so on); or a CSV file `path,label[,split[,group]]`, also
    under other usual names (`columns.py`). Names of classes and groups are compared in Unicode's
    composed form, without blanks around them. Where there is `val` and no `test`, `val` is the
    test set. Where there is neither, a stratified part is set
    aside for testing. What belongs together, by a list's column `group` or because it is one file,
    one picture or one burst (`together.py`), has one number in `Split.groups`: it is kept on one
    side of a part that is set aside here, and of all that is held out later. Photos are opened for
    that only.

    Args:
        path: A folder or a CSV file.
        test: Another folder or CSV file to test on.
        val: The share of the training photos to set aside for early stopping, if `path` has none.
        test_fraction: The share of the photos to set aside for testing, if there is no test set;
            None sets none aside.
        seed: Chooses what is set aside.
        group: Column of the CSV file to use instead of `group`.
        find_groups: False leaves photos closed: only groups that a list names are kept together.
        on_note: Told how far it is, if looking for groups takes long.

    Raises:
        DataError: If nothing can be learned from what is there; `file` names the place.
        ConfigError: If a fraction or the seed is out of range.

    Example:
        >>> load_folder("photos/flowers").classes  # doctest: +SKIP
        ('daisy', 'dandelion', 'roses', 'sunflowers', 'tulips')
    """
    root = Path(path)
    _check_val(val)
    found = parts.with_train(_find(root, group, is_learned=True), root)
    if test is not None:
        elsewhere = _find(Path(test), group, is_needed=False)
        found = parts.with_test(found, parts.photos_to_test_on(elsewhere), Path(test))
        found = replace(found, notes=found.notes + elsewhere.notes)
    found = parts.with_val_as_test(found, root)
    classes = _classes(found, root)
    found = parts.with_known_classes(found, classes, root if test is None else Path(test))
    numbers = Counter(photo.label for photo in found.parts["train"])
    named = {name: numbers[name] for name in classes}
    found = replace(found, notes=(*found.notes, *names_alike(named), *names_taken(named)))
    has_own_test = "test" in found.parts
    if find_groups:
        found = parts.with_groups(found, root, on_note)
    if test_fraction is not None:
        found = parts.with_test_set_aside(found, test_fraction, seed, root)
    if val:
        found = parts.with_val_set_aside(found, val, seed, root)
    splits = parts.as_splits(found, classes)
    return ImageFolder(
        root,
        classes,
        splits["train"],
        splits.get("val"),
        splits.get("test"),
        (*found.notes, *parts.straddling_groups(found, root)),
        has_own_test,
    )


def load_test(
    path: Path | str, classes: tuple[str, ...], group: str | None = None
) -> tuple[Split, tuple[Note, ...]]:
    """The photos to judge a model of `classes` on, and what the user should know about them.

    Of a folder or CSV file with parts, that is the test part, or val if there is none; of one
    without, all photos. Classes are matched by name; a list may have the column `group`, and copies
    and bursts are found as by `load_folder`.

    Raises:
        DataError: If there is no photo of any of the classes.
    """
    found = _find(Path(path), group, is_needed=False)
    found = Found({"test": parts.photos_to_test_on(found)}, found.notes)
    found = parts.with_known_classes(found, classes, Path(path))
    found = parts.with_groups(found, Path(path))
    return parts.as_splits(found, classes)["test"], found.notes


def _find(
    path: Path, group: str | None, *, is_needed: bool = True, is_learned: bool = False
) -> Found:
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
    near = difflib.get_close_matches(path.name, siblings, 1)
    raise DataError(
        f"There is no folder or CSV file {path}.",
        next=f"Did you mean {path.parent / near[0]}?" if near else "Check the path.",
        file=path,
    )


def _check_val(val: float) -> None:
    if not 0 <= val < 1:
        raise ConfigError(
            f"A fraction of {val} of the training photos cannot be set aside.",
            expected="val must be 0 or lie between 0 and 1, such as 0.1.",
        )


def _classes(found: Found, root: Path) -> tuple[str, ...]:
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
