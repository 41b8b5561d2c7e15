"""Images listed in a CSV file: `path,label[,split[,group]]`, under these or other usual names."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from budwood.data.columns import Columns, chosen_columns, several_labels
from budwood.data.labels import MISSING, Note, normalised, not_images
from budwood.data.layouts import LISTS, ONE_CLASS_EACH
from budwood.data.parts import WHOLE, LabelledImage, LabelledParts, part_names, part_of
from budwood.data.scan import find_listed
from budwood.errors import DataError
from budwood.files import is_text
from budwood.images.formats import is_image_name
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


def find_in_list(file: Path, group: str | None = None, *, is_needed: bool = True) -> LabelledParts:
    """The photos a CSV file lists; their paths are relative to the folder of the file.

    Columns have the names `path`, `label`, `split` and `group`, or other usual ones (`columns.py`);
    further columns are not used, which is said. `group` names the column that tells which photos
    belong together; unless it is needed the list may do without.
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
    paths, moved = find_listed(file, [row.path for row in rows])
    others = [path for path in paths if not is_image_name(path.name)]
    found = LabelledParts({}, [*columns.notes, *moved, *_trimmed(file, rows)])
    for row, path in sorted(zip(rows, paths, strict=True), key=lambda pair: pair[1].as_posix()):
        if is_image_name(path.name):
            image = LabelledImage(path, normalised(row.label), normalised(row.group) or None)
            found.parts.setdefault(part_of(row.split) or WHOLE, []).append(image)
    if others:
        found.notes.append(not_images(others))
    return found


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
            f"{file} has {what} cells than columns in {_lines([n for n, _ in odd])}: "
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


def _lines(lines: Sequence[int]) -> str:
    return f"line{'s' if len(lines) > 1 else ''} {listed([str(line) for line in lines], 10)}"


def _check_cells(file: Path, rows: list[_Row], columns: Columns) -> None:
    nameless = [row for row in rows if not row.path]
    if nameless:
        raise DataError(
            f"{file} has no path in {_lines([row.line for row in nameless])}.",
            next="Fill it in.",
            file=file,
        )
    missing = [row for row in rows if not row.label.strip() or row.label.strip() in MISSING]
    if missing:
        said = sorted({row.label.strip() for row in missing} - {""})
        written = f" (written as {listed(said)})" if said else ""
        raise DataError(
            f"{file} has no label{written} in {_lines([row.line for row in missing])}.",
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
            f"{file} has no split in {_lines([row.line for row in without])}, but in others.",
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


def refuse_labels(file: Path, labels: Sequence[str]) -> None:
    """Raise unless these are names of classes, one each."""
    several = [label for label in labels if ";" in label or "|" in label]
    if several:
        raise several_labels(file, f"labels such as {several[0]!r}")
    if len(labels) >= 5 and all(map(_is_number, labels)) and len(set(labels)) >= 0.8 * len(labels):
        raise DataError(
            f"The labels in {file} are numbers, nearly all different ({listed(list(labels))}): "
            "that is regression.",
            expected=ONE_CLASS_EACH,
            next="Sort the numbers into a few named classes.",
            file=file,
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
