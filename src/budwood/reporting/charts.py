"""The charts of a report, as small SVG elements that take font and colours of the page around them.

A plotting library would take longer to import than all that a training spends on its report. An
element has no identifiers inside, so that many can stand in one page.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from math import ceil, floor, log10
from typing import Any

from budwood.evaluation.calibration import Bin
from budwood.reporting.words import Words
from budwood.text import percent

LEFT, RIGHT, TOP, BOTTOM = 64, 14, 12, 44
"""Room around the place where values are drawn, for the axes and what they are called."""
LARGEST = 1.2
"""How far a chart is enlarged at most."""


@dataclass(frozen=True)
class AxisScale:
    """One axis: from values to the shares 0 to 1 of its length."""

    low: float
    high: float
    ticks: tuple[float, ...]
    write: Callable[[float], str]
    """A tick in words."""
    is_log: bool = False

    def at(self, value: float) -> float:
        """Where a value lies.

        Example:
            >>> AxisScale(1, 100, (), str, is_log=True).at(10)
            0.5
        """
        low, high = self.low, self.high
        if self.is_log:
            low, high, value = log10(low), log10(high), log10(value)
        return (value - low) / (high - low) if high > low else 0.5


def round_ticks(low: float, high: float, most: int = 5) -> tuple[float, ...]:
    """Round values from at most `low` to at least `high`, evenly spaced.

    Example:
        >>> round_ticks(0.12, 0.91)
        (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    """
    span = (high - low) or abs(high) or 1.0
    size = 10.0 ** floor(log10(span / most))
    step = next(size * m for m in (1, 2, 5, 10, 20) if span / (size * m) <= most)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return tuple(round(i * step, 10) for i in range(first, max(last, first + 1) + 1))


def linear(
    values: Sequence[float], write: Callable[[float], str] = "{:g}".format, most: int = 5
) -> AxisScale:
    """A scale that holds these values and ends in round ones."""
    ticks = round_ticks(min(values), max(values), most)
    return AxisScale(ticks[0], ticks[-1], ticks, write)


def logarithmic(values: Sequence[float]) -> AxisScale:
    """A scale of powers of ten that holds these values, all above 0."""
    low, high = floor(log10(min(values))), ceil(log10(max(values)))
    powers = range(low, max(high, low + 1) + 1)
    return AxisScale(
        10.0 ** powers[0], 10.0 ** powers[-1], tuple(10.0**p for p in powers), _power, True
    )


@dataclass
class Chart:
    """A chart that is being drawn.

    Example:
        >>> chart = Chart("Loss over epochs", linear([1, 3]), linear([0, 2]), "epoch", "loss")
        >>> chart.line([(1, 2.0), (2, 1.0), (3, 0.5)])
        >>> str(chart).startswith('<svg class="chart"')
        True
    """

    title: str
    """What it shows, for those who do not see it."""
    x: AxisScale
    y: AxisScale
    x_label: str
    y_label: str
    width: int = 440
    height: int = 270
    _parts: list[str] = field(default_factory=list)

    def line(self, points: Sequence[tuple[float, float]], style: str = "main") -> None:
        """Points joined by a line."""
        path = "L".join(f"{self._x(x)} {self._y(y)}" for x, y in points)
        self._parts.append(f'<path class="line {style}" d="M{path}"/>')

    def dots(self, points: Sequence[tuple[float, float]], style: str = "main") -> None:
        """A dot at each point."""
        self._parts += [
            f'<circle class="dot {style}" cx="{self._x(x)}" cy="{self._y(y)}" r="3.5"/>'
            for x, y in points
        ]

    def bars(self, ends: Sequence[tuple[float, float, float]], style: str = "main") -> None:
        """An error bar at each `x, low, high`."""
        for x, low, high in ends:
            at, a, b = self._x(x), self._y(low), self._y(high)
            self._parts.append(
                f'<path class="bar {style}" d="M{at} {a}V{b}m-4 0h8M{at} {a}m-4 0h8"/>'
            )

    def text(self, x: float, y: float, text: str, style: str = "main", anchor: str = "end") -> None:
        """Words above a point."""
        self._parts.append(
            f'<text class="{style}" x="{self._x(x)}" y="{self._y(y) - 8:.1f}" '
            f'text-anchor="{anchor}">{escape(text)}</text>'
        )

    def document(self, style: str) -> str:
        """The chart as a file of its own, with this style sheet."""
        head, rest = str(self).split(">", 1)
        head = head.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
        return f"{head}><style>{style}</style>{rest}"

    def __str__(self) -> str:
        right, bottom = self.width - RIGHT, self.height - BOTTOM
        parts = [f'<path class="axis" d="M{LEFT} {TOP}V{bottom}H{right}"/>']
        for tick in self.y.ticks:
            y = self._y(tick)
            parts.append(f'<path class="grid" d="M{LEFT} {y}H{right}"/>')
            parts.append(f'<text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">')
            parts.append(f"{escape(self.y.write(tick))}</text>")
        for tick in self.x.ticks:
            x = self._x(tick)
            parts.append(f'<path class="axis" d="M{x} {bottom}v4"/>')
            parts.append(f'<text x="{x}" y="{bottom + 18}" text-anchor="middle">')
            parts.append(f"{escape(self.x.write(tick))}</text>")
        middle = (LEFT + right) / 2
        parts.append(f'<text x="{middle}" y="{self.height - 6}" text-anchor="middle">')
        parts.append(f"{escape(self.x_label)}</text>")
        parts.append(f'<text transform="translate(12 {(TOP + bottom) / 2}) rotate(-90)" ')
        parts.append(f'text-anchor="middle">{escape(self.y_label)}</text>')
        return (
            f'<svg class="chart" viewBox="0 0 {self.width} {self.height}" role="img" '
            f'style="max-width:{LARGEST * self.width:.0f}px" aria-label="{escape(self.title)}">'
            f"{''.join(parts + self._parts)}</svg>"
        )

    def _x(self, value: float) -> float:
        return round(LEFT + self.x.at(value) * (self.width - LEFT - RIGHT), 1)

    def _y(self, value: float) -> float:
        return round(self.height - BOTTOM - self.y.at(value) * (self.height - TOP - BOTTOM), 1)


def _power(value: float) -> str:
    if 0.01 <= value <= 1000:
        return f"{value:g}"
    return "10" + str(round(log10(value))).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _percents(values: Sequence[float]) -> AxisScale:
    """A scale of shares of at most 1, with ticks in as many digits as they need."""
    scale = linear(values)
    ticks = tuple(tick for tick in scale.ticks if tick <= 1)
    digits = 0 if all(abs(100 * t - round(100 * t)) < 1e-6 for t in ticks) else 1
    return AxisScale(ticks[0], max(ticks[-1], min(1.0, max(values))), ticks,
                 lambda share: percent(share, digits))  # fmt: skip


def reliability_chart(bins: Sequence[Bin], words: Words) -> str:
    """Accuracy over confidence, with intervals, beside the diagonal of perfect calibration."""
    whole = AxisScale(0, 1, round_ticks(0, 1), lambda share: percent(share, 0))
    chart = Chart(words["reliability.chart"], whole, whole, words["confidence"], words["accuracy"],
                  width=360, height=340)  # fmt: skip
    chart.line([(0, 0), (1, 1)], "muted dashed")
    chart.bars([(b.confidence, *b.interval) for b in bins])
    chart.dots([(b.confidence, b.accuracy) for b in bins])
    return str(chart)


def growth_chart(curve: Mapping[str, Any], words: Words) -> str:
    """Accuracy over training photos, with intervals, and where it is forecast to go."""
    points = curve["points"]
    ahead = [curve["forecast"]] if curve["forecast"] else []
    all_x = [0, *(p["images"] for p in (*points, *ahead))]
    ends = [end for p in (*points, *ahead) for end in p["interval"]]
    chart = Chart(words["growth.chart"], linear(all_x, "{:,.0f}".format), _percents(ends),
                  words["training photos"], words["accuracy"])  # fmt: skip
    if ahead:
        chart.line([(p["images"], p["top1"]) for p in (points[-1], *ahead)], "other dashed")
    chart.line([(p["images"], p["top1"]) for p in points])
    for some, style in ((points, "main"), (ahead, "other")):
        chart.bars([(p["images"], *p["interval"]) for p in some], style)
        chart.dots([(p["images"], p["top1"]) for p in some], style)
    return str(chart)


def epoch_chart(history: Sequence[dict[str, Any]], words: Words) -> str:
    """Loss over epochs, and the loss on validation photos if there are any."""
    losses = [row["loss"] for row in history]
    losses += [row["val_loss"] for row in history if "val_loss" in row]
    epochs = [row["epoch"] for row in history]
    ticks = tuple(t for t in linear([1, *epochs]).ticks if t == round(t) and t <= epochs[-1])
    x = AxisScale(min(1, ticks[0]), max(epochs[-1], 2), ticks, "{:.0f}".format)
    chart = Chart(words["epochs.chart"], x, linear([0, *losses]), words["epoch"], words["loss"])
    for name, style, word in (
        ("loss", "main", "training"),
        ("val_loss", "other dashed", "validation"),
    ):
        points = [(row["epoch"], row[name]) for row in history if name in row]
        if points:
            chart.line(points, style)
            if len(points) == 1:
                chart.dots(points, style.split()[0])
            chart.text(*points[-1], words[word], style.split()[0])
    return str(chart)


def l2_chart(candidates: Sequence[dict[str, float]], chosen: float, words: Words) -> str:
    """Cross-validated loss over the L2 strength, with standard errors, and the one that was
    chosen."""
    points = [(c["l2_strength"], c["loss"]) for c in candidates]
    ends = [(c["l2_strength"], c["loss"] - c["standard_error"], c["loss"] + c["standard_error"])
            for c in candidates]  # fmt: skip
    y = linear([0, *(high for _, _, high in ends)])
    chart = Chart(words["penalty.chart"], logarithmic([p for p, _ in points]), y,
                  words["penalty"], words["held-out loss"])  # fmt: skip
    chart.line(points)
    chart.bars(ends)
    chart.dots(points)
    for (strength, loss), (_, _, high) in zip(points, ends, strict=True):
        if strength == chosen:
            chart.dots([(strength, loss)], "other")
            chart.text(strength, high, words["chosen"], "other", "middle")
    return str(chart)
