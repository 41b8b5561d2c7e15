"""Photos listed in a CSV file: `path,label[,split[,group]]`, or another column as group."""

import csv
import difflib
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from budwood.errors import DataError
from budwood.images.layouts import WHOLE, Found, LabelledPhoto, part_names, part_of
from budwood.images.notes import count, first, not_photos
from budwood.images.other_tasks import refuse_label_columns, refuse_labels
from budwood.images.trees import is_photo_name
from budwood.lists import is_text

COLUMNS = ("path", "label", "split", "group")


@dataclass(frozen=True)
class _Row:
    line: int
    cells: dict[str, str]


def find_in_list(file: Path, group: str | None = None, *, is_needed: bool = True) -> Found:
    """The photos a CSV file lists; their paths are relative to the folder of the file.

    Args:
        file: The list.
        group: Name of the column that tells which photos belong together; default `group`.
        is_needed: False if the list may do without that column.

    Raises:
        DataError: If it is no CSV, has other columns, names photos that are not there, or describes
            another task than one class a photo.
    """
    columns, rows = _read(file)
    _check_text(file, columns, rows)
    grouping = "group" if group is None else group.strip().lower()
    _check_columns(file, columns, grouping, is_needed and group is not None)
    if not rows:
        raise DataError(
            f"There are no photos in {file}.", expected="One line a photo was expected.", file=file
        )
    _check_cells(file, rows)
    refuse_labels(file, [row.cells["label"] for row in rows])
    photos = [(row, _path(file, row)) for row in rows]
    _check_photos(file, [path for _, path in photos])
    others = [path for _, path in photos if not is_photo_name(path)]
    parts: dict[str, list[LabelledPhoto]] = {}
    for row, path in sorted(photos, key=lambda photo: photo[1].as_posix()):
        if is_photo_name(path):
            part = part_of(row.cells["split"]) or WHOLE
            photo = LabelledPhoto(path, row.cells["label"], row.cells.get(grouping) or None)
            parts.setdefault(part, []).append(photo)
    return Found(parts, (not_photos(others),) if others else ())


def _read(file: Path) -> tuple[list[str], list[_Row]]:
    if file.suffix.lower() != ".csv":
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
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)  # spreadsheets of many countries write semicolons
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        return columns, [
            _Row(reader.line_num, _cells(columns, values)) for values in reader if any(values)
        ]
    except csv.Error as error:
        raise DataError(
            f"{file} is not a CSV file: {error} (line {reader.line_num}).",
            next="Save it again as CSV UTF-8.",
            file=file,
        ) from None


def _check_text(file: Path, columns: list[str], rows: list[_Row]) -> None:
    """Raise unless all is UTF-8, but for names of photos that are there and of their classes."""
    odd = [1] if not is_text("".join(columns)) else []
    for row in rows:
        has_odd_name = not is_text(row.cells["path"]) and _path(file, row).is_file()
        if not is_text("".join(row.cells.values())) and not has_odd_name:
            odd.append(row.line)
    if odd:
        raise DataError(
            f"{file} is not UTF-8 text (line {odd[0]}).", next="Save it as CSV UTF-8.", file=file
        )


def _cells(columns: list[str], values: list[str]) -> dict[str, str]:
    cells = dict.fromkeys(COLUMNS, "")
    return cells | {name: value.strip() for name, value in zip(columns, values, strict=False)}


def _check_columns(file: Path, columns: list[str], grouping: str, is_needed: bool) -> None:
    known = dict.fromkeys([*COLUMNS, grouping])
    refuse_label_columns(file, [name for name in columns if name != grouping])
    unknown = [name for name in columns if name not in known]
    needed = [*COLUMNS[:2], *([grouping] if is_needed else [])]
    missing = [name for name in needed if name not in columns]
    if not unknown and not missing and len(set(columns)) == len(columns):
        return
    problems = [f"has no column {name!r}" for name in missing]
    for name in unknown:
        near = difflib.get_close_matches(name, known, 1)
        guess = f" (did you mean {near[0]!r}?)" if near else ""
        problems.append(f"has an unknown column {name!r}{guess}")
    problems += [
        f"has the column {name!r} twice" for name, number in Counter(columns).items() if number > 1
    ]
    raise DataError(
        f"{file} {', '.join(problems)}.",
        expected="The first line names the columns: path,label and, if you like, split and group.",
        next="Rename or remove columns.",
        file=file,
    )


def _check_cells(file: Path, rows: list[_Row]) -> None:
    for column in COLUMNS[:2]:
        lines = [str(row.line) for row in rows if not row.cells[column]]
        if lines:
            raise DataError(
                f"{file} has no {column} in line {first(lines)}.", next="Fill it in.", file=file
            )
    splits = [row.cells["split"] for row in rows]
    unknown = sorted({name for name in splits if name and not part_of(name)})
    if unknown:
        raise DataError(
            f"{file} has the unknown split {first([repr(name) for name in unknown])}.",
            expected=f"A split is one of {part_names()}.",
            file=file,
        )
    if any(splits) and not all(splits):
        lines = [str(row.line) for row in rows if not row.cells["split"]]
        raise DataError(
            f"{file} has no split in line {first(lines)}, but in others.",
            next="Fill it in everywhere or nowhere.",
            file=file,
        )


def _path(file: Path, row: _Row) -> Path:
    return file.parent / row.cells["path"].replace("\\", "/")  # lists come from Windows, too


def _check_photos(file: Path, paths: list[Path]) -> None:
    missing = [path for path in paths if not path.is_file()]
    if missing:
        names = first([path.as_posix() for path in missing])
        raise DataError(
            f"{file} names {count(len(missing), 'file')} that are not there: {names}.",
            expected=f"Paths are relative to {file.parent}.",
            next="Correct the paths or remove the lines.",
            file=file,
        )
    twice = [path.as_posix() for path, number in Counter(paths).items() if number > 1]
    if twice:
        raise DataError(
            f"{file} names {count(len(twice), 'photo')} more than once: {first(twice)}.",
            expected="Each photo has one line, with its one class.",
            next="Remove the other lines.",
            file=file,
        )
