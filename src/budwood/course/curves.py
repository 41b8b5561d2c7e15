"""The chart of several training curves, told apart without colours and without a legend."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

from budwood.reporting.charts import AxisScale, Chart, round_ticks

WIDTH, HEIGHT = 760, 460
APART = 0.06
"""Least distance of two labels, as a share of the chart's height."""
_MARGIN = 0.35  # room for the labels, as a share of the curves' width
_STYLE = """
svg { font: 13px sans-serif; background: #fff }
text { fill: #222 }
.line { fill: none; stroke-width: 1.1 }
.line.thick { stroke-width: 2.8 }
.line.dashed { stroke-dasharray: 6 3 }
.line.dotted { stroke-dasharray: 1 3 }
.line.hair { stroke-width: 0.6 }
.axis { fill: none; stroke: #555 }
.grid { fill: none; stroke: #e4e4e4 }
.plain { stroke: #a8401c }
.residual { stroke: #174a7c }
.grey { stroke: #555 }
.dot.plain, text.plain { fill: #a8401c; stroke: none }
.dot.residual, text.residual { fill: #174a7c; stroke: none }
text.residual { font-weight: bold }
text.grey { fill: #555; stroke: none }
"""  # the colours are dark enough to be read as grey, and told apart by those who see no red


@dataclass(frozen=True)
class Curve:
    """The losses of one training."""

    label: str
    losses: tuple[float, ...]
    """One an epoch."""
    is_thick: bool
    is_dashed: bool


def draw_curves(curves: Sequence[Curve], chance: float, file: IO[bytes]) -> None:
    """Write an SVG chart: loss over epochs, each line with its name at its end.

    Args:
        curves: All with as many epochs.
        chance: The loss of guessing, drawn as a dotted line.
        file: Where the chart is written to.

    Example:
        >>> from io import BytesIO
        >>> chart = BytesIO()
        >>> draw_curves([Curve("plain", (2.3, 1.7), False, False)], 2.3, chart)
        >>> b"<svg" in chart.getvalue()
        True
    """
    epochs = len(curves[0].losses)
    first = min(1, epochs - 0.5)
    margin = _MARGIN * (epochs - first)
    ticks = tuple(t for t in round_ticks(1, epochs) if t == round(t) and 1 <= t <= epochs)
    losses = round_ticks(0, max(chance, *(loss for curve in curves for loss in curve.losses)))
    x = AxisScale(first, epochs + margin, ticks, "{:.0f}".format)
    y = AxisScale(0, 1.1 * losses[-1], losses, "{:g}".format)
    chart = Chart("Networks trained on the same photos", x, y, "Epoch (passes over the photos)",
                  "Training loss (nats per photo)", WIDTH, HEIGHT)  # fmt: skip
    chart.text(first + margin / 40, 1.06 * losses[-1], chart.title, "title", "start")
    for curve in curves:
        points = list(enumerate(curve.losses, 1))
        thick, dashed = " thick" * curve.is_thick, " dashed" * curve.is_dashed
        chart.line(points, _colour(curve) + thick + dashed)
        chart.dots(points, _colour(curve))  # one epoch alone makes no line
    chart.line([(first, chance), (epochs, chance)], "grey dotted")
    names = [(curve.label, curve.losses[-1], _colour(curve)) for curve in curves]
    names.append(("guessing", chance, "grey"))
    places = spread([end for _, end, _ in names], APART * y.high)
    for (name, end, colour), place in zip(names, places, strict=True):
        at = max(place, 0.0)
        chart.line([(epochs, end), (epochs + margin / 8, at)], f"{colour} hair")
        # Words stand above their point: half a line lower they are centred on it.
        chart.text(epochs + margin / 7, at - 0.03 * y.high, name, colour, "start")
    file.write(chart.document(_STYLE).encode())


def spread(places: Sequence[float], apart: float) -> list[float]:
    """The places, moved as little as need be so that no two are closer than `apart`.

    Example:
        >>> spread([1.0, 0.0, 1.0], 0.5)
        [0.75, 0.0, 1.25]
    """
    groups: list[list[int]] = []
    centres: list[float] = []
    for i in sorted(range(len(places)), key=lambda i: places[i]):
        group, centre = [i], places[i]
        while groups and centre - centres[-1] < apart * (len(group) + len(groups[-1])) / 2:
            group = groups.pop() + group
            centres.pop()
            centre = sum(places[j] for j in group) / len(group)
        groups.append(group)
        centres.append(centre)
    moved = list(places)
    for group, centre in zip(groups, centres, strict=True):
        for rank, i in enumerate(group):
            moved[i] = centre + apart * (rank - (len(group) - 1) / 2)
    return moved


def _colour(curve: Curve) -> str:
    return "residual" if curve.is_thick else "plain"
