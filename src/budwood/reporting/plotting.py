"""Small charts as SVG elements that take font and colours of the page around them.

They are drawn here and not by a plotting library, whose import alone would take longer than all
that a training spends on its report. An element has no identifiers inside, so that many can stand
in one page.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from math import ceil, floor, log10

LEFT, RIGHT, TOP, BOTTOM = 64, 14, 12, 44
LARGEST = 1.2
"""Room around the place where values are drawn, for the axes and what they are called; and how far
a chart is enlarged at most."""


@dataclass(frozen=True)
class Scale:
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
            >>> Scale(1, 100, (), str, is_log=True).at(10)
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
) -> Scale:
    """A scale that holds these values and ends in round ones."""
    ticks = round_ticks(min(values), max(values), most)
    return Scale(ticks[0], ticks[-1], ticks, write)


def logarithmic(values: Sequence[float]) -> Scale:
    """A scale of powers of ten that holds these values, all above 0."""
    low, high = floor(log10(min(values))), ceil(log10(max(values)))
    powers = range(low, max(high, low + 1) + 1)
    return Scale(
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
    x: Scale
    y: Scale
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
