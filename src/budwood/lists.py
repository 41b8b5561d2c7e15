"""CSV lists of photos that are written and read back, whatever the photos' files are called."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from budwood.places import whole_file

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def path_cell(path: Path | str) -> str:
    """A path such that no spreadsheet takes it for a formula, and that still names the file.

    Example:
        >>> path_cell("=1.jpg"), path_cell("a/=1.jpg")
        ('./=1.jpg', 'a/=1.jpg')
    """
    text = str(path)
    return f"./{text}" if text.startswith(_FORMULA) else text


def csv_bytes(rows: Iterable[Sequence[object]]) -> bytes:
    """Rows as CSV in UTF-8; bytes of a file's name that are none stay as they are.

    Read with `errors="surrogateescape"`, such a list names the same files again.
    """
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode(errors="surrogateescape")


def write_list(file: Path, rows: Iterable[Sequence[object]], mark: bytes = b"") -> None:
    """Put rows into a CSV file, whole or not at all; `mark` comes before them.

    Raises:
        OSError: If it cannot be written.
    """
    content = mark + csv_bytes(rows)
    with whole_file(file) as made:
        made.write(content)


def is_text(name: str) -> bool:
    """False for a name with bytes that are no UTF-8.

    Example:
        >>> is_text("ä"), is_text("\\udce4")
        (True, False)
    """
    return not any("\udc80" <= c <= "\udcff" for c in name)
