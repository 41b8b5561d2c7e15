"""The chart of several training curves, told apart without colours and without a legend."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

THIN, THICK = 1.1, 2.8
"""Widths of lines, in points."""
PLAIN, RESIDUAL, GREY = "#a8401c", "#174a7c", "#555555"
"""Dark enough to be read as grey, and told apart by those who see no red."""
APART = 0.06
"""Least distance of two labels, as a share of the chart's height."""


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
    figure = Figure(figsize=(7.6, 4.6), layout="constrained")
    axes = figure.add_subplot()
    epochs = len(curves[0].losses)
    top = 1.05 * max(chance, *(loss for curve in curves for loss in curve.losses))
    for curve in curves:
        axes.plot(
            range(1, epochs + 1),
            curve.losses,
            color=_colour(curve),
            linewidth=THICK if curve.is_thick else THIN,
            linestyle=(0, (4, 1.5)) if curve.is_dashed else "-",
            marker=".",  # one epoch alone makes no line
            markersize=7 if curve.is_thick else 4,
            clip_on=False,
        )
    axes.axhline(chance, color=GREY, linewidth=0.8, linestyle=":")
    axes.set_xlim(min(1, epochs - 0.5), epochs)
    axes.set_ylim(0, top)
    axes.set_title("Networks trained on the same photos", loc="left")
    axes.set_xlabel("Epoch (passes over the photos)")
    axes.set_ylabel("Training loss (nats per photo)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    _label(axes, curves, chance, top)
    figure.savefig(file, format="svg", metadata={"Date": None})


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


def _label(axes: Axes, curves: Sequence[Curve], chance: float, top: float) -> None:
    """The name of each line right of its end, and a hairline to it."""
    ends = [*(curve.losses[-1] for curve in curves), chance]
    labels = [*(curve.label for curve in curves), "guessing"]
    colours = [*(_colour(curve) for curve in curves), GREY]
    weights = ["bold" if curve.is_thick else "normal" for curve in curves] + ["normal"]
    last = len(curves[0].losses)
    for text, end, place, colour, weight in zip(
        labels, ends, spread(ends, APART * top), colours, weights, strict=True
    ):
        axes.annotate(
            text,
            xy=(last, end),
            xytext=(1.06, max(place, 0) / top),
            textcoords="axes fraction",
            color=colour,
            fontweight=weight,
            verticalalignment="center",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6},
            annotation_clip=False,
        )


def _colour(curve: Curve) -> str:
    return RESIDUAL if curve.is_thick else PLAIN
