"""Text for people: names, numbers, lists, tables, guesses at what was meant."""

import csv
import difflib
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence

LONGEST = 100
"""Columns that a name takes in a table at most."""
_CONTROLS = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNS_TEXT = re.compile("[\u202a-\u202e\u2066-\u2069]")


def visible(text: str, keep: str = "") -> str:
    r"""Text with its control characters, line breaks and undecodable bytes written as escapes.

    A name may hold what would clear a terminal, end a line of a table or turn what follows it
    around; as an escape it does no harm, and is seen.

    Example:
        >>> print(visible("a\x1b[2Jb\nc.jpg"), visible("g\udce4ns.jpg"))
        a\x1b[2Jb\nc.jpg g\xe4ns.jpg
    """
    return "".join(c if c in keep or not is_control(c) else _escape(c) for c in text)


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


def count(number: int, singular: str, plural: str | None = None) -> str:
    """A number with its noun.

    Example:
        >>> count(1, "photo"), count(1200, "photo"), count(2, "class", "classes")
        ('1 photo', '1,200 photos', '2 classes')
    """
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def listed(names: Sequence[str], most: int = 3) -> str:
    """The first few names, and how many more there are.

    Example:
        >>> listed(["a", "b", "c", "d", "e"])
        'a, b, c and 2 more'
    """
    more = len(names) - most
    return ", ".join(map(visible, names[:most])) + (f" and {more:,} more" if more > 0 else "")


def did_you_mean(word: str, choices: Iterable[str], least: float = 0.6) -> str | None:
    """What was probably meant by a word that is none of the choices.

    Args:
        least: The share of characters in common, at least.

    Example:
        >>> did_you_mean("roze", ["rose", "tulip"]), did_you_mean("oak", ["rose", "tulip"])
        ('rose', None)
    """
    return next(iter(difflib.get_close_matches(word, list(choices), 1, least)), None)


def percent(share: float, digits: int = 1) -> str:
    """A share in percent.

    Example:
        >>> percent(0.1234), percent(0.5, 0)
        ('12.3 %', '50 %')
    """
    return f"{100 * share:.{digits}f} %"


def duration(seconds: float) -> str:
    """A time span.

    Example:
        >>> duration(42), duration(600), duration(9000)
        ('42 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def byte_size(count: int) -> str:
    """Bytes with the largest unit that fits.

    Example:
        >>> byte_size(1_302_528)
        '1.3 MB'
    """
    amount, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.3g} {unit}"


def short(number: int) -> str:
    """Three or four digits and a unit, such as 15.47 G."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= size:
            return f"{number / size:.2f} {unit}"
    return str(number)


def aligned(rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """The rows as lines of text; the first `words` columns lean left, the numbers lean right.

    Names are shown as `shown` does.

    Example:
        >>> print(aligned([("class", "photos"), ("雏菊", "7"), ("rose", "12")]))
        class  photos
        雏菊        7
        rose       12
    """
    cells = [list(map(shown, row)) for row in rows]
    widths = [max(map(_columns, column)) for column in zip(*cells, strict=True)]
    return "\n".join(_line(row, widths, words) for row in cells)


def width_of(text: str) -> int:
    """Columns of a terminal that the longest line takes.

    Example:
        >>> width_of("daisy\\n雏菊花")
        6
    """
    return max(map(_columns, text.splitlines()), default=0)


def as_markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table in GitHub's Markdown; the first row is its head.

    What would end a cell is escaped.

    Example:
        >>> print(as_markdown([("layer", "size"), ("a|b", "7")]))
        | layer | size |
        | --- | --- |
        | a\\|b | 7 |
    """
    head, *rest = rows
    return "\n".join(map(_markdown_line, (head, ["---"] * len(head), *rest)))


def as_csv(rows: Sequence[Sequence[str]]) -> str:
    """Comma-separated values, quoted where needed; the first row is the head.

    Example:
        >>> as_csv([("layer", "size"), ("conv, first", "7")])
        'layer,size\\n"conv, first",7\\n'
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _line(row: Sequence[str], widths: Sequence[int], words: int) -> str:
    cells = (
        cell + _blanks(cell, width) if i < words else _blanks(cell, width) + cell
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join(cells).rstrip()


def _blanks(cell: str, width: int) -> str:
    return " " * (width - _columns(cell))


def _markdown_line(cells: Sequence[str]) -> str:
    escaped = (
        " ".join(visible(cell, "\n").split()).replace("\\", "\\\\").replace("|", "\\|")
        for cell in cells
    )
    return f"| {' | '.join(escaped)} |"


def _columns(text: str) -> int:
    """Columns of a terminal: two for a letter of East Asia, none for an accent of its own."""
    return sum(
        0
        if unicodedata.category(c) in ("Mn", "Me", "Cf")
        else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def is_control(character: str) -> bool:
    """True for what moves a cursor, ends a line, turns text around or is no text."""
    return unicodedata.category(character) in _CONTROLS or bool(_TURNS_TEXT.match(character))


def _escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte that is no UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape", "surrogatepass").decode()
