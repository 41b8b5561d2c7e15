"""How values show themselves: a short `repr`, a `str` that is a table, a table in a notebook."""

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

MOST = 160
"""Characters of a `repr`, from which on fields are left out."""
_SHORT = 40
"""Characters of a text inside it."""

Value = TypeVar("Value")


def displayed(cls: type[Value]) -> type[Value]:
    """The dataclass, showing itself shortly; a `__str__` and a `_repr_html_` of its own stay.

    Example:
        >>> from dataclasses import dataclass
        >>> @displayed
        ... @dataclass
        ... class Images:
        ...     name: str
        ...     paths: tuple[str, ...]
        >>> Images("test", ("a.jpg",) * 9000)
        Images(name='test', paths=<9000>)
        >>> print(Images("test", ("a.jpg",) * 9000))
        name   'test'
        paths  <9000>
    """
    cls.__repr__ = _repr  # type: ignore[method-assign]
    if "__str__" not in vars(cls):
        cls.__str__ = _table  # type: ignore[method-assign]
    if "_repr_html_" not in vars(cls):
        cls._repr_html_ = as_html  # type: ignore[attr-defined]
    return cls


def as_html(value: object) -> str:
    """The `str` of a value for a notebook: lines in equal columns are a table; all is escaped."""
    lines = [re.split(" {2,}", line.rstrip()) for line in str(value).splitlines()]
    parts = list[str]()
    for columns, group in groupby(lines, len):
        rows = list(group)
        if columns > 1 and len(rows) > 1:
            cells = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows)
            parts.append(f"<table>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>")
        else:
            parts += [f"<p>{escape('  '.join(row))}</p>" for row in rows if any(row)]
    return f'<div style="overflow-x:auto">{"".join(parts)}</div>'


def counted(counts: Mapping[str, Mapping[str, int]], most: int = 20) -> str:
    """How many photos of each class there are, a column for each split, with their sums.

    Example:
        >>> print(counted({"train": {"cat": 10, "dog": 5}, "test": {"cat": 3, "dog": 1}}))
        class  train  test
        cat       10     3
        dog        5     1
        all       15     4
    """
    classes = list(next(iter(counts.values()), {}))
    shown = classes if len(classes) <= most else classes[: most - 1]
    rows = [(name, *(str(split[name]) for split in counts.values())) for name in shown]
    if rest := classes[len(shown) :]:
        sums = (str(sum(split[name] for name in rest)) for split in counts.values())
        rows.append((f"{len(rest)} others", *sums))
    rows = [("class", *counts), *rows]
    rows.append(("all", *(str(sum(split.values())) for split in counts.values())))
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    return "\n".join(
        "  ".join((row[0].ljust(first), *map(str.rjust, row[1:], others))) for row in rows
    )


def _repr(value: Any) -> str:
    told = list[str]()
    for field in fields(value):
        told.append(f"{field.name}={_brief(getattr(value, field.name))}")
        if sum(map(len, told)) + 2 * len(told) > MOST:
            told[-1] = "..."
            break
    return f"{type(value).__name__}({', '.join(told)})"


def _table(value: Any) -> str:
    names = [field.name for field in fields(value)]
    width = max(map(len, names), default=0)
    return "\n".join(f"{name:{width}}  {_brief(getattr(value, name))}" for name in names)


def _brief(value: object) -> str:
    """A value in a few characters: of what is large, its size."""
    if value is None or isinstance(value, bool | int):
        return repr(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str | Path):
        text = value if isinstance(value, str) else value.name or str(value)
        return repr(text if len(text) <= _SHORT else f"{text[:_SHORT]}...")
    if (shape := getattr(value, "shape", None)) is not None and not is_dataclass(value):
        return f"<{' x '.join(map(str, shape)) or 'one number'}>"
    if isinstance(value, tuple) and len(value) <= 4 and all(_is_small(item) for item in value):
        return repr(value)
    if is_dataclass(value):
        return f"{type(value).__name__}(...)"
    if hasattr(value, "__len__"):
        return f"<{len(value)}>"
    return f"<{type(value).__name__}>"


def _is_small(value: object) -> bool:
    return (
        value is None
        or isinstance(value, int | float)
        or (isinstance(value, str) and len(value) < 12)
    )
