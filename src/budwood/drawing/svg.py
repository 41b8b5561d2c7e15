"""Drawings as SVG: the pieces in their places, below a title, the totals and a legend.

The colours are for light pages and for dark ones.
"""

from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise
from math import hypot

from budwood.drawing.pieces import (
    BoxAt,
    Element,
    FrameAt,
    Item,
    LineAt,
    Point,
    Rectangle,
    Text,
    width_of,
)

_MARGIN = 24
_HEAD = 20
_SMALL = 11
_LINE = 18
_SAMPLE = 34
_BETWEEN = 22
_ROUND = 9
_STACK = 4
_SMALLEST = 420

_MEANINGS = {
    "frozen": "frozen",
    "trainable": "trainable",
    "partly": "frozen in part",
    "-": "no parameters",
    "identity": "identity shortcut",
    "projection": "projection shortcut",
    "times": "x n: n of them, one after the other",
}
"""The legend; a drawing has the lines of what is in it."""


def svg_of(whole: Element, title: str, totals: Sequence[str]) -> str:
    """The whole picture as SVG, with its title and totals."""
    needed = [width_of(title, _HEAD, bold=True), *(width_of(line, _SMALL) for line in totals)]
    room = max(whole.left + whole.right, _SMALLEST, *needed)
    y = _MARGIN + _HEAD - 4.0
    lines = [_text(Text(_MARGIN, y, title, "title"), "head")]
    for line in totals:
        y += _LINE
        lines.append(_text(Text(_MARGIN, y, line, "small")))
    for row in _legend(whole, room):
        y += _LINE + 4
        for x, meaning in row:
            lines += _sample(meaning, _MARGIN + x, y)
    y += _MARGIN
    # What is narrower than its title stands below the middle of it.
    x = _MARGIN + whole.left + (room - whole.left - whole.right) / 2
    lines += _drawn(whole.moved(x, y))
    width, height = round(room + 2 * _MARGIN), round(y + whole.height + _MARGIN)
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{style_sheet()}</style>",
            f'<rect class="page" width="{width}" height="{height}"/>',
            *lines,
            "</svg>\n",
        )
    )


def _drawn(items: Sequence[Item]) -> Iterator[str]:
    """Frames, then lines, then boxes, so that no line runs across a box."""
    for item in items:
        if isinstance(item, FrameAt):
            yield from _frame(item)
    for item in items:
        if isinstance(item, LineAt):
            yield from _line(item)
    for item in items:
        if isinstance(item, BoxAt):
            yield from _box(item)


def _frame(frame: FrameAt) -> Iterator[str]:
    block = frame.block
    for step in (2, 1) if block.times > 1 else ():
        yield _rect(frame.x + step * _STACK, frame.y + step * _STACK, frame, "behind")
    if block.times > 1:
        yield _rect(frame.x, frame.y, frame, "behind")
    yield "<g>"
    yield f"<title>{escape(f'{block.name} ({block.type})')}</title>"
    yield _rect(frame.x, frame.y, frame, "frame")
    yield from map(_text, frame.texts)
    yield "</g>"


def _box(box: BoxAt) -> Iterator[str]:
    state = box.box.state.replace("-", "none")
    yield "<g>"
    yield f"<title>{escape(box.box.about)}</title>"
    yield _rect(box.x, box.y, box, f"box {state}", 12 if box.box.kind != "layer" else 4)
    yield from map(_text, box.texts)
    yield "</g>"


def _line(line: LineAt) -> Iterator[str]:
    path = _curve(line.points) if line.is_curved else _round(line.points)
    yield f'<path class="{line.style}" d="{path}"/>'
    if line.has_dot:
        x, y = line.points[0]
        yield f'<circle class="dot {line.style}" cx="{_n(x)}" cy="{_n(y)}" r="2.5"/>'
    if line.has_arrow:
        tip = _arrow(line.points[-2], line.points[-1])
        points = " ".join(f"{_n(x)},{_n(y)}" for x, y in tip)
        yield f'<polygon class="arrow {line.style}" points="{points}"/>'


def _arrow(before: Point, end: Point) -> tuple[Point, Point, Point]:
    dx, dy = end[0] - before[0], end[1] - before[1]
    length = hypot(dx, dy) or 1
    dx, dy = dx / length, dy / length
    x, y = end[0] - 8 * dx, end[1] - 8 * dy
    return end, (x + 3.5 * dy, y - 3.5 * dx), (x - 3.5 * dy, y + 3.5 * dx)


def _curve(points: Sequence[Point]) -> str:
    (x, y), (end_x, end_y) = points[0], points[-1]
    half = (y + end_y) / 2
    return f"M{_n(x)} {_n(y)}C{_n(x)} {_n(half)} {_n(end_x)} {_n(half)} {_n(end_x)} {_n(end_y)}"


def _round(points: Sequence[Point]) -> str:
    """A path with every corner cut by an arc."""
    path = f"M{_n(points[0][0])} {_n(points[0][1])}"
    for (before, corner), (_, after) in pairwise(pairwise(points)):
        start, end = _towards(corner, before), _towards(corner, after)
        path += f"L{_n(start[0])} {_n(start[1])}Q{_n(corner[0])} {_n(corner[1])} "
        path += f"{_n(end[0])} {_n(end[1])}"
    return f"{path}L{_n(points[-1][0])} {_n(points[-1][1])}"


