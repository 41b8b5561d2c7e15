"""Which column of a list holds what: path, label, split and group, under their usual names."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from budwood.data.labels import Note
from budwood.data.layouts import ONE_CLASS_EACH
from budwood.errors import DataError
from budwood.images.formats import is_image_name
from budwood.text import did_you_mean, listed

USUAL = {
    "path": (
        ("file_name", "filename", "file", "image", "image_path", "filepath"),
        ("id", "image_id"),
    ),
    "label": (("class", "category", "species", "breed", "target", "class_name"),),
    "split": (("set", "subset", "partition"),),
    "group": (),
}
"""What columns are called that hold the same. Our own name wins over these, an earlier row of them
over a later one; two names of one row are an error."""

_LIKE = 0.8
"""`site` is not meant to be `split`; `lable` is meant to be `label`."""
_LABEL_COLUMN = re.compile(r"(label|class|tag|category)e?s?[ _.-]?\d*|categories")


@dataclass(frozen=True)
class Columns:
    """Places of the columns that are used, and a note about those that are not."""

    path: int
    label: int
    split: int | None
    group: int | None
    label_name: str
    split_name: str
    notes: tuple[Note, ...]

    @property
    def last(self) -> int:
        """The last place that is used."""
        return max(self.path, self.label, self.split or 0, self.group or 0)


def chosen_columns(
    file: Path, header: Sequence[str], group: str | None = None, *, is_needed: bool = True
) -> Columns:
    """The columns to use of those that the first line of a list names.

    `group` names the one that tells which photos belong together (default `group`); unless it is
    needed the list may do without.
    """
    names = [name.strip().lower() for name in header]
    grouping = "group" if group is None else group.strip().lower()
    _refuse_no_header(file, header, names)
    refuse_label_columns(file, [name for name in names if name != grouping])
    used = {what: _name_of(file, what, names) for what in ("path", "label", "split")}
    used["group"] = grouping if grouping in names else None
    needed = ["path", "label", *(["group"] if is_needed and group is not None else [])]
    _check(file, names, used, [what for what in needed if used[what] is None], grouping)
    places = {what: names.index(name) for what, name in used.items() if name is not None}
    return Columns(
        places["path"],
        places["label"],
        places.get("split"),
        places.get("group"),
        header[places["label"]].strip(),
        used["split"] or "split",
        _unused(file, header, set(places.values())),
    )


def refuse_label_columns(file: Path, columns: Sequence[str]) -> None:
    """Raise unless a list has one column of labels."""
    several = [name for name in columns if _LABEL_COLUMN.fullmatch(name)]
    if len(several) > 1:
        raise several_labels(file, f"the columns {listed(several)}")


def several_labels(file: Path, sign: str) -> DataError:
    """The error of a list whose photos have several labels, as `sign` shows."""
    return DataError(
        f"{file} gives a photo several labels ({sign}).",
        expected=ONE_CLASS_EACH,
        next="Keep one column `label` with one class in each cell.",
        file=file,
    )


def _refuse_no_header(file: Path, header: Sequence[str], names: Sequence[str]) -> None:
    known = {name for what, rows in USUAL.items() for name in (what, *(n for r in rows for n in r))}
    if known & set(names) or not any(is_image_name(cell.strip()) for cell in header):
        return
    raise DataError(
        f"{file} does not begin with a line that names its columns: its first line is "
        f"{','.join(header)!r}.",
        expected="The first line names the columns: path,label and, if you like, split and group.",
        next="Put such a line above it.",
        file=file,
    )


def _name_of(file: Path, what: str, names: Sequence[str]) -> str | None:
    """The name of the column that holds the path, the label or the split; None if there is none."""
    if what in names:
        return what
    for row in USUAL[what]:
        there = [name for name in row if name in names]
        if len(there) > 1:
            raise DataError(
                f"{file} has no column {what!r}, and {len(there)} that may be meant: "
                f"{', '.join(map(repr, there))}.",
                next=f"Call the right one {what!r}.",
                file=file,
            )
        if there:
            return there[0]
    return None


def _check(
    file: Path,
    names: Sequence[str],
    used: dict[str, str | None],
    missing: Sequence[str],
    grouping: str,
) -> None:
    numbers = Counter(names)
    problems = [
        f"has the column {name!r} {'twice' if numbers[name] == 2 else f'{numbers[name]} times'}"
        for name in used.values()
        if name is not None and numbers[name] > 1
    ]
    for what in missing:
        name = grouping if what == "group" else what
        near = did_you_mean(name, filter(None, names), _LIKE)
        guess = f" (is it {near!r}?)" if near else ""
        problems.append(f"has no column {name!r}{guess}")
    if not problems:
        return
    there = f"; it has {listed([repr(name) for name in names], 10)}" if any(names) else ""
    also = "; ".join(
        f"for {what} also {', '.join(name for row in USUAL[what] for name in row)}"
        for what in ("path", "label", "split")
        if what in missing
    )
    raise DataError(
        f"{file} {', '.join(problems)}{there}.",
        expected="The first line names the columns: path,label and, if you like, split and group"
        + (f" ({also})." if also else "."),
        next="Rename or remove columns.",
        file=file,
    )


def _unused(file: Path, header: Sequence[str], used: set[int]) -> tuple[Note, ...]:
    """The one note of all columns that are not used."""
    others = [name.strip() for i, name in enumerate(header) if i not in used]
    free = [what for what in USUAL if what not in [cell.strip().lower() for cell in header]]
    named = []
    for name in filter(None, others):
        near = did_you_mean(name.lower(), free, _LIKE)
        named.append(f"{name!r}" + (f" (did you mean {near!r}?)" if near else ""))
    if nameless := len(others) - len(named):
        named.append(f"{nameless:,} without a name")
    if not named:
        return ()
    return (Note("columns", f"Columns that are not used: {listed(named, 10)}.", file),)
