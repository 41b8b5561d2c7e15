"""Tables as text: in columns that line up whatever alphabet the words are in, Markdown and CSV."""

import csv
import io
from collections.abc import Sequence

from rich.cells import cell_len

from budwood.names import shown, visible


def aligned(rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """The rows as lines of text; the first `words` columns lean left, the numbers lean right.

    Names are shown as `names.shown` does.

    Example:
        >>> print(aligned([("class", "photos"), ("雏菊", "7"), ("rose", "12")]))
        class  photos
        雏菊        7
        rose       12
    """
    cells = [list(map(shown, row)) for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(_line(row, widths, words) for row in cells)


def width_of(text: str) -> int:
    """Columns of a terminal that the longest line takes.

    Example:
        >>> width_of("daisy\\n雏菊花")
        6
    """
    return max(map(cell_len, text.splitlines()), default=0)


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
    return " " * (width - cell_len(cell))


def _markdown_line(cells: Sequence[str]) -> str:
    escaped = (
        " ".join(visible(cell, "\n").split()).replace("\\", "\\\\").replace("|", "\\|")
        for cell in cells
    )
    return f"| {' | '.join(escaped)} |"
