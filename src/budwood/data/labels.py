"""Names of classes and groups, and notes: what a user should know, one line each."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from budwood.display import displayed
from budwood.text import count, listed, visible

FEW = 5
"""Notes of one kind that are told one by one; more are told as one."""


@displayed
@dataclass(frozen=True)
class Note:
    """Something that was done or left out and that the user may not expect.

    Example:
        >>> print(Note("empty-class", "This class folder holds no photo.", Path("photos/roses")))
        photos/roses: This class folder holds no photo.
    """

    kind: str
    """A word for programs, such as `hidden`, `empty-class`, `missing-class`, `split`, `broken`."""
    text: str
    """One sentence."""
    file: Path | None = None
    """The file or folder it is about."""
    about: tuple[str, ...] = ()
    """The classes it is about, also those that `text` does not name."""

    def __str__(self) -> str:
        return self.text if self.file is None else f"{visible(self.file.as_posix())}: {self.text}"


def left_out(pairs: int) -> str:
    """The sentence on pairs that the search for copies of a picture left out."""
    return (
        f"Not all copies of a picture may have been found: {count(pairs, 'pair')} of photos that "
        "are alike at a glance were too many to be compared, only the most alike were."
    )


def few_or_one(notes: Sequence[Note], names: Sequence[str], text: str) -> list[Note]:
    """Notes of one kind as they are, or one note in the stead of more than a few."""
    if len(notes) <= FEW:
        return list(notes)
    said = text.replace("{number}", f"{len(notes):,}").replace("{names}", listed(list(names)))
    return [Note(notes[0].kind, said, about=tuple(name for note in notes for name in note.about))]


def path_notes(kind: str, text: str, paths: Sequence[Path], summary: str) -> list[Note]:
    """The same sentence on each path, or one note in the stead of more than a few."""
    notes = [Note(kind, text, path) for path in paths]
    return few_or_one(notes, [path.as_posix() for path in paths], summary)


def not_images(files: list[Path]) -> Note:
    """The one note of all files whose names are no photos' names."""
    names = listed([path.name for path in files])
    text = f"Ignored {count(len(files), 'file')} whose name is no photo's name: {names}."
    phones = sum(path.suffix.lower() in (".heic", ".heif", ".avif") for path in files)
    hint = f" Save the {count(phones, 'HEIC or AVIF photo')} as JPEG to use them." if phones else ""
    return Note("not-an-image", text + hint)


UNKNOWN = "unknown"
"""What `predict` calls a photo that it does not answer."""
MISSING = frozenset({"nan", "NaN", "NAN", "None", "null", "NULL", "<NA>", "NaT", "#N/A"})
"""What programs write where a label is missing. Not `none` or `NA`, which people give as names."""

_OF_NO_WEIGHT = re.compile(r"[\s_\-\u200b\ufeff]+")


def normalised(name: str) -> str:
    """A name in Unicode's composed form (NFC), without blanks around it.

    macOS decomposes what others compose (Apple TN1150): the names look the same and are not equal.
    """
    return unicodedata.normalize("NFC", name).strip()


def folded(name: str) -> str:
    """The same for names that differ in case, blanks, hyphens or underscores only."""
    return _OF_NO_WEIGHT.sub("", unicodedata.normalize("NFKC", name).casefold())


def names_alike(images: Mapping[str, int]) -> Iterator[Note]:
    """A note if classes, given with their numbers of photos, are likely meant to be one."""
    of_key: dict[str, list[str]] = {}
    for name in images:
        of_key.setdefault(folded(name), []).append(name)
    found = [
        ", ".join(f"{name!r} ({images[name]:,})" for name in names)
        for names in of_key.values()
        if len(names) > 1
    ]
    if found:
        shown = "; ".join(found[:FEW]) + (f"; and {len(found) - FEW:,} more" * (len(found) > FEW))
        yield Note(
            "names-alike",
            "Classes that differ in case, blanks, hyphens or underscores only are told apart: "
            f"{shown}.",
        )


def names_taken(images: Mapping[str, int]) -> Iterator[Note]:
    """Notes on classes whose names mean something else elsewhere."""
    for name, number in images.items():
        if name in MISSING:
            text = f"Class {name!r} ({count(number, 'photo')}) is called as programs call no label."
            yield Note("name-taken", text)
        elif name.casefold() == UNKNOWN:
            yield Note(
                "name-taken",
                f"A class is called {name!r}, as photos are that `budwood predict --abstain` does "
                f"not answer: the column {UNKNOWN} of its table tells the two apart.",
            )
