"""Names of files and classes: as they are shown, and made such that every disk takes them."""

import re
import unicodedata
from pathlib import Path

LONGEST = 100
"""Columns that a name takes in a table at most."""
_LONGEST_FILE = 80
"""Characters of the name of a file that is made from other names."""
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
_CONTROLS = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNS_TEXT = re.compile("[\u202a-\u202e\u2066-\u2069]")


def visible(text: str, keep: str = "") -> str:
    r"""Text with its control characters, line breaks and undecodable bytes written as escapes.

    A name may hold what would clear a terminal, end a line of a table or turn what follows it
    around; as an escape it does no harm, and is seen.

    Args:
        text: A name, or text that holds names.
        keep: Control characters that stay.

    Example:
        >>> print(visible("a\x1b[2Jb\nc.jpg"), visible("g\udce4ns.jpg"))
        a\x1b[2Jb\nc.jpg g\xe4ns.jpg
    """
    return "".join(c if c in keep or not _is_control(c) else _escape(c) for c in text)


def shown(name: object, longest: int = LONGEST) -> str:
    """A name as it stands in a table: visible, and shortened in its middle if it is very long.

    Example:
        >>> shown("a" * 300 + ".jpg", 20)
        'aaaaaaaaa...aaaa.jpg'
    """
    text = visible(str(name))
    if len(text) <= longest:
        return text
    end = (longest - 3) // 2
    return f"{text[: longest - 3 - end]}...{text[-end:]}"


def sameness(name: str) -> str:
    """Equal for names that are one file on a disk that tells neither capitals nor accents' forms.

    Example:
        >>> sameness("IMG.JPG") == sameness("img.jpg")
        True
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def file_name(name: str) -> str:
    r"""A name that a file may have on Linux, macOS and Windows.

    Characters and words that Windows reserves, control characters and what no text holds are
    replaced, and a long name is cut.

    Example:
        >>> file_name("aux: 3/4?"), file_name("con"), file_name("..")
        ('aux- 3-4-', '_con', '_')

    Reference: Microsoft, "Naming Files, Paths, and Namespaces".
    """
    safe = "".join("-" if c in '<>:"/\\|?*' or _is_control(c) else c for c in name)
    safe = safe[:_LONGEST_FILE].rstrip(". ") or "_"
    return f"_{safe}" if _RESERVED.match(safe) else safe


def unused(folder: Path, name: str, suffix: str) -> Path:
    """`NAME` and the suffix in a folder, with the first number behind it that is not taken yet.

    A name that differs in capitals only from one that is there counts as taken.
    """
    name = file_name(name)
    there = {sameness(entry.name) for entry in folder.iterdir()} if folder.is_dir() else set()
    path, number = folder / f"{name}{suffix}", 1
    while sameness(path.name) in there:
        number += 1
        path = folder / f"{name}-{number}{suffix}"
    return path


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in _CONTROLS or bool(_TURNS_TEXT.match(character))


def _escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte that is no UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape", "surrogatepass").decode()
