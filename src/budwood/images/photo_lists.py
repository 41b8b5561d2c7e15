"""Photos listed in a CSV file: `path,label[,split[,group]]`, under these or other usual names."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from budwood.errors import DataError
from budwood.files import is_text
from budwood.images.columns import Columns, chosen_columns
from budwood.images.layouts import LISTS, WHOLE, Found, LabelledPhoto, part_names, part_of
from budwood.images.listed_paths import ListedPaths
from budwood.images.names import MISSING, normalised
from budwood.images.notes import Note, not_photos
from budwood.images.other_tasks import refuse_labels
from budwood.images.trees import is_photo_name
from budwood.text import count, listed

_SIGNS = {",": "comma", ";": "semicolon", "\t": "tab"}


@dataclass(frozen=True)
class _Table:
    """A list as it stands there."""

    header: list[str]
    lines: list[tuple[int, list[str]]]
    """The cells of each line that has any, with its number."""
    delimiter: str


@dataclass(frozen=True)
class _Row:
    """A line of a list; a cell that the list has no column for is empty."""

    line: int
    path: str
    label: str
    """As it stands there, with blanks around it."""
    split: str
    group: str


def find_in_list(file: Path, group: str | None = None, *, is_needed: bool = True) -> Found:
    """The photos a CSV file lists; their paths are relative to the folder of the file.

    Columns have the names `path`, `label`, `split` and `group`, or other usual ones (`columns.py`);
    further columns are not used, which is said. Paths are taken as they are. A photo that is not
    there by its path, also one named without ending as competitions do (`id,breed`), is looked for
    below the folder of the list.

    Args:
        file: The list.
        group: Name of the column that tells which photos belong together; default `group`.
        is_needed: False if the list may do without that column.

    Raises:
        DataError: If it is no CSV, lacks a column or cells, names photos that are not there, or
            describes another task than one class a photo.
    """
    table = _read(file)
    columns = chosen_columns(file, table.header, group, is_needed=is_needed)
    _check_lengths(file, table, columns)
    rows = [_row(number, cells, columns) for number, cells in table.lines]
    _check_text(file, rows)
    if not rows:
        raise DataError(
            f"There are no photos in {file}.", expected="One line a photo was expected.", file=file
        )
    _check_cells(file, rows, columns)
    refuse_labels(file, [row.label for row in rows])
    places = ListedPaths(file)
    paths = places.found([row.path for row in rows])
    others = [path for path in paths if not is_photo_name(path)]
    parts: dict[str, list[LabelledPhoto]] = {}
    for row, path in sorted(zip(rows, paths, strict=True), key=lambda pair: pair[1].as_posix()):
        if is_photo_name(path):
            group_name = normalised(row.group) or None
            photo = LabelledPhoto(path, normalised(row.label), group_name)
            parts.setdefault(part_of(row.split) or WHOLE, []).append(photo)
    notes = [*columns.notes, *places.notes, *_trimmed(file, rows)]
    return Found(parts, (*notes, *([not_photos(others)] if others else [])))


def _read(file: Path) -> _Table:
    if file.suffix.lower() not in LISTS:
        raise DataError(
            f"{file} is neither a folder nor a CSV file.",
            expected="A folder of class folders or a CSV file `path,label` was expected.",
            file=file,
        )
    try:
        text = file.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise DataError(
            f"{file} cannot be read: {(error.strerror or str(error)).lower()}.", file=file
        ) from None
    top = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=top.count)  # spreadsheets of many countries write semicolons
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        header = next(reader, [])
        lines = [(reader.line_num, cells) for cells in reader if any(cells)]
    except csv.Error as error:
        raise DataError(
            f"{file} is not a CSV file: {error} (line {reader.line_num}).",
            next="Save it again as CSV UTF-8.",
            file=file,
        ) from None
    if not is_text("".join(header)):
        raise _not_text(file, 1)
    return _Table(header, lines, delimiter)


def _check_text(file: Path, rows: Sequence[_Row]) -> None:
    """Raise unless all is UTF-8, but for names of photos that are there and of their classes."""
    for row in rows:
        is_all_text = is_text(row.path + row.label + row.split + row.group)
        has_odd_name = not is_text(row.path) and (file.parent / row.path).is_file()
        if not is_all_text and not has_odd_name:
            raise _not_text(file, row.line)


def _not_text(file: Path, line: int) -> DataError:
    return DataError(
        f"{file} is not UTF-8 text (line {line}).", next="Save it as CSV UTF-8.", file=file
    )


def _check_lengths(file: Path, table: _Table, columns: Columns) -> None:
    """Raise unless every line has the header's cells.

    Spreadsheets add empty cells at the end of lines, or leave them out: that does no harm where no
    column that is used lacks its cell.
    """
    width = len(table.header)
    long = [(n, cells) for n, cells in table.lines if any(map(str.strip, cells[width:]))]
    short = [(n, cells) for n, cells in table.lines if len(cells) <= columns.last]
    for odd, what in ((long, "more"), (short, "fewer")):
        if not odd:
            continue
        cells = odd[0][1]
        at = min(columns.label, max(0, len(cells) - 2))
        quoted = table.delimiter.join(cells[at : at + 2]).strip()
        raise DataError(
            f"{file} has {what} cells than columns in {_numbered([n for n, _ in odd])}: "
            f"{table.delimiter.join(cells)!r}.",
            expected=f"The first line names {count(width, 'column')}.",
            next=f"A cell with a {_SIGNS[table.delimiter]} in it stands in quotes: "
            f'"{quoted}". Put them there, or save the table anew with the program that made it.'
            if what == "more"
            else "Add what is missing: an empty cell needs its "
            f"{_SIGNS[table.delimiter]}, and a quote its end.",
            file=file,
        )


def _row(line: int, cells: list[str], columns: Columns) -> _Row:
    def cell(place: int | None) -> str:
        return "" if place is None else cells[place]

    return _Row(
        line,
        cell(columns.path).strip(),
        cell(columns.label),
        cell(columns.split).strip(),
        cell(columns.group).strip(),
    )


def _lines(rows: Sequence[_Row]) -> str:
    return _numbered([row.line for row in rows])


def _numbered(lines: Sequence[int]) -> str:
    return f"line{'s' if len(lines) > 1 else ''} {listed([str(line) for line in lines], 10)}"


def _check_cells(file: Path, rows: list[_Row], columns: Columns) -> None:
    nameless = [row for row in rows if not row.path]
    if nameless:
        raise DataError(f"{file} has no path in {_lines(nameless)}.", next="Fill it in.", file=file)
    missing = [row for row in rows if not row.label.strip() or row.label.strip() in MISSING]
    if missing:
        said = sorted({row.label.strip() for row in missing} - {""})
        written = f" (written as {listed(said)})" if said else ""
        raise DataError(
            f"{file} has no label{written} in {_lines(missing)}.",
            expected=f"Each photo has its class; {count(len(missing), 'line')} of {len(rows):,} "
            "lack it.",
            next="Fill it in, or take these lines out (in pandas: "
            f"`frame.dropna(subset=[{columns.label_name!r}])` before `astype(str)` and `to_csv`).",
            file=file,
        )
    unknown = sorted({row.split for row in rows if row.split and not part_of(row.split)})
    if unknown:
        raise DataError(
            f"{file} has the unknown split {listed([repr(name) for name in unknown])}.",
            expected=f"A split is one of {part_names()}.",
            next=None
            if columns.split_name == "split"
            else f"If the column {columns.split_name!r} is about something else, rename it.",
            file=file,
        )
    without = [row for row in rows if not row.split]
    if without and len(without) < len(rows):
        raise DataError(
            f"{file} has no split in {_lines(without)}, but in others.",
            next="Fill it in everywhere or nowhere.",
            file=file,
        )


def _trimmed(file: Path, rows: Sequence[_Row]) -> list[Note]:
    trimmed = [row for row in rows if row.label != row.label.strip()]
    if not trimmed:
        return []
    shown = listed(sorted({repr(row.label) for row in trimmed}))
    number = count(len(trimmed), "line")
    text = f"Blanks around labels are not part of them ({number}: {shown})."
    return [Note("blanks", text, file)]
