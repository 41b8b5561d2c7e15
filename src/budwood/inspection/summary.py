"""What a network is made of, layer by layer, as plain data that prints; never imports torch.

Building a network takes seconds, so summaries are kept in `BUDWOOD_HOME` once they were made.
"""

import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any, Literal

from budwood.display import displayed
from budwood.files import home, whole_file
from budwood.machine import installed_version
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
    size_formula: str | None = None
    """How the size of the output follows from the input's; None where it stays as it is."""
    parameters: int = 0
    """Those that no row above has counted already."""
    trainable: int = 0
    parameters_formula: str | None = None
    """How `parameters` come about; None for a block, and without any."""
    macs: int = 0
    """Multiply-adds of convolutions, linear layers and matrix products."""
    state: State = "-"
    receptive_field: int | None = None
    """Pixels of the image (the longer side) that one value of the output can depend on."""


@displayed
@dataclass(frozen=True)
class Summary:
    """A network's layers and their totals; printed, it is a table."""

    type: str
    input: Shape
    """Batch, channels, height and width."""
    output: Shape | None
    parameters: int
    trainable: int
    macs: int
    """For the whole batch."""
    rows: tuple[LayerRow, ...]

    @property
    def trainable_share(self) -> float:
        """The part of all parameters that training may change."""
        return self.trainable / self.parameters if self.parameters else 0.0

    @property
    def leaves(self) -> tuple[LayerRow, ...]:
        """The rows with no row of theirs below; these add up to the totals, at any depth."""
        depths = [row.depth for row in self.rows[1:]] + [0]
        pairs = zip(self.rows, depths, strict=True)
        return tuple(row for row, depth_below in pairs if depth_below <= row.depth)

    def to_depth(self, depth: int | None) -> "Summary":
        """The same with no rows nested deeper than this; all of them if None."""
        shown = (row for row in self.rows if depth is None or row.depth <= depth)
        return replace(self, rows=tuple(shown))

    @property
    def totals(self) -> str:
        """What the rows come to, in three lines."""
        return (
            f"{self.type}: {shape_text(self.input)} to "
            f"{shape_text(self.output)}\n"
            f"parameters: {self.parameters:,}, of these trainable {self.trainable:,} "
            f"({100 * self.trainable_share:.2f} %)\n"
            f"multiply-adds: {short(self.macs)}"
        )

    def formulas(self, width: int | None = None) -> str:
        """The leaves as a textbook prints them: operation, sizes and parameters with arithmetic.

        A leaf that neither runs nor holds parameters is left out.

        Example:
            >>> from torch import nn
            >>> from budwood import summarize
            >>> net = nn.Sequential(nn.Conv2d(3, 96, 11, stride=4), nn.ReLU())
            >>> print(summarize(net, (3, 227, 227)).formulas(width=80))
            0 (trainable)
                11x11 convolution, 96 channels, stride 4
                1x3x227x227 to 1x96x55x55
                size: (227-11)/4+1 = 55
                parameters: 96×3×11×11+96 = 34944
            1
                ReLU
                1x96x55x55 to 1x96x55x55
            <BLANKLINE>
            Sequential: 1x3x227x227 to 1x96x55x55
            parameters: 34,944, of these trainable 34,944 (100.00 %)
            multiply-adds: 105.42 M
        """
        rows = [row for row in self.leaves if row.output or row.parameters or row.macs]
        head = ("layer", "input", "operation", "output", "size", "parameters", "state")
        table = aligned([head, *map(_formula_cells, rows)], words=len(head))
        if width is not None and width_of(table) > width:
            table = "\n".join(map(_card, rows))
        return f"{table}\n\n{self.totals}"

    def to_markdown(self) -> str:
        """Every field of every row as a Markdown table, and the totals."""
        totals = "\n".join(f"- {line}" for line in self.totals.splitlines())
        return f"{as_markdown(self._every_field())}\n\n{totals}"

    def to_csv(self) -> str:
        """Every field of every row as comma-separated values; the head names the fields."""
        return as_csv(self._every_field())

    def to_json(self) -> dict[str, object]:
        """The summary as the object that `--json` prints."""
        return {
            "type": self.type,
            "input": list(self.input),
            "output": self.output and list(self.output),
            "parameters": {
                "total": self.parameters,
                "trainable": self.trainable,
                "trainable_percent": round(100 * self.trainable_share, 2),
            },
            "macs": self.macs,
            "layers": [asdict(row, dict_factory=_with_lists) for row in self.rows],
        }

    def __str__(self) -> str:
        head = ("layer", "type", "state", "output", "parameters", "multiply-adds", "field")
        # Names stay whole, as `--freeze` takes them.
        tree = aligned([head, *map(_tree_cells, self.rows)], words=3)
        return f"{tree}\n\n{self.totals}"

    def _repr_html_(self) -> str:
        cells = ("operation", "input", "output", "size", "parameters", "multiply-adds")
        heads = ("layer", *cells, "state")
        head = "".join(f'<th style="text-align:left">{name}</th>' for name in heads)
        body = "".join(map(_html_row, self.rows))
        lines = escape(self.totals).replace("\n", "<br>")
        return (
            '<div style="overflow-x:auto"><table style="white-space:nowrap">'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{lines}</p></div>"
        )

    def _every_field(self) -> list[list[str]]:
        names = [field.name for field in fields(LayerRow)]
        return [names, *([_plain(getattr(row, name)) for name in names] for row in self.rows)]


_COLOURS = {"frozen": "#3584e4", "trainable": "#26a269", "partly": "#c88800"}
"""Readable on white and on black."""


def shape_text(shape: Shape | None) -> str:
    """A shape as it stands in a table: 3x224x224."""
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


def cached_summary(about: object, make: Callable[[], Summary]) -> Summary:
    """The summary of a network, made if it is not kept already, or not whole."""
    file = home() / "summaries" / f"{_key(about)}.json"
    with suppress(OSError, ValueError):  # damaged: the digest is not that of the rest
        digest, content = file.read_bytes().split(b"\n", 1)
        if digest.decode() == sha256(content).hexdigest():
            return _read(json.loads(content))
    summary = make()
    content = json.dumps(asdict(summary)).encode()
    with suppress(OSError), whole_file(file) as kept:  # it can do without
        kept.write(sha256(content).hexdigest().encode() + b"\n" + content)
    return summary


def _key(about: object) -> str:
    """What a summary depends on: the network, the libraries' versions, our own code, timm's
    settings."""
    versions = [installed_version(name) for name in ("budwood", "timm", "torchvision", "torch")]
    ours = max(file.stat().st_mtime_ns for file in Path(__file__).parents[1].rglob("*.py"))
    settings = sorted(item for item in os.environ.items() if item[0].startswith("TIMM_"))
    return sha256(json.dumps([about, versions, ours, settings]).encode()).hexdigest()[:32]


def _read(kept: dict[str, Any]) -> Summary:
    rows = tuple(LayerRow(**_with_tuples(row)) for row in kept.pop("rows"))
    return Summary(**_with_tuples(kept), rows=rows)


def _with_tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}


def _with_lists(fields: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """JSON has lists where shapes are tuples."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in fields}
