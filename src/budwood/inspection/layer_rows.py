"""A row of a summary, one layer or block of a network, as plain data; never imports torch.

How the rows of a summary are written: as text, as the course's table, as Markdown, CSV, HTML.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from html import escape
from typing import Literal

from budwood.display import displayed
from budwood.text import aligned, as_csv, as_markdown, short, width_of

Shape = tuple[int, ...]
State = Literal["frozen", "trainable", "partly", "-"]


@displayed
@dataclass(frozen=True)
class LayerRow:
    """One layer, or a block with all that is in it."""

    name: str
    """As `freeze` takes it. At the end `(own)`: what a block does and holds beside its layers;
    `(flatten)`: where its code flattens maps without a layer for it."""
    type: str
    depth: int
    input: Shape | None
    """Shape of the first tensor that its first call was given; None if it did not run."""
    operation: str
    """What it does, in words with its settings; nothing for a block."""
    output: Shape | None
    """Shape of the first tensor of its first call; None if it did not run."""
    size_formula: str | None
    """How the size of the output follows from the input's; None where it stays as it is."""
    parameters: int
    """Those that no row above has counted already."""
    trainable: int
    parameters_formula: str | None
    """How `parameters` come about; None for a block, and without any."""
    macs: int
    """Multiply-adds of convolutions, linear layers and matrix products."""
    state: State
    receptive_field: int | None
    """Pixels of the image (the longer side) that one value of the output can depend on."""


_COLOURS = {"frozen": "#3584e4", "trainable": "#26a269", "partly": "#c88800"}
"""Readable on white and on black."""


def tree(rows: Sequence[LayerRow]) -> str:
    """A line a row, indented as it is nested; names stay whole, as `--freeze` takes them."""
    head = ("layer", "type", "state", "output", "parameters", "multiply-adds", "field")
    return aligned([head, *map(_tree_cells, rows)], words=3)


def formulas(rows: Sequence[LayerRow], width: int | None) -> str:
    """A line a row with the arithmetic; if that is wider than `width`, a few lines a row."""
    head = ("layer", "input", "operation", "output", "size", "parameters", "state")
    table = aligned([head, *map(_formula_cells, rows)], words=len(head))
    if width is None or width_of(table) <= width:
        return table
    return "\n".join(map(_card, rows))


def markdown(rows: Sequence[LayerRow]) -> str:
    """Every field of every row as a Markdown table."""
    return as_markdown(_full(rows))


def csv(rows: Sequence[LayerRow]) -> str:
    """Every field of every row as comma-separated values."""
    return as_csv(_full(rows))


def html(rows: Sequence[LayerRow], totals: str) -> str:
    """A table for a notebook, complete in itself; it takes its colours from the page."""
    heads = (
        "layer",
        "operation",
        "input",
        "output",
        "size",
        "parameters",
        "multiply-adds",
        "state",
    )
    head = "".join(f'<th style="text-align:left">{name}</th>' for name in heads)
    body = "".join(map(_html_row, rows))
    lines = escape(totals).replace("\n", "<br>")
    return (
        '<div style="overflow-x:auto"><table style="white-space:nowrap">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{lines}</p></div>"
    )


def shape_text(shape: Shape | None) -> str:
    """A shape as 1x3x224x224."""
    return "x".join(map(str, shape)) if shape else "-"


def _tree_cells(row: LayerRow) -> tuple[str, ...]:
    return (
        "  " * (row.depth - 1) + row.name,
        row.type,
        row.state,
        shape_text(row.output),
        f"{row.parameters:,}" if row.parameters else "-",
        short(row.macs) if row.macs else "-",
        str(row.receptive_field or "-"),
    )


def _formula_cells(row: LayerRow) -> tuple[str, ...]:
    return (
        row.name,
        shape_text(row.input),
        row.operation or row.type,
        shape_text(row.output),
        row.size_formula or "-",
        row.parameters_formula or str(row.parameters),
        row.state,
    )


def _card(row: LayerRow) -> str:
    name, before, what, after, size, parameters, state = _formula_cells(row)
    lines = [
        name if state == "-" else f"{name} ({state})",
        what,
        f"{before} to {after}" if row.output else "",
        f"size: {size}" if row.size_formula else "",
        f"parameters: {parameters}" if row.parameters else "",
    ]
    return "\n    ".join(filter(None, lines))


def _full(rows: Sequence[LayerRow]) -> list[list[str]]:
    names = [field.name for field in fields(LayerRow)]
    return [names, *([_plain(getattr(row, name)) for name in names] for row in rows)]


def _plain(value: str | int | Shape | None) -> str:
    if isinstance(value, tuple):
        return shape_text(value)
    return "" if value is None else str(value)


def _html_row(row: LayerRow) -> str:
    name, before, what, after, size, parameters, state = map(escape, _formula_cells(row))
    colour = f"color:{_COLOURS[state]};font-weight:600" if state in _COLOURS else ""
    macs = short(row.macs) if row.macs else "-"
    cells = (what, before, after, size, parameters, macs)
    return (
        f'<tr><td style="text-align:left;padding-left:{row.depth}em">{name}</td>'
        + "".join(f'<td style="text-align:left">{cell}</td>' for cell in cells)
        + f'<td style="text-align:left;{colour}">{state}</td></tr>'
    )
