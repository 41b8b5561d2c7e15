"""What a user should know about a folder of photos, one line each."""

from collections.abc import Sequence
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
    """The sentence on pairs that the search for copies of a picture left out.

    Example:
        >>> left_out(12_000)[:52]
        'Not all copies of a picture may have been found: 12,'
    """
    return (
        f"Not all copies of a picture may have been found: {count(pairs, 'pair')} of photos that "
        "are alike at a glance were too many to be compared, only the most alike were."
    )


def few_or_one(notes: Sequence[Note], names: Sequence[str], text: str) -> list[Note]:
    """Notes of one kind as they are, or one note in the stead of more than a few.

    Args:
        notes: One for each class or file.
        names: What each is about.
        text: Of the one note; `{number}` and `{names}` become how many and the first few.

    Example:
        >>> each = [Note("empty", f"{name} is empty.") for name in "abcdefg"]
        >>> print(*few_or_one(each, "abcdefg", "{number} are empty: {names}."))
        7 are empty: a, b, c and 4 more.
    """
    if len(notes) <= FEW:
        return list(notes)
    said = text.replace("{number}", f"{len(notes):,}").replace("{names}", listed(list(names)))
    return [Note(notes[0].kind, said, about=tuple(name for note in notes for name in note.about))]


def not_photos(files: list[Path]) -> Note:
    """The one note of all files whose names are no photos' names."""
    names = listed([path.name for path in files])
    text = f"Ignored {count(len(files), 'file')} whose name is no photo's name: {names}."
    phones = sum(path.suffix.lower() in (".heic", ".heif", ".avif") for path in files)
    hint = f" Save the {count(phones, 'HEIC or AVIF photo')} as JPEG to use them." if phones else ""
    return Note("not-a-photo", text + hint)
