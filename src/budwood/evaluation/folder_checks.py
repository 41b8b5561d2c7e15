"""What is wrong with a folder of photos, as far as it shows at a glance, and how to mend it."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from budwood.data.folder import ImageFolder
from budwood.data.labels import Note, few_or_one
from budwood.evaluation.data_issues import FEW, IMBALANCED
from budwood.text import count

FIXES = {
    "hidden": "Nothing, if it is meant to be hidden; else take the dot from its name.",
    "not-an-image": "Leave them if they are no photos; else save them as JPEG or PNG.",
    "empty-class": "Put photos into it, or remove it.",
    "not-a-split": "Call it train, val or test, or take it out.",
    "no-class": "Move them into the folder of their class.",
    "missing-class": "Add some: nothing says how well this class is known.",
    "extra-class": "Call the folders of both parts alike, or add training photos of it.",
    "small-class": "Add photos of it, or join it with another class.",
    "group-leakage": "Put each group into one part.",
    "nested": "Nothing, if each class folder is one class.",
    "names-alike": "Give photos of one class one name.",
    "name-taken": "Call it something else.",
    "columns": "Nothing, if they hold something else; else call them path, label, split or group.",
    "mixed-depths": "Save all of them alike, or check that no class is of one source alone.",
}
"""What to do about a note of that kind."""


@dataclass(frozen=True)
class Problem:
    """Something about the photos, and what to do about it.

    Example:
        >>> print(Problem("few", "Class 'rose' has 2 training photos.", "Add some."))
        Class 'rose' has 2 training photos. Add some.
    """

    kind: str
    """A word for programs."""
    text: str
    """One sentence."""
    fix: str
    """What to do."""
    file: Path | None = None
    """The file or folder that it is about."""

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self) | {"file": None if self.file is None else str(self.file)}

    def __str__(self) -> str:
        place = "" if self.file is None else f"{self.file.as_posix()}: "
        return f"{place}{self.text} {self.fix}"


def folder_problems(
    images: ImageFolder, unreadable: Mapping[Path, str], sampled: int
) -> tuple[Problem, ...]:
    """All problems of a folder."""
    noted = [
        Problem(note.kind, note.text, FIXES[note.kind], note.file)
        for note in images.notes
        if note.kind in FIXES
    ]
    return (*noted, *_unreadable(unreadable, sampled), *_counts(images))


def _unreadable(unreadable: Mapping[Path, str], sampled: int) -> Iterator[Problem]:
    for path, reason in unreadable.items():
        yield Problem("unreadable", reason, "Copy it again, or remove it.", path)
    if unreadable:
        yield Problem(
            "unreadable-share",
            f"{len(unreadable)} of {count(sampled, 'photo')} that were tried cannot be read.",
            "`budwood audit` tries all.",
        )


def _counts(images: ImageFolder) -> Iterator[Problem]:
    numbers = images.train.counts()
    most = max(numbers.values())
    few = [name for name, number in numbers.items() if number < FEW]
    small = [
        name for name, number in numbers.items() if number >= FEW and most >= IMBALANCED * number
    ]
    for note in few_or_one(
        [
            Note("few", f"Class {name!r} has only {count(numbers[name], 'training photo')}.")
            for name in few
        ],
        [f"{name!r} ({numbers[name]})" for name in few],
        f"{{number}} classes have fewer than {FEW} training photos: {{names}}.",
    ):
        yield Problem(note.kind, note.text, "Add some, or join it with another class.")
    for note in few_or_one(
        [
            Note(
                "imbalance",
                f"Class {name!r} has {numbers[name]:,} training photos, the largest has {most:,}.",
            )
            for name in small
        ],
        [f"{name!r} ({numbers[name]:,})" for name in small],
        f"{{number}} classes have less than a tenth of the photos of the largest, {most:,}: "
        "{names}.",
    ):
        fix = "Look at balanced accuracy, and add photos of it if you can."
        yield Problem(note.kind, note.text, fix)
