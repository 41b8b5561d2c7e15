"""Splits: images with their classes and groups, and the splits of one folder or list."""

import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from budwood.data.labels import Note, few_or_one
from budwood.display import counted, displayed
from budwood.errors import ConfigError, DataError
from budwood.images.depth import Depth
from budwood.text import count, listed

TOLERATED_SHARE = 0.25
"""With more of a class broken something larger is wrong than a few photos."""


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
        kept = [path not in left_out for path in self.paths]
        return replace(
            self,
            paths=tuple(compress(self.paths, kept)),
            labels=tuple(compress(self.labels, kept)),
            groups=None if self.groups is None else tuple(compress(self.groups, kept)),
        )


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
    notes = [Note("unreadable", f"Left out: {reason}", path) for path, reason in unreadable.items()]
    return replace(
        folder,
        train=folder.train.without(unreadable),
        val=folder.val and folder.val.without(unreadable),
        test=folder.test and folder.test.without(unreadable),
        notes=(*folder.notes, *notes),
    )


def unreadable_lines(before: ImageFolder, left: ImageFolder) -> list[Note]:
    """What to say of the photos that `leave_out_unreadable` left out; `left.notes` names each."""
    notes = list(left.notes[len(before.notes) :])
    return few_or_one(
        notes,
        [str(note.file) for note in notes],
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
            expected="At most a quarter of a class may be unreadable.",
            next="Copy the photos again, or remove these to go on without them.",
            file=root,
        )


def _listed(unreadable: Mapping[Path, str]) -> str:
    named = [f"{path} ({reason.rstrip('.')})" for path, reason in unreadable.items()]
    return f"{listed(named, 5)}."
