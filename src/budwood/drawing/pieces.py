"""What a drawing is put together from: boxes, frames and lines in their places, all in pixels.

No font is at hand. So letters are taken to be as wide as those of DejaVu Sans, rounded up: it is
wider than the other fonts that drawings ask for, and stands in for them on many machines.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, Self

from budwood.drawing.blocks import BlockFrame
from budwood.drawing.boxes import Box
from budwood.drawing.shortcuts import Style
from budwood.text import short

_NARROW = frozenset("iIjl.,:;'|! ")
_SLIM = frozenset('frtJ()[]/-"')
_WIDE = frozenset("mwMW@%+<>=~#")
_BOLD = 1.14
"""How much wider bold letters are."""


def width_of(text: str, size: float, bold: bool = False) -> float:
    """An upper bound of a text's width, in the unit of `size`."""
    return sum(map(_em, text)) * size * (_BOLD if bold else 1)


def shortened(text: str, room: float, size: float, bold: bool = False) -> str:
    """The text, or as much of its beginning as there is room for, with an ellipsis."""
    if width_of(text, size, bold) <= room:
        return text
    while text and width_of(f"{text}…", size, bold) > room:
        text = text[:-1]
    return f"{text.rstrip()}…"


def _em(letter: str) -> float:
    if letter in _NARROW:
        return 0.40
    if letter in _SLIM:
        return 0.46
    if letter in _WIDE:
        return 1.02
    if letter.isupper():
        return 0.80
    return 0.66 if letter.isascii() else 1.02


Point = tuple[float, float]
Role = Literal["title", "small", "muted"]
SIZES: dict[Role, float] = {"title": 13, "small": 11, "muted": 11}
"""Pixels of each kind of letters; titles are bold."""

WIDEST = 240
"""Boxes grow with what is written in them up to this; then it is shortened."""
SIGN = 24
"""Height of a join."""
_MARGIN = 10
_BETWEEN = 12
_SIGNS = ("+", "-", "x", "/")


@dataclass(frozen=True)
class Text:
    """Letters on a line; `x` is where they begin, their middle, or where they end."""

    x: float
    y: float
    text: str
    role: Role
    anchor: Literal["start", "middle", "end"] = "start"

    @property
    def width(self) -> float:
        """No less than what the letters need."""
        return width_of(self.text, SIZES[self.role], bold=self.role == "title")


@dataclass(frozen=True)
class Rectangle:
    """A box or a frame in its place."""

    x: float
    y: float
    width: float
    height: float
    texts: tuple[Text, ...]

    def moved(self, dx: float, dy: float) -> Self:
        texts = tuple(replace(text, x=text.x + dx, y=text.y + dy) for text in self.texts)
        return replace(self, x=self.x + dx, y=self.y + dy, texts=texts)


@dataclass(frozen=True)
class BoxAt(Rectangle):
    """A box and its place."""

    box: Box


@dataclass(frozen=True)
class FrameAt(Rectangle):
    """A frame and its place."""

    block: BlockFrame


@dataclass(frozen=True)
class LineAt:
    """A line from point to point, with round corners."""

    points: tuple[Point, ...]
    style: Style = "plain"
    has_arrow: bool = False
    is_curved: bool = False
    """True for two points with a curve between them that starts and ends upright."""
    has_dot: bool = False
    """True if it leaves another line where it starts."""

    def moved(self, dx: float, dy: float) -> "LineAt":
        return replace(self, points=tuple((x + dx, y + dy) for x, y in self.points))


Item = BoxAt | FrameAt | LineAt


@dataclass(frozen=True)
class Element:
    """Part of a drawing. Lines enter it at the top and leave it at the bottom, where x is 0."""

    left: float
    """How far it reaches to the left of there, and to the right."""
    right: float
    height: float
    items: tuple[Item, ...] = ()

    def moved(self, dx: float, dy: float) -> tuple[Item, ...]:
        return tuple(item.moved(dx, dy) for item in self.items)


NOTHING = Element(0, 0, 0)


def box_width(block: BlockFrame) -> float:
    """The width that all boxes of a drawing have: what the widest of them needs."""
    return min(WIDEST, max(_widths(block, "")))


def _widths(block: BlockFrame, within: str) -> Iterator[float]:
    for part in block.parts:
        if isinstance(part, Box):
            yield _needed(part, block.name or within)
        else:
            yield from _widths(part, block.name or within)


