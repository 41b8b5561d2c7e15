"""Photos that turn out unreadable while they are decoded: left out, named, and not too many."""

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from budwood.errors import DataError
from budwood.images.folder import ImageFolder, Note, Split
from budwood.images.notes import few_or_one
from budwood.text import count, listed

TOLERATED_SHARE = 0.25
"""With more of a class broken something larger is wrong than a few photos."""


def leave_out_broken(
    folder: ImageFolder, broken: Mapping[Path, str], *, strict: bool = False
) -> ImageFolder:
    """The folder without its broken photos, each named in a note.

    Args:
        folder: The photos as they were found.
        broken: Why each broken photo cannot be read.
        strict: Whether a single broken photo is an error.

    Raises:
        DataError: If more than a quarter of a class is broken in a split, if a class loses all its
            training photos, or if `strict` and any is broken.
    """
    if not broken:
        return folder
    if strict:
        raise DataError(
            f"{count(len(broken), 'photo')} cannot be read: {_listed(broken)}",
            expected="--strict allows none.",
            next="Repair or remove them, or go on without --strict.",
            file=next(iter(broken)),
        )
    splits = [split for split in (folder.train, folder.val, folder.test) if split is not None]
    for split in splits:
        _check_losses(folder.root, split, broken)
    notes = [Note("broken", f"Left out: {reason}", path) for path, reason in broken.items()]
    return replace(
        folder,
        train=folder.train.without(broken),
        val=folder.val and folder.val.without(broken),
        test=folder.test and folder.test.without(broken),
        notes=(*folder.notes, *notes),
    )


def said_of_broken(before: ImageFolder, left: ImageFolder) -> list[Note]:
    """What to say of the photos that `leave_out_broken` left out; `left.notes` names each."""
    notes = list(left.notes[len(before.notes) :])
    paths = [str(note.file) for note in notes]
    return few_or_one(
        notes,
        paths,
        f"{{number}} photos cannot be read and are left out: {{names}}. `budwood audit "
        f"{shlex.quote(str(before.root))}` says why.",
    )


def _check_losses(root: Path, split: Split, broken: Mapping[Path, str]) -> None:
    left = split.without(broken).counts()
    for name, before in split.counts().items():
        lost = before - left[name]
        if lost <= TOLERATED_SHARE * before:
            continue
        of_class = {
            path: broken[path]
            for path, label in zip(split.paths, split.labels, strict=True)
            if path in broken and split.classes[label] == name
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


def _listed(broken: Mapping[Path, str]) -> str:
    return listed([f"{path} ({reason.rstrip('.')})" for path, reason in broken.items()], 5) + "."
