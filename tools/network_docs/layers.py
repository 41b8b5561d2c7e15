"""Tables that every family has: the layers as a textbook prints them, and what they add up to."""

from collections import Counter
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cache
from itertools import takewhile

from torch import nn

from budwood.inspection.summarizing import summarize
from budwood.inspection.summary import LayerRow, Shape, Summary
from budwood.models.building import build
from budwood.models.catalog import find
from budwood.models.classics_source import CLASSICS
from budwood.text import short
from network_docs import published

Table = list[tuple[str, ...]]
"""Rows of cells in English; the first is the head."""

_ONE_ROW = {
    "Subsampling": "sum of 2x2, times a coefficient, plus a bias",
    "SparseConvolution": "5x5 convolution, 16 channels, stride 1, each reads some maps",
    "EuclideanRBF": "minus the squared distance from a fixed code",
}
"""Modules of ours that are one layer of the paper, and what they do."""

_SHOWN = ("LocalResponseNorm", "AdaptiveAvgPool2d", "MaxPool2d")
"""Layers that have a row even if they have no parameters and leave the shape as it is."""


@cache
def network(name: str) -> nn.Module:
    """The network of that name, without memory for its weights."""
    return build(name, weights="none", device="meta").eval()


@cache
def summary(name: str) -> Summary:
    """Its layers, at the size of photos that it is made for."""
    return summarize(network(name))


def layers(name: str, *parts: str) -> Table:
    """Input, operation, output, size and parameters of each layer, or of those in some parts."""
    head = ("layer", "input shape", "operation", "output shape", "size", "parameters")
    rows = [row for row in _layers(summary(name).rows) if not parts or _is_in(row, parts)]
    cells = [
        (
            f"`{row.name}`",
            shape(row.input),
            row.operation,
            shape(row.output),
            row.size_formula or "",
            row.parameters_formula or "0",
        )
        for row in rows
    ]
    total = sum(row.parameters for row in rows)
    assert parts or total == summary(name).parameters, f"rows of {name} do not add up"
    return [head, *cells, ("total", "", "", "", "", f"{total:,}")]


def where(name: str) -> Table:
    """Which part of parameters and multiply-adds is in the layers of each size of maps."""
    whole = summary(name)
    parameters: Counter[str] = Counter()
    macs: Counter[str] = Counter()
    for row in whole.leaves:
        if row.output and (row.parameters or row.macs):
            sides = "×".join(map(str, row.output[2:]))
            part = f"maps of {sides}" if sides else f"`{row.name}`"
            parameters[part] += row.parameters
            macs[part] += row.macs
    head = ("part", "parameters", "share", "multiply-adds", "share")
    cells = [
        (
            part,
            f"{parameters[part]:,}",
            percent(parameters[part] / whole.parameters),
            short(macs[part]),
            percent(macs[part] / whole.macs),
        )
        for part in parameters
    ]
    return [head, *cells, ("total", f"{whole.parameters:,}", "", short(whole.macs), "")]


def totals(*names: str) -> Table:
    """Parameters and multiply-adds of whole networks, as computed and as published."""
    head = ("network", "input shape", "parameters", "published", "multiply-adds", "published")
    cells = []
    for name in names:
        whole, (parameters, macs) = summary(name), published.TOTALS.get(name, ("-", "-"))
        numbers = (f"{whole.parameters:,}", parameters, short(whole.macs), macs)
        cells.append((f"`{name}`", shape(whole.input), *numbers))
    return [head, *cells]


def compared(printed: dict[str, int], source: str, *names: str) -> Table:
    """Parameters layer by layer beside printed ones; a dagger where the first network has others.

    Layers are known by the last part of their name.
    """
    counts = [
        {row.name.rpartition(".")[2]: row.parameters for row in summary(name).rows if row.depth < 3}
        for name in names
    ]
    head = ("layer", source, *(f"`{name}`" for name in names))
    cells = [
        (
            f"`{layer}`",
            f"{number:,}{'' if number == counts[0][layer] else ' †'}",
            *(f"{count[layer]:,}" for count in counts),
        )
        for layer, number in printed.items()
    ]
    sums = [sum(printed.values()), *(summary(name).parameters for name in names)]
    return [head, *cells, ("total", *(f"{number:,}" for number in sums))]


def named(*patterns: str) -> Table:
    """Budwood's own networks: input, parameters, and where the same network has weights."""
    head = ("name", "input shape", "parameters", "weights of")
    cells = []
    for name in CLASSICS:
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            found = find(name)
            cells.append(
                (f"`{name}`", shape((1, *found.input)), f"{found.parameters:,}", _of(name))
            )
    return [head, *cells]


def shape(sizes: Shape | None) -> str:
    """A shape as a textbook writes it: without the batch, channels last."""
    if sizes is None:
        return ""
    channels, *sides = sizes[1:]
    return "×".join(map(str, (*sides, channels)))


def percent(share: float) -> str:
    """A share of 1 in percent."""
    return f"{100 * share:.1f} %"


def _of(name: str) -> str:
    if (same_as := CLASSICS[name].same_as) is None:
        return "-"
    library, donor = same_as.split("/")
    return f"{library} `{donor}`"


def _is_in(row: LayerRow, parts: tuple[str, ...]) -> bool:
    return any(row.name == part or row.name.startswith(f"{part}.") for part in parts)


def _layers(rows: tuple[LayerRow, ...]) -> list[LayerRow]:
    """The rows that are layers of the paper; a block of ours that is one is put in one row."""
    found, end = [], 0
    for number, row in enumerate(rows):
        if number < end:
            continue
        below = _below(row, rows[number + 1 :])
        if row.type in _ONE_ROW:
            end = number + 1 + len(below)
            found.append(_in_one(row, below))
        elif not below and _is_shown(row):
            found.append(row)
    return found


def _below(block: LayerRow, rows: tuple[LayerRow, ...]) -> list[LayerRow]:
    return list(takewhile(lambda row: row.depth > block.depth, rows))


def _in_one(block: LayerRow, below: list[LayerRow]) -> LayerRow:
    sizes = dict.fromkeys(row.size_formula for row in below if row.size_formula)
    terms = Counter(r.parameters_formula.split(" = ")[0] for r in below if r.parameters_formula)
    written = "+".join(term if n == 1 else f"{n}×({term})" for term, n in terms.items())
    return replace(
        block,
        operation=_ONE_ROW[block.type],
        size_formula="; ".join(sizes) or None,
        parameters_formula=f"{written} = {block.parameters}" if terms else None,
    )


def _is_shown(row: LayerRow) -> bool:
    changes = row.output is not None and row.output != row.input
    return bool(row.parameters or changes or row.type in _SHOWN)