def is_bar(box: Box) -> bool:
    """True for a join that is drawn as a bar: a concatenation, not an addition."""
    return box.kind == "join" and box.title not in _SIGNS


def box_piece(box: Box, width: float, within: str) -> Element:
    """A box as it is drawn, by its kind."""
    match box.kind:
        case "layer":
            return _layer(box, width, within)
        case "join" if not is_bar(box):
            text = "  ".join((box.title, *box.notes))
            needed = width_of(text, SIZES["title"], bold=True)
            return _pill(box, text, max(SIGN, needed + _MARGIN) if box.notes else SIGN)
        case "join":
            return bar(box, width / 2, width / 2)
    return _pill(box, f"{box.title}  {box.shape}", width)


def bar(box: Box, left: float, right: float) -> Element:
    """A concatenation as a bar that reaches so far to both sides."""
    what = ", ".join((box.title, *box.notes))
    room = left + right - 2 * _MARGIN
    shape = width_of(box.shape, SIZES["small"]) + _BETWEEN
    title = shortened(what, room - shape, SIZES["title"], bold=True)
    texts = (
        Text(_MARGIN - left, 16.5, title, "title"),
        Text(right - _MARGIN, 16, box.shape, "small", "end"),
    )
    return Element(left, right, SIGN, (BoxAt(-left, 0, left + right, SIGN, texts, box),))


def _pill(box: Box, text: str, width: float) -> Element:
    fitting = shortened(text, width - 8, SIZES["title"], bold=True)
    texts = (Text(0, 16.5, fitting, "title", "middle"),)
    return Element(width / 2, width / 2, SIGN, (BoxAt(-width / 2, 0, width, SIGN, texts, box),))


def _layer(box: Box, width: float, within: str) -> Element:
    room, left, right = width - 2 * _MARGIN, _MARGIN - width / 2, width / 2 - _MARGIN
    texts, y = list[Text](), 6.0
    name, size = box.name.removeprefix(f"{within}."), _size(box)
    if name or size:
        y += 13
        space = room - (width_of(size, SIZES["muted"]) + _BETWEEN if size else 0)
        texts.append(Text(left, y, shortened(name, space, SIZES["muted"]), "muted"))
        texts.append(Text(right, y, size, "muted", "end"))
    y += 16
    texts.append(Text(left, y, shortened(box.title, room, SIZES["title"], bold=True), "title"))
    notes = ", ".join(box.notes)
    space = room - width_of(box.shape, SIZES["small"]) - _BETWEEN
    if not notes and texts[-1].width <= space:
        texts.append(Text(right, y, box.shape, "small", "end"))
        return _card(box, width, y + 8, texts)
    if notes and width_of(notes, SIZES["small"]) > space:
        y += 15
        texts.append(Text(left, y, shortened(notes, room, SIZES["small"]), "small"))
        notes = ""
    y += 15
    texts.append(Text(left, y, notes, "small"))
    texts.append(Text(right, y, shortened(box.shape, room, SIZES["small"]), "small", "end"))
    return _card(box, width, y + 8, texts)


def _card(box: Box, width: float, height: float, texts: list[Text]) -> Element:
    shown = tuple(text for text in texts if text.text)
    return Element(width / 2, width / 2, height, (BoxAt(-width / 2, 0, width, height, shown, box),))


def _size(box: Box) -> str:
    if box.parameters:
        return short(box.parameters)
    return "shared" if box.state != "-" else ""


def _needed(box: Box, within: str) -> float:
    """The width in which nothing needs to be shortened, and notes stand beside the shape."""
    if box.kind in ("input", "output"):
        return 2 * _MARGIN + width_of(f"{box.title}  {box.shape}", SIZES["title"], bold=True)
    title = width_of(box.title, SIZES["title"], bold=True)
    shape = width_of(box.shape, SIZES["small"])
    if box.kind == "join":
        what = ", ".join((box.title, *box.notes))
        return 2 * _MARGIN + width_of(what, SIZES["title"], bold=True) + shape + _BETWEEN
    name = width_of(box.name.removeprefix(f"{within}."), SIZES["muted"])
    size = width_of(_size(box), SIZES["muted"])
    notes = width_of(", ".join(box.notes), SIZES["small"])
    return 2 * _MARGIN + max(title, name + _BETWEEN + size, notes + _BETWEEN + shape)
