"""Columns of text that line up, whatever alphabet the words are written in."""

from collections.abc import Sequence

from rich.cells import cell_len


def aligned(rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """The rows as lines of text; the first `words` columns lean left, the numbers lean right.

    Example:
        >>> print(aligned([("class", "photos"), ("雏菊", "7"), ("rose", "12")]))
        class  photos
        雏菊        7
        rose       12
    """
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths, words) for row in rows)


def _line(row: Sequence[str], widths: Sequence[int], words: int) -> str:
    cells = (
        cell + _blanks(cell, width) if i < words else _blanks(cell, width) + cell
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join(cells).rstrip()


def _blanks(cell: str, width: int) -> str:
    return " " * (width - cell_len(cell))
