"""The names of classes that come with weights: in a checkpoint, or in a file beside them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from budwood.errors import WeightsError

Names = tuple[str, ...]

_KEYS = ("classes", "class_names", "class_to_idx", "idx_to_class")
"""Where training scripts put them."""
_LINES, _INDICES = "classes.txt", "class_indices.json"
"""What they are called beside the weights."""


def names_within(checkpoint: Mapping[object, object]) -> Names | None:
    """The names of the classes in the order of the head's rows, if a checkpoint tells them.

    They may be a list, or a table of numbers by name or of names by number.

    Example:
        >>> names_within({"epoch": 3, "class_to_idx": {"dog": 1, "cat": 0}})
        ('cat', 'dog')
    """
    found = (_names(checkpoint.get(key)) for key in _KEYS)
    return next((names for names in found if names), None)


def names_beside(file: Path) -> Names | None:
    """The names in `classes.txt`, one a line, or `class_indices.json` beside a file of weights.

    Raises:
        WeightsError: If there is such a file that cannot be read.
    """
    lines, indices = file.with_name(_LINES), file.with_name(_INDICES)
    try:
        if lines.is_file():
            stripped = (line.strip() for line in lines.read_text("utf-8-sig").splitlines())
            return tuple(filter(None, stripped)) or None
        if not indices.is_file():
            return None
        names = _names(json.loads(indices.read_text("utf-8-sig")))
    except ValueError as error:
        raise _unreadable(lines if lines.is_file() else indices, str(error)) from None
    if names is None:
        raise _unreadable(indices, "it is no table of names and numbers")
    return names


def _names(value: object) -> Names | None:
    """The names in a list, `{"cat": 0}` or `{"0": "cat"}`; None if it is nothing of the kind."""
    if isinstance(value, Mapping):
        return _of_table(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(value) if all(isinstance(name, str) for name in value) else None
    return None


def _of_table(table: Mapping[object, object]) -> Names | None:
    pairs = list(table.items())
    if all(isinstance(name, str) for _, name in pairs):
        pairs = [(name, number) for number, name in pairs]
    numbered = {str(number): name for name, number in pairs if isinstance(name, str)}
    names = tuple(numbered[str(i)] for i in range(len(numbered)) if str(i) in numbered)
    return names if len(names) == len(table) else None


def _unreadable(file: Path, reason: str) -> WeightsError:
    return WeightsError(
        f"The names of the classes in {file} cannot be read: {reason.splitlines()[0]}.",
        expected='It must be one name a line, or JSON such as {"0": "daisy"} or {"daisy": 0}.'
        if file.name == _LINES
        else 'It must be JSON such as {"0": "daisy"} or {"daisy": 0}.',
        next="Mend it, or move it away from the weights.",
        file=file,
    )