def _towards(corner: Point, other: Point) -> Point:
    """A point near a corner: as far as it is cut, at most half-way to the next."""
    dx, dy = other[0] - corner[0], other[1] - corner[1]
    length = hypot(dx, dy) or 1
    share = min(_ROUND, length / 2) / length
    return corner[0] + share * dx, corner[1] + share * dy


def _legend(whole: Element, room: float) -> Iterator[list[tuple[float, str]]]:
    """What needs to be explained, in rows, with where each begins."""
    states = {item.box.state for item in whole.items if isinstance(item, BoxAt)}
    styles = {item.style for item in whole.items if isinstance(item, LineAt)}
    frames = [item for item in whole.items if isinstance(item, FrameAt)]
    there = {*states, *styles, *(["times"] if any(f.block.times > 1 for f in frames) else [])}
    row, x = list[tuple[float, str]](), 0.0
    for meaning, label in _MEANINGS.items():
        if meaning in there:
            width = (0 if meaning == "times" else _SAMPLE) + width_of(label, _SMALL) + _BETWEEN
            if row and x + width - _BETWEEN > room:
                yield row
                row, x = [], 0.0
            row.append((x, meaning))
            x += width
    if row:
        yield row


def _sample(meaning: str, x: float, y: float) -> Iterator[str]:
    if meaning in ("identity", "projection"):
        yield f'<path class="{meaning}" d="M{_n(x)} {_n(y - 4)}h{_SAMPLE - 8}"/>'
    elif meaning != "times":
        state = meaning.replace("-", "none")
        yield (
            f'<rect class="box {state}" x="{_n(x)}" y="{_n(y - 10)}" '
            f'width="{_SAMPLE - 8}" height="13" rx="3"/>'
        )
    shift = 0 if meaning == "times" else _SAMPLE
    yield _text(Text(x + shift, y, _MEANINGS[meaning], "small"))


def _rect(x: float, y: float, at: Rectangle, name: str, radius: float = 6) -> str:
    return (
        f'<rect class="{name}" x="{_n(x)}" y="{_n(y)}" width="{_n(at.width)}" '
        f'height="{_n(at.height)}" rx="{_n(radius)}"/>'
    )


def _text(text: Text, name: str = "") -> str:
    anchor = "" if text.anchor == "start" else f' text-anchor="{text.anchor}"'
    return (
        f'<text class="{name or text.role}" x="{_n(text.x)}" y="{_n(text.y)}"{anchor}>'
        f"{escape(text.text)}</text>"
    )


def _n(number: float) -> str:
    """A number as short as one decimal allows."""
    return f"{number:.1f}".removesuffix(".0")


_FONTS = "'Helvetica Neue', Helvetica, Arial, 'Noto Sans', 'DejaVu Sans', sans-serif"

_LIGHT = {
    "page": "#ffffff",
    "ink": "#1d1d20",
    "muted": "#62626b",
    "line": "#5c5c66",
    "border": "#8a8a93",
    "tint": "#000000",
    "shortcut": "#a03ab4",
}
_DARK = {
    "page": "#1b1b1f",
    "ink": "#f2f2f4",
    "muted": "#a9a9b2",
    "line": "#a9a9b2",
    "border": "#74747d",
    "tint": "#ffffff",
    "shortcut": "#d78be6",
}

_LIGHT_BOXES = {
    "frozen": ("#3584e4", "#e1edfb"),
    "trainable": ("#26a269", "#dcf3e7"),
    "partly": ("#c88800", "#fbefd3"),
    "none": ("#9a9aa2", "#f3f3f5"),
}
_DARK_BOXES = {
    "frozen": ("#62a0ea", "#1c3350"),
    "trainable": ("#33c483", "#153a2a"),
    "partly": ("#e5b340", "#423311"),
    "none": ("#85858e", "#2a2a30"),
}
"""By state: the line around a box, and what is inside it. The hues are those of the tables."""

_ALWAYS = (
    f"text{{font-family:{_FONTS}}}"
    ".title{font-size:13px;font-weight:700}.small,.muted{font-size:11px}"
    ".head{font-size:20px;font-weight:700}"
    "path{fill:none;stroke-width:1.5}.identity,.projection{stroke-width:2.2}"
    ".projection{stroke-dasharray:6 4}"
    ".box{stroke-width:1.5}.trainable{stroke-width:2}"
    ".frame{fill-opacity:.03;stroke-width:1}"
)


def style_sheet() -> str:
    """The rules for every class that drawings use; the light ones first, for programs that know no
    media queries."""
    dark = _rules(_DARK, _DARK_BOXES)
    return f"{_ALWAYS}{_rules(_LIGHT, _LIGHT_BOXES)}@media(prefers-color-scheme:dark){{{dark}}}"


def _rules(colours: dict[str, str], boxes: dict[str, tuple[str, str]]) -> str:
    states = (f".{name}{{stroke:{line};fill:{fill}}}" for name, (line, fill) in boxes.items())
    return (
        f".page{{fill:{colours['page']}}}"
        f".head,.title,.small{{fill:{colours['ink']}}}.muted{{fill:{colours['muted']}}}"
        f"path{{stroke:{colours['line']}}}"
        f".arrow,.dot{{fill:{colours['line']}}}"
        f".frame{{fill:{colours['tint']};stroke:{colours['border']}}}"
        f".behind{{fill:{colours['page']};stroke:{colours['border']}}}"
        f"path.identity,path.projection{{stroke:{colours['shortcut']}}}"
        f".arrow.identity,.arrow.projection,.dot.identity,.dot.projection"
        f"{{fill:{colours['shortcut']}}}{''.join(states)}"
    )
